//! What a world is made of: people, media, paths, policy. It says nothing of what happens.

use crate::iptv::{Config, Mode, Profile};
use crate::sim::flow::crowd::Crowd;
use crate::sim::flow::media::Terms;
use crate::sim::flow::underlay;
use crate::sim::underlay::Conditions;

/// What a world is made of.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Who watches.
    pub crowd: Crowd,
    /// What the media are, and what the media plane does about holes.
    pub terms: Terms,
    /// The paths between hosts. Loss costs a message on a stream time, and loses one of the media plane.
    pub conditions: Conditions,
    /// The policy of all nodes; capacities are the crowd's.
    pub policy: Config,
    /// How many children the source serves.
    pub source_slots: u16,
    /// Round trips before the first message to a stranger: two for TCP and TLS 1.3, none for UDP.
    pub handshake: u32,
    /// Viewers that join in a second before the watch begins.
    pub growth: f64,
}

impl Setting {
    /// The underlay of all runs ([`underlay`]) under a profile of the policy, source-managed.
    pub fn new(profile: Profile, crowd: Crowd) -> Self {
        let mut policy = Config::new(profile, 0);
        // A source that manages the whole tree knows every viewer, and has to have room for all.
        let all = (crowd.planned() * 2).max(policy.limits.rows);
        policy.limits.rows = all;
        policy.limits.controls = all;
        if profile == Profile::Paper {
            // It has every relayer register, and knows of none but by looking up: let it find and ask many.
            policy.registered_relayers = u16::MAX;
            policy.limits.providers = u8::MAX;
            policy.limits.asked = u8::MAX;
        }
        policy.limits.strangers = policy.limits.strangers.max(crowd.planned() / 4);
        Setting {
            // The media plane mends whatever the policy is.
            terms: Terms::plain().with_nacks().with_replay(),
            conditions: underlay(),
            policy,
            source_slots: 8,
            handshake: 2,
            growth: (f64::from(crowd.viewers) / 60.0).clamp(100.0, 4000.0),
            crowd,
        }
    }

    /// The same, with relayers that elect, or a source that does.
    #[must_use]
    pub const fn with_mode(mut self, mode: Mode) -> Self {
        self.policy.mode = mode;
        self
    }
}
