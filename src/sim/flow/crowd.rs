//! Who watches, for how long, and with what uplink: the same people for every system that is compared.

use crate::env::{Entropy, Seeded};
use crate::sim::underlay::{exp, exponential, happens, standard_normal, unit};
use crate::time::{Duration, Instant};

/// How long people watch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stay {
    /// To the end.
    Endless,
    /// So that this share of the viewers leaves in a minute; who has watched for long is as likely to go as anybody.
    Exponential {
        /// A share of all viewers.
        per_minute: f64,
    },
    /// Log-normal with this share in the mean and a sigma of 1.8: most watch for moments, a few for hours.
    LogNormal {
        /// A share of all viewers.
        per_minute: f64,
    },
}

/// The sigma of log-normal stays.
const SIGMA: f64 = 1.8;

/// How many children the uplink of a home serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uplinks {
    /// The same for all.
    Equal(u16),
    /// 40 % none, 35 % two, 20 % four, 5 % eight: 1.9 in the mean.
    Mixed,
}

/// The people in front of the sets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crowd {
    /// Everything follows from it.
    pub seed: u64,
    /// Viewers from the beginning; each that leaves is replaced by a new one at once.
    pub viewers: u32,
    /// How long they stay.
    pub stay: Stay,
    /// What they can give.
    pub uplinks: Uplinks,
    /// The share of departures without a goodbye: a crash, a cable pulled out.
    pub abrupt: f64,
    /// The share of viewers that give nothing, whatever their uplink.
    pub leeches: f64,
    /// The share of viewers that claim their slots and never send a packet.
    pub liars: f64,
    /// When a quarter of all viewers leaves in one instant, and is not replaced.
    pub mass_leave: Option<Duration>,
    /// So many more viewers come, evenly spread over this long.
    pub rush: Option<(u32, Duration)>,
    /// How long it is watched what happens.
    pub lasts: Duration,
}

impl Crowd {
    /// Viewers with room for two children each that come and go exponentially for ten minutes, half of them without a
    /// goodbye.
    pub const fn new(seed: u64, viewers: u32, per_minute: f64) -> Self {
        Crowd {
            seed,
            viewers,
            stay: if per_minute > 0.0 { Stay::Exponential { per_minute } } else { Stay::Endless },
            uplinks: Uplinks::Equal(2),
            abrupt: 0.5,
            leeches: 0.0,
            liars: 0.0,
            mass_leave: None,
            rush: None,
            lasts: Duration::from_secs(600),
        }
    }
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Person {
    /// How many children the uplink serves.
    pub slots: u16,
    /// Whether it claims them and sends nothing.
    pub lies: bool,
    /// Whether it will go without a goodbye.
    pub abrupt: bool,
    /// When it goes, counted from the beginning of the watch; never in it, if that is later than its end.
    pub leaves: Instant,
    /// Whether somebody new comes then.
    pub replaced: bool,
}

impl Crowd {
    /// The `n`th person, who comes at `at`. The first [`Crowd::viewers`] are there at the beginning and have watched for a
    /// while already.
    pub fn person(&self, n: u32, at: Instant) -> Person {
        let mut dice = Seeded::new(self.seed ^ Seeded::new(u64::from(n) ^ 0x7065_6f70_6c65).next_u64());
        let stay = self.stay(n < self.viewers, &mut dice);
        let slots = match self.uplinks {
            Uplinks::Equal(slots) => slots,
            Uplinks::Mixed => match dice.below(20) {
                0..8 => 0,
                8..15 => 2,
                15..19 => 4,
                _ => 8,
            },
        };
        let slots = if happens(self.leeches, &mut dice) { 0 } else { slots };
        let lies = slots > 0 && happens(self.liars, &mut dice);
        let abrupt = happens(self.abrupt, &mut dice);
        let of_the_quarter = dice.below(4) == 0;
        let mut person = Person {
            slots,
            lies,
            abrupt,
            leaves: stay.map_or(Instant::FAR_FUTURE, |s| at + s),
            replaced: true,
        };
        if let Some(mass) = self.mass_leave.map(|d| Instant::ZERO + d)
            && of_the_quarter
            && at < mass
            && person.leaves >= mass
        {
            person.leaves = mass;
            person.replaced = false;
        }
        person
    }

    /// When the `n`th person comes, if it is one of the rush.
    pub fn rush_of(&self, n: u32) -> Option<Instant> {
        let (more, over) = self.rush?;
        let n = n.checked_sub(self.viewers).filter(|&n| n < more)?;
        Some(Instant::ZERO + over.mul_f64(f64::from(n) / f64::from(more)))
    }

    /// The people of the beginning and of the rush: from this number on they are replacements.
    pub fn planned(&self) -> u32 {
        self.viewers + self.rush.map_or(0, |r| r.0)
    }

    /// How long somebody stays; `before` are those who have come before the watch begins: it is more likely to meet one
    /// who stays long, at any point of the stay.
    fn stay(&self, before: bool, dice: &mut Seeded) -> Option<Duration> {
        match self.stay {
            Stay::Endless => None,
            Stay::Exponential { per_minute } => Some(exponential(per_minute / 60.0, dice)),
            Stay::LogNormal { per_minute } => {
                let mean = 60.0 / per_minute;
                // mean = e^(mu + sigma^2 / 2); length-biased, mu grows by sigma^2.
                let shift = if before { SIGMA * SIGMA / 2.0 } else { -SIGMA * SIGMA / 2.0 };
                let stay = mean * exp(shift + SIGMA * standard_normal(dice));
                let stay = if before { stay * unit(dice) } else { stay };
                Some(Duration::from_secs_f64(stay.clamp(0.1, 1e7)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people(crowd: &Crowd) -> impl Iterator<Item = Person> + '_ {
        (0..crowd.viewers).map(|n| crowd.person(n, Instant::ZERO))
    }

    #[test]
    fn the_share_that_leaves_in_a_minute_is_what_was_asked_for() {
        for stay in [Stay::Exponential { per_minute: 0.1 }, Stay::LogNormal { per_minute: 0.1 }] {
            let crowd = Crowd { stay, ..Crowd::new(1, 20_000, 0.1) };
            let left = people(&crowd).filter(|p| p.leaves < Instant::from_millis(60_000)).count();
            let most = if matches!(stay, Stay::LogNormal { .. }) { 1_500..2_100 } else { 1_800..2_000 };
            assert!(most.contains(&left), "{stay:?} {left}");
        }
    }

    #[test]
    fn mixed_uplinks_serve_one_point_nine_children_in_the_mean() {
        let crowd = Crowd { uplinks: Uplinks::Mixed, ..Crowd::new(1, 20_000, 0.0) };
        let slots: u32 = people(&crowd).map(|p| u32::from(p.slots)).sum();
        assert!((37_000..39_000).contains(&slots), "{slots}");
    }

    #[test]
    fn a_quarter_leaves_in_one_instant_and_nobody_else_is_changed() {
        let plain = Crowd::new(1, 4000, 0.01);
        let mass = Crowd { mass_leave: Some(Duration::from_secs(60)), ..plain };
        let gone: Vec<_> = people(&mass).zip(people(&plain)).filter(|(m, p)| m != p).collect();
        assert!((900..1100).contains(&gone.len()), "{}", gone.len());
        assert!(gone.iter().all(|(m, _)| m.leaves == Instant::from_millis(60_000) && !m.replaced));
    }
}
