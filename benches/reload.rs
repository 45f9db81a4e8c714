//! What one RELOAD message costs, and how many a core passes on beside a plain UDP echo of the same bytes.
//!
//! Times are CPU time of this thread for each message; the subjects take turns in short slices, and the best slice of
//! each counts, so that neighbours on the machine disturb all of them alike.
//!
//!     cargo bench --bench reload
//!
//! One subject alone, a fixed number of times and without a clock, for counting instructions:
//!
//!     cargo bench --bench reload --no-run
//!     valgrind --tool=callgrind --toggle-collect='*measured*' target/release/deps/reload-* --once pass
//!
//! divided by [`ONCE`].

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("There is no clock for the CPU time of a thread here.");
}

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    linux::main()
}

#[cfg(target_os = "linux")]
mod linux {
    use bytes::Bytes;
    use p2piptv::chord::Chord;
    use p2piptv::effect::{Effect, Effects};
    use p2piptv::env::{Crypto, InsecureIdentity, Seeded};
    use p2piptv::ids::{NodeId, overlay_hash};
    use p2piptv::reload::codec::body::PingReq;
    use p2piptv::reload::codec::{
        Body, Destination, ForwardingHeader, Frame, HeaderView, Message, MessageContents, Passage,
        SecurityBlock, Signature, message_signature_input,
    };
    use p2piptv::reload::overlay::{Config, Context, Fact, Overlay};
    use p2piptv::time::{Duration, Instant, UnixMillis};
    use p2piptv::tls::{Digest, Identity};
    use rustix::time::{ClockId, clock_gettime};
    use std::hint::black_box;
    use std::io;
    use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

    const OVERLAY: &str = "bench.example";
    const ME: NodeId = NodeId([0x80; 16]);
    const BEFORE: NodeId = NodeId([0x40; 16]);
    const BEHIND: NodeId = NodeId([0x20; 16]);
    /// Bytes of padding: a message as long as one with a certificate.
    const PADDING: usize = 800;
    const ROUNDS: usize = 40;
    /// Repetitions with `--once`.
    pub const ONCE: usize = 1000;

    pub fn main() -> io::Result<()> {
        let arguments: Vec<String> = std::env::args().collect();
        let mut subjects = subjects()?;
        if let Some(at) = arguments.iter().position(|a| a == "--once") {
            let name = arguments.get(at + 1).map_or("pass", String::as_str);
            let subject = subjects.iter_mut().find(|s| s.name.starts_with(name));
            let subject = subject.ok_or_else(|| io::Error::other("no such subject"))?;
            (0..ONCE).for_each(|_| measured(&mut subject.work));
            return Ok(());
        }
        let mut best = vec![f64::INFINITY; subjects.len()];
        for _ in 0..ROUNDS {
            for (subject, best) in subjects.iter_mut().zip(&mut best) {
                let before = cpu();
                (0..subject.slice).for_each(|_| measured(&mut subject.work));
                *best = best.min((cpu() - before) / subject.slice as f64);
            }
        }
        let echo = best[subjects.iter().position(|s| s.name == ECHO).unwrap_or(0)];
        println!("{:<44} {:>12} {:>12} {:>9}", "a message of 900 bytes", "ns", "1/s", "of echo");
        for (subject, ns) in subjects.iter().zip(best) {
            println!("{:<44} {ns:>12.0} {:>12.0} {:>9.3}", subject.name, 1e9 / ns, ns / echo);
        }
        Ok(())
    }

    const ECHO: &str = "UDP echo: two sendto, two recvfrom";

    struct Subject {
        name: &'static str,
        /// Repetitions of one slice.
        slice: usize,
        work: Box<dyn FnMut()>,
    }

    /// What callgrind counts.
    #[inline(never)]
    fn measured(work: &mut dyn FnMut()) {
        work();
    }

    fn cpu() -> f64 {
        let t = clock_gettime(ClockId::ThreadCPUTime);
        t.tv_sec as f64 * 1e9 + t.tv_nsec as f64
    }

    fn subjects() -> io::Result<Vec<Subject>> {
        let insecure = InsecureIdentity::new(BEHIND);
        let message = compose(&insecure, 1, vec![BEFORE.into()]);
        let bytes = message.encode().map_err(io::Error::other)?;
        let identity = Identity::self_signed(OVERLAY, "bench", Digest::Sha256).map_err(io::Error::other)?;
        let signed = compose(&identity, 1, vec![BEFORE.into()]);
        let subject = |name, slice, work: Box<dyn FnMut()>| Subject { name, slice, work };
        let (a, b, c, d) = (bytes.clone(), bytes.clone(), message.clone(), bytes.clone());
        Ok(vec![
            subject(
                "read the header in place",
                2000,
                Box::new(move || {
                    black_box(HeaderView::read(black_box(&a)).is_ok());
                }),
            ),
            subject(
                "decode the whole",
                2000,
                Box::new(move || {
                    black_box(Message::decode(black_box(&b)).is_ok());
                }),
            ),
            subject(
                "encode the whole",
                2000,
                Box::new(move || {
                    black_box(black_box(&c).encode().is_ok());
                }),
            ),
            subject("rewrite for the next hop", 2000, Box::new(move || rewrite(black_box(&d)))),
            subject("pass on: frame in, ACK out, frame out, ACK in", 500, pass_on(&message)?),
            subject("check a signature (ECDSA P-256)", 50, check(&identity, &signed)),
            subject(
                "sign (ECDSA P-256)",
                50,
                Box::new(move || {
                    black_box(compose(&identity, 1, vec![BEFORE.into()]));
                }),
            ),
            subject(ECHO, 500, echo(&bytes)?),
        ])
    }

