//! A peer who knows the protocol and means ill: what he says, and how it gets where it is listened to.

use super::host::Stream;
use super::network::Seen;
use super::{SEEN, World, identity};
use crate::fuzzing::cast::{OVERLAY, address, node_id};
use crate::fuzzing::{forge, secured};
use crate::ids::{StreamId, overlay_hash};
use crate::node::{Security, StreamInput};
use crate::stats::Plane;
use arbitrary::Unstructured;
use bytes::Bytes;

impl World<'_> {
    /// A message of a peer who means ill, from a node's address or a stranger's.
    pub(super) fn forge(&mut self, letter: u8) -> Option<()> {
        let (to, from) = (self.node(), self.anybody());
        let nth = self.script.choice(SEEN);
        let mut u = Unstructured::new(self.script.octets());
        // The latest that passed by on this plane.
        let seen = |plane| self.seen.iter().rev().filter(move |seen| seen.datagram.plane == plane).nth(nth);
        let (plane, to, from, payload) = match letter {
            b'F' => {
                let signer = identity(from, self.security);
                let forged = forge::reload(overlay_hash(OVERLAY), &*signer, node_id(to), &mut u)?;
                (Plane::Overlay, to, from, forged)
            }
            b'A' => {
                let Seen { from: asking, to: asked, datagram } = seen(Plane::Overlay)?;
                let signer = identity(*asked, self.security);
                let forged = forge::reload_answer(&datagram.payload, &*signer, node_id(*asking), &mut u)?;
                (Plane::Overlay, *asking, *asked, forged)
            }
            b'R' => {
                let Seen { from, to, datagram } = seen(Plane::Overlay)?;
                let anew = u.arbitrary().ok()?;
                let signer = identity(*from, self.security);
                let forged = forge::reload_again(&datagram.payload, &*signer, anew, &mut u)?;
                (Plane::Overlay, *to, *from, forged)
            }
            b'I' => (Plane::Signalling, to, from, forge::sip_request(&mut u)?),
            b'D' => {
                let Seen { from, to, datagram } = seen(Plane::Signalling)?;
                let answers = datagram.payload.starts_with(b"SIP/2.0");
                let back: bool = u.arbitrary().ok()?;
                let (from, to) = if answers == back { (*from, *to) } else { (*to, *from) };
                let source = address(from, Plane::Signalling);
                (Plane::Signalling, to, from, forge::sip_in_dialog(&datagram.payload, back, source, &mut u)?)
            }
            b'G' => {
                let brought = self.brought.as_ref()?;
                let Seen { from, to, datagram } = seen(Plane::Signalling)?;
                let answers = datagram.payload.starts_with(b"SIP/2.0");
                let back: bool = u.arbitrary().ok()?;
                let (from, to) = if answers == back { (*from, *to) } else { (*to, *from) };
                let source = address(from, Plane::Signalling);
                let replayed = forge::sip_replay(brought, &datagram.payload, back, source, &mut u)?;
                (Plane::Signalling, to, from, replayed)
            }
            b'Q' => {
                let Seen { from: asking, to: asked, datagram } = seen(Plane::Signalling)?;
                let source = address(*asking, Plane::Signalling);
                let forged = forge::sip_response(&datagram.payload, source, &mut u)?;
                (Plane::Signalling, *asking, *asked, forged)
            }
            _ => {
                let ssrc = (nth as u32 % 4 + 1) << 8;
                let forged =
                    if letter == b'C' { forge::rtcp(ssrc, &mut u) } else { forge::rtp(ssrc, &mut u) };
                let mut forged = forged.ok()?;
                // Whoever reads the signalling has the keys as well.
                let told = seen(Plane::Signalling).filter(|seen| (seen.from, seen.to) == (from, to));
                if let (b'C', Some(key)) =
                    (letter, told.and_then(|seen| forge::key_of(&seen.datagram.payload)))
                {
                    forged = forge::srtcp(&key, &forged, u.arbitrary().ok()?)?;
                }
                (Plane::Media, to, from, forged)
            }
        };
        self.say(to, plane, from, payload);
        Some(())
    }

    /// What a forger says comes where it is listened to: where streams are secured, inside the one from whom he poses as,
    /// or inside a new one of his own.
    fn say(&mut self, to: usize, plane: Plane, from: usize, payload: Bytes) {
        let streams = match self.security {
            Security::InsecurePlain => false,
            Security::Tls => plane != Plane::Media,
            Security::Dtls => plane == Plane::Signalling,
        };
        if !streams {
            let sealed = (self.security, plane) == (Security::Dtls, Plane::Overlay);
            let datagram = if sealed { secured::sealed(&payload) } else { payload };
            return self.arrive(to, plane, from, datagram);
        }
        let of_him = |(_, stream): &(&StreamId, &Stream)| stream.there == from && stream.plane == plane;
        let known = self.hosts[to].streams.iter().find(of_him).map(|(&id, _)| id);
        let stream = known.unwrap_or_else(|| {
            let stream = self.accept(to, Stream { plane, there: from, far: None });
            let peer = address(from, plane);
            for input in [StreamInput::Opened { peer, plane }, StreamInput::Bytes(secured::hello(from))] {
                self.receipt(to, |node, now| node.handle_stream(now, stream, input));
            }
            stream
        });
        self.receipt(to, |node, now| node.handle_stream(now, stream, StreamInput::Bytes(payload)));
    }
}
