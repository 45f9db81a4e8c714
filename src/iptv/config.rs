//! What the host decides: how much this node uploads, the timers of the profile, and the limits.

use crate::time::Duration;
use alloc::sync::Arc;

/// The shortest timer.
pub(super) const LEAST: Duration = Duration::from_millis(1);

/// Which behaviour a node shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// The published design as it stands: table order, five-second keep-alives, an orphan waits for three of them and
    /// looks the channel up again. No redirects, backups, rescue slots, HOLD or hedged requests.
    Paper,
    /// The same protocol with an answer to everything that the paper leaves open.
    Default,
}

/// Who elects the relayers of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// The publisher, everywhere in the tree: it knows every viewer, sends callers wherever a slot is free, and does work
    /// for each relayer (the published design).
    #[default]
    SourceManaged,
    /// Every relayer, among its own children. Nobody knows more than its children and theirs, and what the children say
    /// in sum of all that is below them; nobody does more work than its own children give it, whatever the crowd.
    Delegated,
}

/// Timers and sizes of the policy. Every duration is at least a millisecond once it is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Which behaviour.
    pub profile: Profile,
    /// Who elects. A publisher lays it down for its channel, and every parent passes it on with the child's place in the
    /// tree; of viewers it decides only whom they ask first before they have a parent. The paper's profile is always
    /// source-managed.
    pub mode: Mode,
    /// Ordinary slots, shared by all channels: how many children this node's uplink can serve.
    pub capacity: u16,
    /// Slots on top of `capacity`, for orphans only and never advertised. None are given while `capacity` is zero, and
    /// none at all in the paper's profile.
    pub rescue_slots: u8,

    /// A node without new media for this long tells its children so (HOLD), again soon, and then each time it has passed once
    /// more. How long it really waits follows the pace of the media ([`Pace`](super::Pace)) until [`Config::repair_after`] has
    /// passed; this is the most, and what holds from then on and while the pace is unknown.
    pub hold_after: Duration,
    /// A parent that said nothing for this long, neither media nor HOLD, is dead. A node that has standbys asks one of
    /// them for media after half as long again as it takes until it says HOLD, or a little more where packets jitter, and after
    /// the first HOLDs when two more have not come; this is the most.
    pub repair_after: Duration,
    /// No silence shorter than this counts, however dense the packets are.
    pub silence_floor: Duration,
    /// The next standby is asked when one has neither sent nor refused for this long, or for two of its round trips if that is
    /// more; after [`Config::hedge_after`] at the latest. Whoever has 64 viewers below asks two at a time.
    pub resume_hedge: Duration,
    /// How long a silent parent is kept after another one has begun to send. If it speaks again before that nothing has
    /// changed in the tree, unless it had come back twice within eight times as long, each time after another one had
    /// sent in its place.
    pub confirm_after: Duration,
    /// After a false alarm a silent parent is given twice as long beyond the threshold before a standby is asked; so long
    /// until half of that is forgotten.
    pub alarm_decay: Duration,
    /// How long it takes until a child that cannot relay is asked to give its slot to one that can, and again if it found
    /// no other.
    pub yield_after: Duration,
    /// How long a relayer that leaves by plan goes on sending until its children have other parents. So long a backup parent that
    /// has sunk, and has denied for that, serves whoever asks again; and so long a source is looked for after a parent has said
    /// that the channel is over.
    pub farewell: Duration,
    /// Standbys are looked for within this time after the parent named backups, so that not all children ask at once.
    pub standby_spread: Duration,
    /// Who refused a standby is not asked for one again for this long.
    pub lease_retry: Duration,
    /// How long a child may sit in a rescue slot although the child of another standby asks for it. Then it is told to move,
    /// and when it has not done so [`Config::farewell`] later its call ends.
    pub tenure: Duration,
    /// A standby whose child sent no reception report for this long is over.
    pub lease_silence: Duration,
    /// A parent that says HOLD for this long is left, although it is alive.
    pub hold_limit: Duration,
    /// The same for a parent that says that the source itself is gone, unless a standby has media: its children stay with
    /// it, so that the tree is whole when another source takes over.
    pub source_hold: Duration,
    /// A standby source asks the source whether it lives when nothing has come for this long, and gives it as long to
    /// answer.
    pub takeover_after: Duration,
    /// The channel is over when its lookups have named no source for this long and nothing plays; for [`Config::farewell`], if a
    /// parent has said that it is over.
    pub source_limit: Duration,
    /// The next provider is asked when one has not answered for this long, or for three round trips, as long as any that this
    /// node knows of, if that is more. Who loses its parent does not wait for longer than this, neither for a provider nor for the
    /// last standby, before it asks further ones.
    pub hedge_after: Duration,
    /// An INVITE without a final answer is given up after this long; that of an orphan after three times
    /// [`Config::hedge_after`], or nine round trips if that is more, if it is sooner.
    pub answer_limit: Duration,
    /// A lookup without an answer is given up after this long.
    pub fetch_limit: Duration,
    /// The first pause after everybody refused; doubled each time up to `retry_limit`, and jittered.
    pub retry_after: Duration,
    /// The longest pause between two attempts.
    pub retry_limit: Duration,
    /// The same two pauses for a search that somebody waits for: that of an orphan, and that of a child which occupies a
    /// rescue slot until it has found an ordinary one.
    pub seek_after: Duration,
    /// See `seek_after`.
    pub seek_limit: Duration,
    /// How long a child of a rescue slot stays there before it looks elsewhere: by then the slot of the dead is free, if
    /// its parent was the source.
    pub move_after: Duration,
    /// The first pause before a viewer that sank by two layers or more, sits deep, or has a far parent looks for a better place;
    /// doubled with each attempt that found none.
    pub climb_after: Duration,
    /// What a provider without room tells a caller to wait (Retry-After).
    pub busy_retry_after: Duration,
    /// How long a newcomer for whom there is no room waits for the next relayer before it is refused. Less than a caller has
    /// patience for (`answer_limit`).
    pub queue_limit: Duration,

    /// Time between two alive messages of a relayer (± 10 %). Where relayers elect these go to the parent, which hears reception
    /// reports anyway, and are thirty times as far apart.
    pub alive_interval: Duration,
    /// A relayer is lost when this many alive messages did not come.
    pub alive_misses: u8,
    /// A child that used to send reception reports and has stopped for this long is gone.
    pub child_silence: Duration,
    /// The same for a child whose own child has come to its elector as an orphan, or to this node as a standby that asks for media:
    /// a little longer than one interval of the reports.
    pub suspect_silence: Duration,
    /// For how long a child of a new relayer has to be served, and then to report that it misses hardly more than its parent,
    /// until the relayer registers itself. In the paper's profile it does so at once.
    pub probe: Duration,
    /// A new relayer to which nobody has come for this long registers untried.
    pub probe_limit: Duration,
    /// An offer to relay is void when it was not answered for this long.
    pub offer_limit: Duration,
    /// Who declined or failed as a relayer is not asked again for this long, and twice as long each time it fails again. For
    /// somebody who has found no room, if there is nobody else, a sixth of it has to do.
    pub candidate_backoff: Duration,
    /// Relayers that are told to put themselves under the channel's name, per channel. The others stand elsewhere.
    pub registered_relayers: u16,
    /// Least time between two Child updates, and between two updates of children's tree positions.
    pub update_interval: Duration,
    /// Least time between two stores of this node's record because its free slots reached or left zero, and for how long a slot
    /// has to be free until the record says so.
    pub register_interval: Duration,
    /// A row of the table whose parent nobody knows any more is forgotten after this long.
    pub adrift_limit: Duration,
    /// The same for a viewer that its own parent no longer names and that has no dialog with this node: it has moved, and
    /// is soon named by another relayer, or it is gone.
    pub missing_limit: Duration,

    /// What peers can make grow.
    pub limits: Limits,
}

