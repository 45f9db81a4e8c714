//! The media plane's facts, told to the policy.

use super::Node;
use super::api::Output;
use crate::chord::Chord;
use crate::effect::Effect;
use crate::ids::{CallId, ChannelId};
use crate::iptv;
use crate::reload::overlay::Overlay;
use crate::rtp::reception;
use crate::rtp::relay::{Fact, Relay};
use crate::rtp::rtcp;
use crate::stats::Plane;
use crate::time::{Duration, Instant};

/// The policy's look at the media plane.
pub(super) struct Progress<'a> {
    pub(super) relay: &'a Relay,
    pub(super) overlay: &'a Overlay<Chord>,
}

impl iptv::Progress for Progress<'_> {
    fn last_media(&self, channel: ChannelId) -> Option<Instant> {
        self.relay.last_media(channel)
    }

    fn last_from(&self, call: CallId) -> Option<Instant> {
        self.relay.last_from(call)
    }

    fn brought(&self, call: CallId) -> u64 {
        self.relay.brought(call)
    }

    fn last_brought(&self, call: CallId) -> Option<Instant> {
        self.relay.last_brought(call)
    }

    fn last_report(&self, call: CallId) -> Option<Instant> {
        self.relay.last_report(call)
    }

    fn reported_loss(&self, call: CallId) -> Option<u8> {
        self.relay.reported_loss(call)
    }

    fn reception(&self, channel: ChannelId) -> Option<iptv::Reception> {
        let counts = self.relay.counters(channel)?.sequence;
        Some(iptv::Reception { received: counts.received, lost: counts.lost })
    }

    fn pace(&self, channel: ChannelId) -> Option<iptv::Pace> {
        self.relay.pace(channel).map(|reception::Pace { gap, jitter }| iptv::Pace { gap, jitter })
    }

    fn round_trip(&self) -> Option<Duration> {
        self.overlay.round_trip()
    }
}

impl Node {
    pub(super) fn on_media(&mut self, effect: Effect<Fact>) {
        match effect {
            Effect::Fact(Fact::Packet { channel, payload }) => {
                let children = self.relay.children(channel).len();
                self.queue.media(channel, payload, children, &mut self.stats);
            }
            Effect::Fact(Fact::FirstPacket { channel, call }) => {
                self.tell(iptv::Fact::FirstPacket { channel, call });
            }
            Effect::Fact(Fact::Held { channel: _, call, hold }) => {
                let hold = match hold {
                    rtcp::Hold::Starved => iptv::Hold::Starved,
                    rtcp::Hold::Paused => iptv::Hold::Paused,
                    rtcp::Hold::Sourceless => iptv::Hold::Sourceless,
                };
                self.tell(iptv::Fact::Held { call, hold });
            }
            Effect::Fact(Fact::Resumed { channel: _, call }) => self.tell(iptv::Fact::Resumed { call }),
            Effect::Fact(Fact::Released { channel: _, call }) => self.tell(iptv::Fact::Released { call }),
            Effect::Fact(Fact::Denied { channel: _, call }) => self.tell(iptv::Fact::Denied { call }),
            Effect::Fact(Fact::ToSign { channel }) => self.sign_media(channel),
            Effect::Fact(Fact::ToJudge { channel }) => self.judge_media(channel),
            Effect::Fact(Fact::Deceived { channel, call }) => self.leave_deceiver(channel, call),
            Effect::Fact(Fact::Dropped { reason }) => self.stats.count_drop(reason),
            Effect::Send { to, payload } => {
                self.queue.push(Output::Transmit { plane: Plane::Media, to, payload }, &mut self.stats);
            }
            // The media plane has no streams.
            Effect::Connect { .. }
            | Effect::Write { .. }
            | Effect::Close { .. }
            | Effect::Associate { .. }
            | Effect::Dissociate { .. } => {}
        }
    }
}
