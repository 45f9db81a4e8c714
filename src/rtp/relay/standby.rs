//! Standbys: answered calls in which nothing flows, until the child asks for it.
//!
//! ```text
//!   child                                provider
//!     |  RESUME (highest n) ------------>  |  Resumed -> serve, or deny
//!     |  <------------- media behind n     |  FirstPacket
//!     |  <------------------- or DENIED    |  Denied
//!     |  RELEASE ----------------------->  |  Released -> rest
//! ```
//!
//! RESUME is repeated until media or DENIED comes, so the answers need no acknowledgement; RELEASE is sent again when
//! media comes all the same.

use super::roster::Peer;
use super::voice::Voice;
use super::{Downstream, Fact, Relay, RelayError, Remote, Start, Upstream, only};
use crate::effect::Effects;
use crate::ids::{CallId, ChannelId};
use crate::rtp::rtcp::{Composer, Cover, Cue};
use crate::time::{Duration, Instant, earliest};
use bytes::Bytes;
use core::net::SocketAddr;

/// How often RESUME is sent before the provider counts as gone.
pub const RESUMES: u8 = 5;

/// Between two of them, unless one and a half round trips take longer.
pub const RESUME_INTERVAL: Duration = Duration::from_millis(50);

/// Between two reports in a standby, give or take what the report timer does: enough to keep the lease.
pub const STANDBY_REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// How media flows in a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Flow {
    /// All the time.
    #[default]
    Always,
    /// Not now: a standby.
    Resting,
    /// For now: a standby that was asked for it.
    Covering,
}

impl Flow {
    pub(super) const fn is_standby(self) -> bool {
        !matches!(self, Flow::Always)
    }

    pub(super) const fn is_resting(self) -> bool {
        matches!(self, Flow::Resting)
    }
}

/// A RESUME that waits for its effect.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    ssrc: u32,
    /// What this node had when it asked first: all repetitions say the same.
    highest: u32,
    /// The same as this node counts.
    newest: u64,
    /// When it is sent again.
    next: Instant,
    /// How often it may still be sent.
    left: u8,
}

impl Asking {
    /// Whether this packet may be the effect. What had been asked for one by one before comes without it.
    pub(super) fn is_met_by(&self, ssrc: u32, number: u64) -> bool {
        ssrc != self.ssrc || number > self.newest
    }
}

/// A RESUME that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    ssrc: u32,
    highest: u32,
}

/// The child's side.
impl Relay {
    /// Keeps this provider in reserve: nothing is taken from it until [`Relay::resume`]. Reports go to it all the same,
    /// every [`STANDBY_REPORT_INTERVAL`], the first one at once.
    pub fn add_standby_parent(
        &mut self,
        now: Instant,
        call: CallId,
        channel: ChannelId,
        remote: impl Into<Remote>,
        fx: &mut Effects<Fact>,
    ) -> Result<(), RelayError> {
        let state = Upstream { flow: Flow::Resting, ..Upstream::default() };
        self.insert_parent(now, Peer::new(call, channel, &remote.into(), state), fx)
    }

    /// Asks a standby for the channel from behind the last packet that came. [`Fact::FirstPacket`] or [`Fact::Denied`]
    /// follows, if the provider lives.
    pub fn resume(&mut self, now: Instant, call: CallId, fx: &mut Effects<Fact>) {
        let Some(peer) = self.parents.get_mut(call).filter(|peer| peer.state.flow.is_standby()) else {
            return;
        };
        let Some(channel) = self.channels.get(&peer.channel) else { return };
        peer.state.flow = Flow::Covering;
        peer.state.flowing = false;
        peer.state.vain = 0;
        peer.state.catching_up = channel.catching_up(now, self.config.limits.missing.playout);
        peer.state.asking = Some(Asking {
            ssrc: channel.ssrc.unwrap_or(0),
            highest: channel.reception.highest().unwrap_or(0),
            newest: channel.reception.newest().unwrap_or(0),
            next: now,
            left: RESUMES,
        });
        let channel = peer.channel;
        self.retarget(channel);
        self.ask_again(now, fx);
    }