/// Everything that a peer could make grow, with its limit and what happens at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Channels in use at once; a command beyond is refused.
    pub channels: u16,
    /// Rows of the table of a channel; peers beyond are served but not listed, hence never elected.
    pub rows: u32,
    /// Children that one report may name; the rest of the list is ignored.
    pub report_children: u16,
    /// Providers kept from one answer of the overlay or one redirect; the rest of the list is ignored.
    pub providers: u8,
    /// Alternatives named in one redirect.
    pub redirect_contacts: u8,
    /// Redirects followed one after the other. Where relayers elect, those that lead down, from layer to layer, do not count.
    pub redirects: u8,
    /// Peers asked in one search; then it pauses and starts anew.
    pub asked: u8,
    /// INVITEs under way at once in one search.
    pub hedges: u8,
    /// The same for who loses its parent and whom no backup parent helps; who has not answered for two of
    /// [`Config::hedge_after`] no longer counts.
    pub urgent: u8,
    /// Backup parents that a child is told, and that a node remembers.
    pub backups: u8,
    /// Backup parents that are kept ready: answered calls in which no media flows.
    pub standbys: u8,
    /// Standbys that a node promises to others at once, all of them on its rescue slots; a further one is refused.
    pub leases: u16,
    /// Hops from the source. A node this deep accepts no children; a longer path counts as a cycle.
    pub depth: u8,
    /// Rows of the table that are adrift when a peer that is not in the table offers a control dialog; it is refused then.
    pub strangers: u32,
    /// Control dialogs of one elector; candidates beyond are not asked.
    pub controls: u32,
    /// Newcomers that wait at the source for the next relayer; a further one is refused.
    pub waiting: u16,
    /// The same as `rows` where relayers elect: my children and theirs.
    pub subtree_rows: u16,
    /// Offers of one elector that wait for an answer at once; further candidates wait. In the paper's profile there is one.
    pub offers: u8,
    /// Providers with free slots that an aggregate names; the rest is only counted.
    pub open: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            channels: 64,
            rows: 65_536,
            report_children: 256,
            providers: 16,
            redirect_contacts: 8,
            redirects: 2,
            asked: 24,
            hedges: 3,
            urgent: 5,
            backups: 4,
            standbys: 3,
            leases: 16,
            depth: 64,
            strangers: 256,
            controls: 32_768,
            waiting: 64,
            subtree_rows: 1024,
            offers: 4,
            open: 8,
        }
    }
}

