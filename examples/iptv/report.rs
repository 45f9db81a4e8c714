//! What a demonstration has shown: for people as tables, for machines as JSON.

use p2piptv::iptv::{Counters, RescueSlots};
use p2piptv::sim::Samples;
use std::fmt::Write as _;

/// One row of the source's peer table (table 1 of the paper).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Hops from the source; unknown while nobody knows where the peer hangs.
    pub depth: Option<u8>,
    /// The peer.
    pub peer: String,
    /// Its parent: `source` or a viewer.
    pub parent: String,
}

/// What one viewer saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Viewer {
    /// Its name.
    pub name: String,
    /// Hops from the source, at the end.
    pub depth: Option<u8>,
    /// Its parent at the end: `source` or a viewer.
    pub parent: Option<String>,
    /// Different packets that came.
    pub received: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Packets that came once more.
    pub duplicates: u64,
    /// The longest time without a new packet.
    pub longest_gap_ms: u64,
}

/// What the source did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Bytes of RTP and RTCP sent.
    pub media_bytes: u64,
    /// Bytes of SIP and RELOAD sent.
    pub control_bytes: u64,
    /// The most children at a time.
    pub most_children: usize,
}

/// What the signatures of the source were, and what they were good for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signed {
    /// Bytes of lists that the source has sent to one child, and of media.
    pub lists: u64,
    pub media: u64,
    /// Packets that came to viewers and were not the source's.
    pub forged: u64,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// Milliseconds since the beginning.
    pub at_ms: u64,
    /// What.
    pub event: String,
    /// To whom.
    pub peer: String,
}

/// What somebody heard of a death above.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Silence {
    /// Who died.
    pub killed: String,
    /// Who heard nothing.
    pub viewer: String,
    /// Hops below the dead.
    pub below: u32,
    /// The longest time without a new packet.
    pub silence_us: u64,
    /// Packets that came too late for a player 300 ms behind the source.
    pub late: u64,
    /// Packets that never came.
    pub lost: u64,
}

/// What all nodes that lived to the end did about silences, and their rescue slots then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    /// Their sum.
    pub counters: Counters,
    /// Their sum.
    pub rescue: RescueSlots,
}

impl Slots {
    /// One node more.
    pub const fn add(&mut self, counters: Counters, rescue: RescueSlots) {
        let all = &mut self.counters;
        all.leases_granted += counters.leases_granted;
        all.leases_refused += counters.leases_refused;
        all.standbys_refused += counters.standbys_refused;
        all.served += counters.served;
        all.denied += counters.denied;
        all.covers += counters.covers;
        all.false_alarms += counters.false_alarms;
        all.repairs += counters.repairs;
        self.rescue.slots += rescue.slots;
        self.rescue.free += rescue.free;
        self.rescue.promised += rescue.promised;
        self.rescue.held += rescue.held;
    }
}

/// Everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The channel.
    pub channel: String,
    /// Children that each node may serve.
    pub capacity: u16,
    /// Slots for orphans on top of that.
    pub rescue_slots: u16,
    /// What each viewer saw.
    pub viewers: Vec<Viewer>,
    /// The source's table before a relayer was killed.
    pub table_before_kill: Vec<Row>,
    /// Who was killed, in order.
    pub killed: Vec<String>,
    /// What everybody below them heard.
    pub silences: Vec<Silence>,
    /// What the nodes did about it.
    pub slots: Slots,
    /// The source's table after the tree had mended itself.
    pub table_after_repair: Vec<Row>,
    /// What the source did.
    pub source: Source,
    /// What was signed, if anything was.
    pub signed: Option<Signed>,
    /// What happened, in order.
    pub events: Vec<Happening>,
}