    fn compose(crypto: &dyn Crypto, id: u64, list: Vec<Destination>) -> Message {
        let overlay = overlay_hash(OVERLAY);
        let body = Body::PingReq(PingReq { padding: Bytes::from(vec![7; PADDING]) });
        let contents = MessageContents::new(&body).expect("a Ping");
        let header =
            ForwardingHeader { configuration_sequence: 1, ..ForwardingHeader::new(overlay, id, list) };
        let identity = crypto.signer();
        let input = message_signature_input(overlay, id, &contents, &identity).expect("a signature");
        let signature = Signature { signed: crypto.sign(&[&input]), identity };
        Message { header, contents, security: SecurityBlock { certificates: vec![], signature } }
    }

    fn check(identity: &Identity, message: &Message) -> Box<dyn FnMut()> {
        let (judge, message) = (identity.clone(), message.clone());
        let certificates = judge.certificates().to_vec();
        Box::new(move || {
            let identity = &message.security.signature.identity;
            let input = message_signature_input(message.header.overlay, 1, &message.contents, identity);
            let input = input.expect("a signature");
            let signed = &message.security.signature.signed;
            let at = UnixMillis(now_millis());
            assert!(judge.verify(at, identity, &certificates, &[&input], signed).is_ok());
        })
    }

    fn now_millis() -> u64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |d| d.as_millis() as u64)
    }

    fn rewrite(bytes: &Bytes) {
        let view = HeaderView::read(bytes).expect("a header");
        let hop = [[1, 16].as_slice(), &BEHIND.0].concat();
        let passage = Passage {
            ttl: view.ttl - 1,
            via_list: [view.via_bytes(), &hop],
            destination_list: [view.destination_bytes(view.destination_list().offset()), &[]],
        };
        black_box(view.pass(&passage).is_ok());
    }

    /// A whole overlay machine between two neighbours over plain links.
    fn pass_on(message: &Message) -> io::Result<Box<dyn FnMut()>> {
        let at = |n: u8| SocketAddr::from((Ipv4Addr::new(10, 0, 0, n), 6084));
        let mut overlay: Overlay<Chord> =
            Overlay::new(Config::new(OVERLAY, at(1)), ME).map_err(io::Error::other)?;
        let identity = InsecureIdentity::new(ME);
        let mut entropy = Seeded::new(1);
        let mut effects: Effects<Fact> = Effects::new();
        let mut now = Instant::ZERO;
        overlay.handle_wall_clock(now, UnixMillis(now_millis()));
        let mut ctx = Context { entropy: &mut entropy, crypto: &identity, effects: &mut effects };
        overlay.create(now, &mut ctx).map_err(io::Error::other)?;
        let frame = |sequence, message: &Message| {
            Frame::Data { sequence, message: message.encode().expect("a message") }.encode().expect("a frame")
        };
        for (n, neighbour) in [(2, BEFORE), (3, BEHIND)] {
            let hello = compose(&InsecureIdentity::new(neighbour), n, vec![NodeId::WILDCARD.into()]);
            let result = overlay.handle_datagram(now, at(n as u8), frame(0, &hello), &mut ctx);
            result.map_err(|reason| io::Error::other(reason.as_str()))?;
        }
        let _ = answered(&mut overlay, &mut now, &mut entropy, &identity, &mut effects);
        let datagram = frame(7, message);
        Ok(Box::new(move || {
            // Ten milliseconds later, so that the link does not rest.
            now += Duration::from_millis(10);
            let mut ctx = Context { entropy: &mut entropy, crypto: &identity, effects: &mut effects };
            assert_eq!(overlay.handle_datagram(now, at(3), datagram.clone(), &mut ctx), Ok(()));
            assert_eq!(answered(&mut overlay, &mut now, &mut entropy, &identity, &mut effects), 1);
        }))
    }

    /// Acknowledges what leaves; how many messages that was.
    fn answered(
        overlay: &mut Overlay<Chord>,
        now: &mut Instant,
        entropy: &mut Seeded,
        identity: &InsecureIdentity,
        effects: &mut Effects<Fact>,
    ) -> usize {
        let mut messages = 0;
        while let Some(effect) = effects.pop() {
            let Effect::Send { to, payload } = effect else { continue };
            let Ok(Frame::Data { sequence, .. }) = Frame::decode(&payload) else { continue };
            messages += 1;
            let ack = Frame::Ack { ack_sequence: sequence, received: 0 }.encode().expect("a frame");
            let mut ctx = Context { entropy: &mut *entropy, crypto: identity, effects: &mut *effects };
            let _ = overlay.handle_datagram(*now, to, ack, &mut ctx);
        }
        messages
    }

    /// The same bytes to a socket and back, in one thread.
    fn echo(bytes: &Bytes) -> io::Result<Box<dyn FnMut()>> {
        let (near, far) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
        let (near_at, far_at) = (near.local_addr()?, far.local_addr()?);
        let (bytes, mut buffer) = (bytes.clone(), [0; 2048]);
        Ok(Box::new(move || {
            near.send_to(&bytes, far_at).expect("loopback");
            let (n, _) = far.recv_from(&mut buffer).expect("loopback");
            far.send_to(&buffer[..n], near_at).expect("loopback");
            near.recv_from(&mut buffer).expect("loopback");
        }))
    }
}