    /// Tells a standby that it need not cover any longer.
    pub fn release(&mut self, now: Instant, call: CallId, fx: &mut Effects<Fact>) {
        let Some(peer) = self.parents.get_mut(call).filter(|peer| peer.state.flow.is_standby()) else {
            return;
        };
        peer.state.flow = Flow::Resting;
        peer.state.flowing = false;
        peer.state.asking = None;
        let channel = peer.channel;
        self.retarget(channel);
        self.release_again(now, call, fx);
    }

    fn release_again(&mut self, now: Instant, call: CallId, fx: &mut Effects<Fact>) {
        let Some(peer) = self.parents.get_mut(call) else { return };
        let Some(channel) = self.channels.get(&peer.channel) else { return };
        let ssrc = channel.ssrc.unwrap_or(0);
        let highest = channel.reception.highest().unwrap_or(0);
        peer.state.released = Some(now);
        let cue = self.config.cue(Cue { cover: Cover::Release, ssrc, highest });
        peer.send(&cue, fx);
    }

    /// Media came from this address, which no call takes now. Is one of its standbys covering still, because a RELEASE was
    /// lost?
    pub(super) fn on_unwanted_media(&mut self, now: Instant, from: SocketAddr, fx: &mut Effects<Fact>) {
        let due = |at: Option<Instant>| at.is_some_and(|at| now.since(at) >= RESUME_INTERVAL);
        let unheard = self.parents.at(from).iter().find(|peer| due(peer.state.released));
        if let Some(call) = unheard.map(|peer| peer.call) {
            self.release_again(now, call, fx);
        }
    }

    /// Sends every RESUME that is due, and gives up those that were sent often enough.
    pub(super) fn ask_again(&mut self, now: Instant, fx: &mut Effects<Fact>) {
        let mut next = None;
        for peer in self.parents.iter_mut() {
            let Some(asking) = &mut peer.state.asking else { continue };
            if asking.next <= now {
                if asking.left == 0 {
                    peer.state.asking = None;
                    continue;
                }
                asking.left -= 1;
                // DENIED comes after one round trip: a copy that crosses with it would be taken for another request.
                let answer = peer.rtt.map_or(Duration::ZERO, |rtt| rtt + rtt / 2);
                asking.next = now + answer.max(RESUME_INTERVAL);
                let Asking { ssrc, highest, .. } = *asking;
                next = earliest(next, Some(asking.next));
                let cue = self.config.cue(Cue { cover: Cover::Resume, ssrc, highest });
                peer.send(&cue, fx);
            } else {
                next = earliest(next, Some(asking.next));
            }
        }
        self.next_resume = next;
    }
}

/// The provider's side.
impl Relay {
    /// Grants this child a standby: nothing is sent to it until [`Relay::serve`].
    pub fn add_standby_child(
        &mut self,
        call: CallId,
        channel: ChannelId,
        remote: impl Into<Remote>,
    ) -> Result<(), RelayError> {
        let state = Downstream { flow: Flow::Resting, ..Downstream::default() };
        self.insert_child(Peer::new(call, channel, &remote.into(), state))
    }

    /// Covers a standby's child from now on, from where its RESUME says.
    pub fn serve(&mut self, now: Instant, call: CallId, fx: &mut Effects<Fact>) {
        let Some(peer) = self.children.get_mut(call).filter(|peer| peer.state.flow.is_standby()) else {
            return;
        };
        let Some(channel) = self.channels.get(&peer.channel) else { return };
        let from = match peer.state.asked {
            Some(Asked { ssrc, highest }) if channel.ssrc == Some(ssrc) => Start::After(highest as u16),
            // It has nothing of this source yet.
            Some(_) => Start::RandomAccess,
            None => Start::Live,
        };
        peer.state.flow = Flow::Covering;
        self.begin(now, call, from, fx);
    }

    /// Covers this child no longer; it is a standby again.
    pub fn rest(&mut self, call: CallId) {
        let Some(peer) = self.children.get_mut(call).filter(|peer| peer.state.flow.is_standby()) else {
            return;
        };
        peer.state.flow = Flow::Resting;
        peer.state.asked = None;
        peer.state.replay = None;
        let channel = peer.channel;
        self.retarget(channel);
    }

