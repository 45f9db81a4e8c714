//! What certificates and secured channels cost: CPU time on one core, the best of some slices, for both kinds of keys.
//!
//!     cargo bench --bench security
//!
//! Of a handshake both ends are counted, as they run one after the other on one core.

#![allow(clippy::unwrap_used, reason = "a bench that fails has failed")]

use p2piptv::env::{Channel, Channels, Crypto};
use p2piptv::time::{Duration, Instant, UnixMillis};
use p2piptv::tls::{Authority, Digest, Dtls, Identity, KeyType, Request, Tls, Trust};

const NOW: Instant = Instant::ZERO;
const TODAY: UnixMillis = UnixMillis(1_800_000_000_000);
/// A small overlay message.
const MESSAGE: [u8; 400] = [7; 400];

fn main() {
    let authority = Authority::new("tv.example", TODAY, Duration::from_secs(3600)).unwrap();
    for key_type in [KeyType::P256, KeyType::Rsa] {
        println!("{key_type:?}");
        let request = |name| Request { name, from: TODAY, lifetime: Duration::from_secs(60) };
        let [a, b] = ["alice", "bob"].map(|name| authority.node(&request(name), key_type, 1).unwrap());
        report("sign", 200, || drop(a.sign(&[&MESSAGE])));

        let signed = a.sign(&[&MESSAGE]);
        let check = |reader: &Identity| {
            reader.verify(TODAY, &a.signer(), a.certificates(), &[&MESSAGE], &signed).unwrap();
        };
        check(&b);
        report("verify, the signer is known", 200, || check(&b));
        // Strangers are judged once, so a reader without memory is made for each; its making is taken off.
        let trust = || Trust::in_roots("tv.example", vec![authority.root().clone()]);
        let make = best(50, || drop(b.trusting(trust()).unwrap()));
        let both = best(50, || check(&b.trusting(trust()).unwrap()));
        print("verify, the signer is a stranger", both - make);

        let (mut tls_a, mut tls_b) = (Tls::new(&a).unwrap(), Tls::new(&b).unwrap());
        report("TLS handshake, both ends", 50, || {
            shake(tls_a.connect(NOW, TODAY), tls_b.accept(NOW, TODAY));
        });
        if let (Ok(mut dials), Ok(mut accepts)) = (Dtls::new(&a), Dtls::new(&b)) {
            report("DTLS handshake, both ends", 50, || {
                shake(dials.connect(NOW, TODAY), accepts.accept(NOW, TODAY));
            });
        }
        let mut ends = (tls_a.connect(NOW, TODAY), tls_b.accept(NOW, TODAY));
        carry(&mut *ends.0, &mut *ends.1);
        report("TLS, 1200 bytes there", 500, || {
            ends.0.send(NOW, &[0; 1200]).unwrap();
            let bytes = ends.0.poll_ciphertext().unwrap();
            ends.1.handle_ciphertext(NOW, &bytes).unwrap();
            assert_eq!(ends.1.poll_plaintext().unwrap().len(), 1200);
        });
    }

    println!("what a stranger's first datagram costs whoever was dialled");
    let mut dtls = Dtls::new(&Identity::self_signed("tv.example", "a", Digest::Sha256).unwrap()).unwrap();
    let hello = dtls.connect(NOW, TODAY).poll_ciphertext().unwrap();
    report("DTLS ClientHello", 200, || drop(greeted(&mut dtls, &hello)));
    let mut held = None;
    let memory = allocation_counter::measure(|| held = Some(greeted(&mut dtls, &hello)));
    println!("  {:<34} {:>8} bytes", "held until its peer is known", memory.bytes_current);
}

fn greeted(dtls: &mut Dtls, hello: &[u8]) -> Box<dyn Channel> {
    let mut end = dtls.accept(NOW, TODAY);
    end.handle_ciphertext(NOW, hello).unwrap();
    assert!(end.poll_ciphertext().is_some());
    end
}

fn shake(mut a: Box<dyn Channel>, mut b: Box<dyn Channel>) {
    carry(&mut *a, &mut *b);
    assert!(a.peer().is_some() && b.peer().is_some());
}

fn carry(a: &mut dyn Channel, b: &mut dyn Channel) {
    loop {
        let (to_b, to_a) = (a.poll_ciphertext(), b.poll_ciphertext());
        if to_a.is_none() && to_b.is_none() {
            return;
        }
        to_b.iter().for_each(|bytes| b.handle_ciphertext(NOW, bytes).unwrap());
        to_a.iter().for_each(|bytes| a.handle_ciphertext(NOW, bytes).unwrap());
    }
}

fn report(what: &str, times: u32, work: impl FnMut()) {
    print(what, best(times, work));
}

fn print(what: &str, seconds: f64) {
    println!("  {what:<34} {:>8.1} us", seconds * 1e6);
}

/// Seconds for one run, in the best of ten slices.
fn best(times: u32, mut work: impl FnMut()) -> f64 {
    let slice = |_| {
        let begin = cpu_seconds();
        (0..times).for_each(|_| work());
        (cpu_seconds() - begin) / f64::from(times)
    };
    (0..10).map(slice).fold(f64::INFINITY, f64::min)
}

/// What this thread has used of a core, so that neighbours on the machine disturb less.
#[cfg(target_os = "linux")]
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

#[cfg(not(target_os = "linux"))]
fn cpu_seconds() -> f64 {
    use std::time::SystemTime;
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()
}