impl Report {
    /// As JSON, with a line end.
    pub fn json(&self) -> String {
        let mut json = Json::default();
        json.object(|o| {
            o.field("channel", |j| j.text(&self.channel));
            o.field("capacity", |j| j.number(self.capacity));
            o.field("rescue_slots", |j| j.number(self.rescue_slots));
            o.field("viewers", |j| j.array(&self.viewers, viewer_json));
            o.field("table_before_kill", |j| j.array(&self.table_before_kill, row_json));
            o.field("killed", |j| j.array(&self.killed, |j, name| j.text(name)));
            o.field("silences", |j| j.array(&self.silences, silence_json));
            o.field("repairs", |j| slots_json(j, &self.slots));
            o.field("table_after_repair", |j| j.array(&self.table_after_repair, row_json));
            o.field("source", |j| {
                j.object(|o| {
                    o.field("media_bytes", |j| j.number(self.source.media_bytes));
                    o.field("control_bytes", |j| j.number(self.source.control_bytes));
                    o.field("most_children", |j| j.number(self.source.most_children));
                });
            });
            o.field("events", |j| {
                j.array(&self.events, |j, happening| {
                    j.object(|o| {
                        o.field("at_ms", |j| j.number(happening.at_ms));
                        o.field("event", |j| j.text(&happening.event));
                        o.field("peer", |j| j.text(&happening.peer));
                    });
                });
            });
        });
        json.0.push('\n');
        json.0
    }

    /// The final tables, for people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let _ = self.write_text(&mut out); // writing to a String cannot fail
        out
    }

    fn write_text(&self, out: &mut String) -> std::fmt::Result {
        let mut left = table_lines(&self.table_before_kill).into_iter();
        let mut right = Vec::new().into_iter();
        match &self.killed[..] {
            [] => writeln!(out, "The source's peer table:\n")?,
            killed => {
                let (killed, were) = (killed.join(", "), if killed.len() > 1 { "were" } else { "was" });
                writeln!(out, "The source's peer table before and after {killed} {were} killed:\n")?;
                right = table_lines(&self.table_after_repair).into_iter();
            }
        }
        loop {
            match (left.next(), right.next()) {
                (None, None) => break,
                (l, r) => writeln!(out, "  {:<28}    {}", l.unwrap_or_default(), r.unwrap_or_default())?,
            }
        }

        writeln!(out, "\nWhat each viewer saw:\n")?;
        writeln!(out, "  viewer   depth  parent      received      lost  twice  longest silence")?;
        for v in &self.viewers {
            let fate = if self.killed.contains(&v.name) { "  (killed)" } else { "" };
            writeln!(
                out,
                "  {:<8} {:>5}  {:<8} {:>11} {:>9} {:>6}  {:>12} ms{fate}",
                v.name,
                depth(v.depth),
                v.parent.as_deref().unwrap_or("-"),
                v.received,
                v.lost,
                v.duplicates,
                v.longest_gap_ms,
            )?;
        }

        let survivors = || self.viewers.iter().filter(|v| !self.killed.contains(&v.name));
        if let Some(worst) = survivors().max_by_key(|v| v.longest_gap_ms) {
            let (lost, gap): (u64, _) = (survivors().map(|v| v.lost).sum(), worst.longest_gap_ms);
            writeln!(
                out,
                "\nThe longest silence was {gap} ms, at viewer {}; {lost} packets were lost in all.",
                worst.name
            )?;
        }
        self.write_silences(out)?;
        let Source { media_bytes, control_bytes, most_children } = self.source;
        writeln!(
            out,
            "The source sent {media_bytes} bytes of media and {control_bytes} bytes of control, to at most \
             {most_children} children (capacity {}).",
            self.capacity
        )?;
        match self.signed {
            Some(Signed { lists, media, forged }) => {
                let share = lists as f64 * 100.0 / (lists + media).max(1) as f64;
                writeln!(
                    out,
                    "Its signatures were {share:.2} % of the media; {forged} packets were not the source's."
                )
            }
            None => writeln!(out, "Nothing was signed, and every packet was believed."),
        }
    }
}

/// What goes with a death: who heard nothing for how long, and what was done about it.
impl Report {
    fn write_silences(&self, out: &mut String) -> std::fmt::Result {
        if self.silences.is_empty() {
            return Ok(());
        }
        let mut silence = Samples::new();
        silence.extend(self.silences.iter().map(|s| s.silence_us));
        let missed = |s: &&Silence| s.late + s.lost > 0;
        let sum = |of: &dyn Fn(&Silence) -> u64| self.silences.iter().map(of).sum::<u64>();
        writeln!(
            out,
            "Below {} killed, {} viewers heard nothing for 50 % {} ms, 99 % {} ms, at most {} ms (goals 100 and 300 ms).",
            self.killed.len(),
            self.silences.len(),
            silence.percentile(50.0) / 1000,
            silence.percentile(99.0) / 1000,
            silence.max() / 1000,
        )?;
        writeln!(
            out,
            "Players 300 ms behind the source missed something at {} of them (goal 0): {} packets were late, {} lost.",
            self.silences.iter().filter(missed).count(),
            sum(&|s| s.late),
            sum(&|s| s.lost),
        )?;
        let Slots { counters: c, rescue: r } = self.slots;
        let asked = (c.leases_granted + c.leases_refused).max(1);
        writeln!(
            out,
            "The survivors gave {} silent parents up and had {} silences covered, with {} false alarms; {} children were \
             served in need, {} denied.",
            c.repairs, c.covers, c.false_alarms, c.served, c.denied
        )?;
        writeln!(
            out,
            "Rescue slots: {}, of which {} are free; they are promised to {} others; {:.1} % of the {asked} leases that were \
             asked for were refused.",
            r.slots,
            r.free,
            r.promised,
            f64::from(c.leases_refused) / f64::from(asked) * 100.0
        )
    }
}