impl Config {
    /// A profile with its timers, for a node that can serve `capacity` children.
    pub fn new(profile: Profile, capacity: u16) -> Self {
        let ms = Duration::from_millis;
        let common = Config {
            profile,
            mode: Mode::SourceManaged,
            capacity,
            rescue_slots: 1,
            hold_after: ms(200),
            repair_after: ms(400),
            silence_floor: ms(40),
            resume_hedge: ms(50),
            confirm_after: ms(1_000),
            alarm_decay: ms(60_000),
            yield_after: ms(100),
            farewell: ms(2_000),
            standby_spread: ms(1_000),
            lease_retry: ms(10_000),
            tenure: ms(10_000),
            lease_silence: ms(17_500),
            hold_limit: ms(2_000),
            source_hold: ms(10_000),
            takeover_after: ms(1_000),
            source_limit: ms(45_000),
            hedge_after: ms(200),
            answer_limit: ms(4_000),
            fetch_limit: ms(20_000),
            retry_after: ms(500),
            retry_limit: ms(8_000),
            seek_after: ms(300),
            seek_limit: ms(1_500),
            move_after: ms(1_200),
            climb_after: ms(4_000),
            busy_retry_after: ms(1_000),
            queue_limit: ms(2_000),
            alive_interval: ms(1_000),
            alive_misses: 3,
            child_silence: ms(3_500),
            suspect_silence: ms(1_500),
            probe: ms(750),
            probe_limit: ms(3_000),
            offer_limit: ms(3_000),
            candidate_backoff: ms(30_000),
            registered_relayers: 8,
            update_interval: ms(1_000),
            register_interval: ms(5_000),
            adrift_limit: ms(30_000),
            missing_limit: ms(3_000),
            limits: Limits::default(),
        };
        match profile {
            Profile::Default => common,
            Profile::Paper => Config {
                rescue_slots: 0,
                repair_after: ms(15_000),
                alive_interval: ms(5_000),
                child_silence: ms(17_500),
                answer_limit: ms(5_000),
                ..common
            },
        }
    }

    pub(super) fn is_paper(&self) -> bool {
        self.profile == Profile::Paper
    }

    /// The same, with every timer long enough that one which fires is due later the next time, and in the paper's profile no
    /// rescue slots and one elector. A configuration that is in order stays shared.
    pub(super) fn sane(shared: Arc<Self>) -> Arc<Self> {
        let mut config = Config::clone(&shared);
        for timer in [
            &mut config.hold_after,
            &mut config.repair_after,
            &mut config.hold_limit,
            &mut config.source_hold,
            &mut config.takeover_after,
            &mut config.source_limit,
            &mut config.silence_floor,
            &mut config.resume_hedge,
            &mut config.confirm_after,
            &mut config.alarm_decay,
            &mut config.yield_after,
            &mut config.farewell,
            &mut config.standby_spread,
            &mut config.lease_retry,
            &mut config.tenure,
            &mut config.lease_silence,
            &mut config.hedge_after,
            &mut config.answer_limit,
            &mut config.fetch_limit,
            &mut config.retry_after,
            &mut config.retry_limit,
            &mut config.seek_after,
            &mut config.seek_limit,
            &mut config.move_after,
            &mut config.climb_after,
            &mut config.busy_retry_after,
            &mut config.queue_limit,
            &mut config.alive_interval,
            &mut config.child_silence,
            &mut config.suspect_silence,
            &mut config.probe,
            &mut config.probe_limit,
            &mut config.offer_limit,
            &mut config.candidate_backoff,
            &mut config.update_interval,
            &mut config.register_interval,
            &mut config.adrift_limit,
            &mut config.missing_limit,
        ] {
            *timer = (*timer).max(LEAST);
        }
        if config.is_paper() {
            config.rescue_slots = 0;
            config.mode = Mode::SourceManaged;
        }
        if config == *shared { shared } else { Arc::new(config) }
    }
}

impl Default for Config {
    /// [`Profile::Default`] with room for two children.
    fn default() -> Self {
        Config::new(Profile::Default, 2)
    }
}
