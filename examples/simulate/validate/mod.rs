//! The command `validate`: the same crowd once as whole nodes, packet by packet, and once as policies with media as a flow.
//!
//! | file | what |
//! | --- | --- |
//! | `audience` | the crowd as whole nodes |
//! | `seen` | what was seen of them |

mod audience;
mod seen;

use crate::args::Validate;
use crate::report::Progress;
use crate::viewers;
use audience::Audience;
use p2piptv::iptv::Profile;
use p2piptv::sim::flow::{Crowd, Histogram, Setting, Summary};
use seen::Seen;
use std::error::Error;

const SOURCE_SLOTS: u16 = 8;

/// Whole nodes.
fn packets(wanted: &Validate, progress: &mut Progress) -> Result<(Summary, Seen), Box<dyn Error>> {
    let mut audience = Audience::new(wanted.crowd)?;
    while audience.step()? {
        let now = audience.air.network.now();
        progress.tell(&format!("packets: {} viewers at {now:?}", audience.joined));
    }
    audience.finish()
}

/// A number of both runs, and its name.
type Row<'a> = (&'a str, fn(&Summary) -> f64);
/// The same for numbers that are spread.
type Spread<'a> = (&'a str, fn(&Summary) -> &Histogram);

pub fn validate(wanted: &Validate) -> Result<(), Box<dyn Error>> {
    let mut progress = Progress::new();
    let (mut packets, seen) = packets(wanted, &mut progress)?;
    packets.name = "packet by packet".into();
    let took = progress.done();
    let mut setting = Setting::new(Profile::Default, Crowd { ..wanted.crowd });
    setting.terms.rate = packets.rate;
    setting.source_slots = SOURCE_SLOTS;
    // These nodes speak UDP without TLS.
    setting.handshake = 0;
    let mut progress = Progress::new();
    let flow = viewers::play(&setting, "as a flow", &mut progress);
    let flow_took = progress.done();
    println!("{} viewers, seed {}", wanted.crowd.viewers, wanted.crowd.seed);
    println!("  {:<34} {:>14} {:>14} {:>12}", "", "packets", "flow", "difference");
    let ms = |micros: u64| micros as f64 / 1000.0;
    let calls = |s: &Summary| s.control[..4].iter().sum::<u64>() as f64;
    let rows: [Row<'_>; 7] = [
        ("viewers that never played", |s| s.totals.never_played as f64),
        ("in time, percent", |s| s.totals.in_time() * 100.0),
        ("missed in gaps, percent", |s| s.totals.missed as f64 / s.totals.due.max(1) as f64 * 100.0),
        ("missed singly, percent", |s| s.totals.scattered / s.totals.due.max(1) as f64 * 100.0),
        ("gaps an hour", |s| s.totals.gaps_per_hour()),
        ("depth, mean", |s| s.depth.mean()),
        ("streams of the source", |s| s.streams_of_source()),
    ];
    let line = |name: &str, a: f64, b: f64| {
        println!("  {name:<34} {a:>14.3} {b:>14.3} {:>12.3}", b - a);
    };
    for (name, value) in rows {
        line(name, value(&packets), value(&flow));
    }
    let spreads: [Spread<'_>; 3] = [
        ("gap", |s| &s.totals.gaps),
        ("silence", |s| &s.totals.silences),
        ("startup", |s| &s.totals.startup),
    ];
    for (name, spread) in spreads {
        line(&format!("{name}s"), spread(&packets).len() as f64, spread(&flow).len() as f64);
        for p in [50.0, 95.0] {
            let of = |s: &Summary| ms(spread(s).percentile(p));
            line(&format!("{name}, {p} % within, ms"), of(&packets), of(&flow));
        }
    }
    line("SIP, octets", calls(&packets), calls(&flow));
    line("RTCP, octets", packets.control[5] as f64, flow.control[5] as f64);
    println!("  {took:.1} s and {flow_took:.1} s of real time");
    println!("  messages of whole nodes: datagrams, mean octets");
    for (kind, (count, octets)) in &seen.messages {
        println!("    {kind:<34} {count:>8} {:>8.0}", *octets as f64 / *count as f64);
    }
    Ok(())
}