    /// Tells a standby's child that it is not covered now.
    pub fn deny(&mut self, call: CallId, fx: &mut Effects<Fact>) {
        self.rest(call);
        let Some(peer) = self.children.get_mut(call).filter(|peer| peer.state.flow.is_standby()) else {
            return;
        };
        let Some(channel) = self.channels.get(&peer.channel) else { return };
        let (ssrc, highest) = (channel.ssrc.unwrap_or(0), channel.reception.highest().unwrap_or(0));
        let cue = self.config.cue(Cue { cover: Cover::Denied, ssrc, highest });
        peer.send(&cue, fx);
    }
}

/// What arrives.
impl Relay {
    /// A cue of a standby's other end. Whether it was for a standby of ours.
    pub(super) fn on_cue(
        &mut self,
        now: Instant,
        (from, voice): (SocketAddr, Voice),
        cue: Cue,
        fx: &mut Effects<Fact>,
    ) -> bool {
        match cue.cover {
            Cover::Denied => self.on_denied(now, (from, voice), cue, fx),
            Cover::Resume | Cover::Release => self.on_request(now, (from, voice), cue, fx),
        }
    }

    fn on_denied(
        &mut self,
        now: Instant,
        (from, voice): (SocketAddr, Voice),
        cue: Cue,
        fx: &mut Effects<Fact>,
    ) -> bool {
        let Some(call) = self.meant(self.parents.at(from), voice, cue, |state| state.flow) else {
            return false;
        };
        let Some(peer) = self.parents.get_mut(call) else { return false };
        // One that is late, and that media has overtaken, says nothing any more.
        if peer.state.asking.take().is_some() {
            peer.state.flow = Flow::Resting;
            // Another RESUME may have been under way: if it is served all the same, that is to end.
            peer.state.released = Some(now);
            let channel = peer.channel;
            self.retarget(channel);
            fx.fact(Fact::Denied { channel, call });
        }
        true
    }

    fn on_request(
        &mut self,
        now: Instant,
        (from, voice): (SocketAddr, Voice),
        cue: Cue,
        fx: &mut Effects<Fact>,
    ) -> bool {
        let Some(call) = self.meant(self.children.at(from), voice, cue, |state| state.flow) else {
            return false;
        };
        let Some(peer) = self.children.get_mut(call) else { return false };
        let channel = peer.channel;
        let covering = !peer.state.flow.is_resting();
        let asked = Asked { ssrc: cue.ssrc, highest: cue.highest };
        // Nobody has a replay begin all the time, not by a RELEASE in between either.
        let soon = peer.state.resumed.is_some_and(|at| now.since(at) < RESUME_INTERVAL);
        match cue.cover {
            Cover::Resume if soon => {}
            // The same again was under way when it was heard.
            Cover::Resume if covering && peer.state.asked == Some(asked) => {}
            Cover::Resume => {
                peer.state.asked = Some(asked);
                peer.state.resumed = Some(now);
                fx.fact(Fact::Resumed { channel, call });
            }
            Cover::Release if covering => fx.fact(Fact::Released { channel, call }),
            Cover::Release | Cover::Denied => {}
        }
        true
    }

    /// Which of these calls a cue is about: the standby whose source it names, or else the only standby there is.
    fn meant<T>(
        &self,
        peers: &[Peer<T>],
        voice: Voice,
        cue: Cue,
        flow: impl Fn(&T) -> Flow,
    ) -> Option<CallId> {
        let standbys =
            || peers.iter().filter(|peer| voice.speaks_for(peer) && flow(&peer.state).is_standby());
        let is_named = |peer: &&Peer<T>| {
            self.channels.get(&peer.channel).is_some_and(|channel| channel.ssrc == Some(cue.ssrc))
        };
        standbys().find(is_named).map(|peer| peer.call).or_else(|| only(standbys().map(|peer| peer.call)))
    }
}

impl super::Config {
    fn cue(&self, cue: Cue) -> Bytes {
        Composer::receiver_report(self.ssrc, &[]).cname(&self.cname).cue(cue).finish()
    }
}