fn depth(depth: Option<u8>) -> String {
    depth.map_or("-".into(), |n| n.to_string())
}

fn table_lines(rows: &[Row]) -> Vec<String> {
    let line = |row: &Row| format!("{:>5}  {:<8}  {}", depth(row.depth), row.peer, row.parent);
    std::iter::once("depth  peer      parent".into()).chain(rows.iter().map(line)).collect()
}

fn row_json(json: &mut Json, row: &Row) {
    json.object(|o| {
        o.field("depth", |j| j.number_or_null(row.depth));
        o.field("peer", |j| j.text(&row.peer));
        o.field("parent", |j| j.text(&row.parent));
    });
}

fn silence_json(json: &mut Json, silence: &Silence) {
    json.object(|o| {
        o.field("killed", |j| j.text(&silence.killed));
        o.field("viewer", |j| j.text(&silence.viewer));
        o.field("below", |j| j.number(silence.below));
        o.field("silence_us", |j| j.number(silence.silence_us));
        o.field("late", |j| j.number(silence.late));
        o.field("lost", |j| j.number(silence.lost));
    });
}

fn slots_json(json: &mut Json, slots: &Slots) {
    let Slots { counters: c, rescue: r } = slots;
    json.object(|o| {
        for (name, number) in [
            ("repairs", c.repairs),
            ("covers", c.covers),
            ("false_alarms", c.false_alarms),
            ("leases_granted", c.leases_granted),
            ("leases_refused", c.leases_refused),
            ("served", c.served),
            ("denied", c.denied),
            ("rescue_slots", r.slots.into()),
            ("rescue_slots_free", r.free.into()),
            ("rescue_slots_promised", r.promised.into()),
        ] {
            o.field(name, |j| j.number(number));
        }
    });
}

fn viewer_json(json: &mut Json, viewer: &Viewer) {
    json.object(|o| {
        o.field("name", |j| j.text(&viewer.name));
        o.field("depth", |j| j.number_or_null(viewer.depth));
        o.field("parent", |j| j.text_or_null(viewer.parent.as_deref()));
        o.field("received", |j| j.number(viewer.received));
        o.field("lost", |j| j.number(viewer.lost));
        o.field("duplicates", |j| j.number(viewer.duplicates));
        o.field("longest_gap_ms", |j| j.number(viewer.longest_gap_ms));
    });
}

/// As much of a JSON writer (RFC 8259) as a report needs.
#[derive(Default)]
struct Json(String);

/// The fields of an object being written.
struct Fields<'a> {
    json: &'a mut Json,
    first: bool,
}

impl Fields<'_> {
    fn field(&mut self, name: &str, value: impl FnOnce(&mut Json)) {
        if !core::mem::take(&mut self.first) {
            self.json.0.push(',');
        }
        self.json.text(name);
        self.json.0.push(':');
        value(self.json);
    }
}

impl Json {
    fn object(&mut self, fields: impl FnOnce(&mut Fields<'_>)) {
        self.0.push('{');
        fields(&mut Fields { json: self, first: true });
        self.0.push('}');
    }

    fn array<T>(&mut self, items: &[T], mut item: impl FnMut(&mut Json, &T)) {
        self.0.push('[');
        for (i, value) in items.iter().enumerate() {
            if i > 0 {
                self.0.push(',');
            }
            item(self, value);
        }
        self.0.push(']');
    }

    fn number(&mut self, n: impl std::fmt::Display) {
        let _ = write!(self.0, "{n}"); // writing to a String cannot fail
    }

    fn number_or_null(&mut self, n: Option<impl std::fmt::Display>) {
        match n {
            Some(n) => self.number(n),
            None => self.0.push_str("null"),
        }
    }

    fn text_or_null(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.0.push_str("null"),
        }
    }

