//! What a turn of the host brought, for the program to work through after it.

use crate::fanout::Sent;
use crate::host::{Carried, Observer, Passing, Seat};
use crate::member::Keys;
use crate::silence::Silences;
use crate::sink::Sink;
use crate::trouble::Trouble;
use bytes::Bytes;
use mio::Token;
use p2piptv::ids::ChannelId;
use p2piptv::node::Event;
use p2piptv::sim::pcapng::Capture;
use p2piptv::stats::Plane;
use p2piptv::time::Instant;
use std::collections::{BTreeMap, VecDeque};

/// Datagrams and stream bytes that a node sent, by plane, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// RTP and RTCP.
    pub media: u64,
    /// SIP.
    pub sip: u64,
    /// RELOAD.
    pub reload: u64,
}

/// A writer of captured packets.
pub type Recorder = Capture<Box<dyn FnMut(&[u8])>>;

/// What the turn brought.
#[derive(Default)]
pub struct Inbox {
    /// Events, oldest first.
    pub events: VecDeque<(Seat, Instant, Event)>,
    /// Foreign sources that are ready.
    pub ready: Vec<Token>,
    /// What each node sent, from its beginning.
    pub outgoing: BTreeMap<Seat, Outgoing>,
    /// Where the media of a process's channels goes.
    pub sinks: BTreeMap<ChannelId, Sink>,
    /// What viewers hear, where somebody wants to know.
    pub silences: Option<Silences>,
    /// What went wrong at a sink.
    pub trouble: Option<Trouble>,
    /// Where packets are recorded.
    pub recorder: Option<Recorder>,
    /// The keys of the streams that are recorded.
    pub keys: Option<Keys>,
}

impl Observer for Inbox {
    fn event(&mut self, seat: Seat, now: Instant, event: Event) {
        self.events.push_back((seat, now, event));
    }

    fn media(&mut self, seat: Seat, now: Instant, channel: ChannelId, packets: &[Bytes]) {
        if let Some(silences) = &mut self.silences {
            silences.on_packets(seat, now, packets.iter().map(|packet| &packet[..]));
        }
        if let Some(sink) = self.sinks.get_mut(&channel)
            && let Err(trouble) = sink.push(now, packets)
        {
            self.sinks.remove(&channel);
            self.trouble = Some(trouble);
        }
    }

    fn sent(&mut self, seat: Seat, _: Instant, plane: Plane, sent: Sent) {
        let outgoing = self.outgoing.entry(seat).or_default();
        match plane {
            Plane::Media => outgoing.media += sent.bytes,
            Plane::Signalling => outgoing.sip += sent.bytes,
            Plane::Overlay => outgoing.reload += sent.bytes,
        }
    }

    fn wants_media(&self) -> bool {
        self.recorder.is_some()
    }

    fn passing(&mut self, passing: Passing<'_>) {
        let Some(recorder) = &mut self.recorder else { return };
        let Passing { at, from, to, plane, what } = passing;
        match what {
            Carried::Datagram(bytes) => recorder.datagram(at, plane, from, to, bytes),
            Carried::Bytes(bytes) => {
                // Whoever writes has the keys for it already; a reader of the record needs them first.
                let keys = self.keys.as_ref().map(Keys::take).unwrap_or_default();
                if !keys.is_empty() {
                    recorder.keys(&keys);
                }
                recorder.bytes(at, plane, from, to, bytes);
            }
            Carried::Opened => recorder.opened(at, plane, from, to),
            Carried::Closed => recorder.closed(at, plane, from, to),
        }
    }

    fn ready(&mut self, token: Token) {
        self.ready.push(token);
    }
}