    fn text(&mut self, text: &str) {
        self.0.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => self.0.extend(['\\', c]),
                '\0'..='\u{1f}' => {
                    let _ = write!(self.0, "\\u{:04x}", u32::from(c));
                }
                _ => self.0.push(c),
            }
        }
        self.0.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(depth: u8, peer: &str, parent: &str) -> Row {
        Row { depth: Some(depth), peer: peer.into(), parent: parent.into() }
    }

    fn report() -> Report {
        Report {
            channel: "100".into(),
            capacity: 2,
            rescue_slots: 1,
            viewers: vec![
                Viewer { name: "1".into(), received: 900, ..Viewer::default() },
                Viewer {
                    name: "3".into(),
                    depth: Some(2),
                    parent: Some("2".into()),
                    received: 1234,
                    lost: 5,
                    duplicates: 6,
                    longest_gap_ms: 417,
                },
            ],
            table_before_kill: vec![row(1, "1", "source"), row(2, "3", "1")],
            killed: vec!["1".into()],
            silences: vec![Silence {
                killed: "1".into(),
                viewer: "3".into(),
                below: 1,
                silence_us: 104_000,
                late: 0,
                lost: 5,
            }],
            slots: Slots {
                counters: Counters { leases_granted: 6, leases_refused: 2, ..Counters::default() },
                rescue: RescueSlots { slots: 3, free: 2, promised: 4, held: 4 },
            },
            table_after_repair: vec![row(1, "3", "source")],
            source: Source { media_bytes: 10, control_bytes: 20, most_children: 3 },
            signed: Some(Signed { lists: 15, media: 985, forged: 0 }),
            events: vec![Happening { at_ms: 7, event: "said \"hello\"\n".into(), peer: "ä\\".into() }],
        }
    }

    #[test]
    fn json_has_exactly_the_agreed_fields() {
        assert_eq!(
            report().json(),
            concat!(
                r#"{"channel":"100","capacity":2,"rescue_slots":1,"viewers":["#,
                r#"{"name":"1","depth":null,"parent":null,"received":900,"lost":0,"duplicates":0,"longest_gap_ms":0},"#,
                r#"{"name":"3","depth":2,"parent":"2","received":1234,"lost":5,"duplicates":6,"longest_gap_ms":417}],"#,
                r#""table_before_kill":[{"depth":1,"peer":"1","parent":"source"},{"depth":2,"peer":"3","parent":"1"}],"#,
                r#""killed":["1"],"silences":[{"killed":"1","viewer":"3","below":1,"silence_us":104000,"late":0,"lost":5}],"#,
                r#""repairs":{"repairs":0,"covers":0,"false_alarms":0,"leases_granted":6,"leases_refused":2,"served":0,"denied":0,"#,
                r#""rescue_slots":3,"rescue_slots_free":2,"rescue_slots_promised":4},"table_after_repair":[{"depth":1,"peer":"3","parent":"source"}],"#,
                r#""source":{"media_bytes":10,"control_bytes":20,"most_children":3},"#,
                r#""events":[{"at_ms":7,"event":"said \"hello\"\u000a","peer":"ä\\"}]}"#,
                "\n"
            )
        );
    }

    #[test]
    fn the_text_stands_both_tables_side_by_side_and_names_the_longest_silence() {
        let text = report().text();
        assert!(text.contains("      1  1         source             1  3         source\n"), "{text}");
        assert!(
            text.contains("The longest silence was 417 ms, at viewer 3; 5 packets were lost in all."),
            "{text}"
        );
        assert!(text.contains("Below 1 killed, 1 viewers heard nothing for 50 % 104 ms"), "{text}");
        assert!(text.contains("25.0 % of the 8 leases that were asked for were refused."), "{text}");
        assert!(text.contains("Its signatures were 1.50 % of the media; 0 packets were not"), "{text}");
        let unsigned = Report { signed: None, ..report() }.text();
        assert!(unsigned.ends_with("Nothing was signed, and every packet was believed.\n"), "{unsigned}");
        assert!(text.lines().any(|l| l.contains("(killed)") && l.trim_start().starts_with('1')));
    }
}
