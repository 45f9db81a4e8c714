//! The script of the demonstration: who enters when, who is killed, when it is over. It sees the scene from time to
//! time and says what to do next; it touches nothing itself.

use p2piptv::time::{Duration, Instant};

/// The tree has settled when nothing moved for this long: longer than a relayer takes to report its children.
const SETTLED: Duration = Duration::from_millis(2500);
/// How long the mended tree is watched.
const EPILOGUE: Duration = Duration::from_secs(1);
/// A large tree is never quite at rest: a whole one has settled by then.
const LARGE: Duration = Duration::from_secs(10);
/// How long everybody has to leave.
const FAREWELL: Duration = Duration::from_secs(3);

/// Whose child a viewer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent {
    /// The source itself.
    Source,
    /// Another viewer, by its number from zero.
    Viewer(usize),
}

/// A viewer as the audience sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whether it was started and not killed.
    pub alive: bool,
    /// Whether the picture comes.
    pub playing: bool,
    /// Who sends it.
    pub parent: Option<Parent>,
    /// Whether it sits in a rescue slot, for now.
    pub rescued: bool,
}

/// The whole scene.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scene {
    /// The overlay stands.
    pub founded: bool,
    /// The channel can be found.
    pub published: bool,
    /// Every viewer, started or not.
    pub viewers: Vec<Seen>,
    /// Everybody has left.
    pub empty: bool,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Start the source.
    StartSource,
    /// Start this viewer.
    StartViewer(usize),
    /// Take this viewer away without a word.
    Kill(usize),
    /// The tree has mended itself: this is the time to take its picture.
    Mended,
    /// Everybody leaves.
    Leave,
    /// It is over.
    End,
}

/// What the script waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Founding,
    Publishing,
    Playing(usize),
    Settling,
    Mending,
    Epilogue,
    Leaving,
    Over,
}

/// Somebody did not do their part in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stuck {
    /// The bootstrap node.
    #[error("the overlay was not founded in time")]
    Founding,
    /// The source.
    #[error("the source could not publish the channel in time")]
    Publishing,
    /// A viewer, counted from one.
    #[error("viewer {0} got no picture in time")]
    Playing(usize),
    /// The tree.
    #[error("the tree did not come to rest in time")]
    Settling,
    /// The tree, after somebody was killed.
    #[error("the tree did not mend itself in time")]
    Mending,
}

/// How fast the script is played.
#[derive(Clone, Copy, Debug)]
pub struct Tempo {
    /// Between a viewer that plays and the next that enters.
    pub pause: Duration,
    /// How long every step may take.
    pub patience: Duration,
}

/// Follows the script.
#[derive(Debug)]
pub struct Director {
    /// Who is still to be killed.
    kills: usize,
    tempo: Tempo,
    step: Step,
    since: Instant,
    scene: Scene,
    /// When the scene changed last.
    moved: Instant,
}

impl Director {
    /// Begins. `kills` is how many relayers are killed.
    pub fn new(now: Instant, kills: usize, tempo: Tempo) -> Self {
        Director { kills, tempo, step: Step::Founding, since: now, scene: Scene::default(), moved: now }
    }

    /// Looks at the scene. At most one thing is to be done at a time; ask again.
    pub fn direct(&mut self, now: Instant, scene: &Scene) -> Result<Option<Act>, Stuck> {
        if *scene != self.scene {
            self.scene.clone_from(scene);
            self.moved = now;
        }
        let waited = now.since(self.since);
        let rest = now.since(self.moved);
        let next = match self.step {
            Step::Founding if scene.founded => Some((Step::Publishing, Act::StartSource)),
            Step::Publishing if scene.published => Some((Step::Playing(0), Act::StartViewer(0))),
            Step::Playing(n)
                if scene.viewers.get(n).is_some_and(|v| v.playing) && rest >= self.tempo.pause =>
            {
                match n + 1 < scene.viewers.len() {
                    true => Some((Step::Playing(n + 1), Act::StartViewer(n + 1))),
                    false => self.turn(now, Step::Settling),
                }
            }
            Step::Settling | Step::Mending if self.is_whole() && (rest >= SETTLED || waited >= LARGE) => {
                match self.victim().filter(|_| self.kills > 0) {
                    Some(victim) => {
                        self.kills -= 1;
                        Some((Step::Mending, Act::Kill(victim)))
                    }
                    None => Some((Step::Epilogue, Act::Mended)),
                }
            }
            Step::Epilogue if waited >= EPILOGUE => Some((Step::Leaving, Act::Leave)),
            Step::Leaving if scene.empty || waited >= FAREWELL => Some((Step::Over, Act::End)),
            _ => None,
        };
        match next {
            Some((step, act)) => {
                self.turn(now, step);
                Ok(Some(act))
            }
            None if waited > self.tempo.patience => self.give_up(),
            None => Ok(None),
        }
    }

    /// The user wants to stop.
    pub fn stop(&mut self, now: Instant) -> Act {
        let leaving = matches!(self.step, Step::Leaving | Step::Over);
        let (step, act) = if leaving { (Step::Over, Act::End) } else { (Step::Leaving, Act::Leave) };
        self.turn(now, step);
        act
    }

    fn turn(&mut self, now: Instant, step: Step) -> Option<(Step, Act)> {
        (self.step, self.since) = (step, now);
        None
    }

    fn give_up(&self) -> Result<Option<Act>, Stuck> {
        match self.step {
            Step::Founding => Err(Stuck::Founding),
            Step::Publishing => Err(Stuck::Publishing),
            Step::Playing(n) => Err(Stuck::Playing(n + 1)),
            Step::Settling => Err(Stuck::Settling),
            Step::Mending => Err(Stuck::Mending),
            Step::Epilogue | Step::Leaving | Step::Over => Ok(None),
        }
    }

    /// Everybody who lives plays, from somebody who lives, in an ordinary slot.
    fn is_whole(&self) -> bool {
        let alive = |parent: Parent| match parent {
            Parent::Source => true,
            Parent::Viewer(n) => self.scene.viewers.get(n).is_some_and(|v| v.alive),
        };
        let whole = |v: &Seen| v.playing && !v.rescued && v.parent.is_some_and(alive);
        self.scene.viewers.iter().filter(|v| v.alive).all(whole)
    }

    /// The first of the viewers with the most children; nobody when nobody has any.
    fn victim(&self) -> Option<usize> {
        let children =
            |n: usize| self.scene.viewers.iter().filter(|v| v.parent == Some(Parent::Viewer(n))).count();
        let relayers = (0..self.scene.viewers.len()).filter(|&n| children(n) > 0);
        relayers.rev().max_by_key(|&n| children(n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn playing(parent: Parent) -> Seen {
        Seen { alive: true, playing: true, parent: Some(parent), rescued: false }
    }

    /// Table 1 of the paper, as far as four viewers go.
    fn table1() -> Scene {
        let viewers =
            [Parent::Source, Parent::Source, Parent::Viewer(0), Parent::Viewer(0)].map(playing).to_vec();
        Scene { founded: true, published: true, viewers, empty: false }
    }

    fn director(kills: usize) -> Director {
        let tempo = Tempo { pause: Duration::from_millis(700), patience: Duration::from_secs(30) };
        Director::new(at(0), kills, tempo)
    }

    /// Looks every 100 ms until something is to be done.
    fn next(director: &mut Director, now: &mut u64, scene: &Scene) -> Result<Act, Stuck> {
        loop {
            *now += 100;
            if let Some(act) = director.direct(at(*now), scene)? {
                return Ok(act);
            }
        }
    }

    #[test]
    fn viewers_enter_one_after_the_other_then_the_busiest_relayer_is_killed() {
        let (mut director, mut now) = (director(1), 0);
        let mut scene = Scene { viewers: vec![Seen::default(); 4], ..Scene::default() };
        assert_eq!(director.direct(at(0), &scene), Ok(None));
        scene.founded = true;
        assert_eq!(next(&mut director, &mut now, &scene), Ok(Act::StartSource));
        scene.published = true;
        for (n, seen) in table1().viewers.into_iter().enumerate() {
            assert_eq!(next(&mut director, &mut now, &scene), Ok(Act::StartViewer(n)));
            let started = now;
            scene.viewers[n].alive = true;
            assert_eq!(director.direct(at(now), &scene), Ok(None), "it has no picture yet");
            scene.viewers[n] = seen;
            director.direct(at(now), &scene).expect("in time");
            assert!(now - started < 1000);
        }
        assert_eq!(next(&mut director, &mut now, &scene), Ok(Act::Kill(0)));
        let killed = now;
        scene.viewers[0] = Seen::default();
        scene.viewers[2].parent = Some(Parent::Source);
        scene.viewers[2].rescued = true;
        scene.viewers[3].playing = false;
        (0..20).for_each(|_| {
            now += 100;
            assert_eq!(director.direct(at(now), &scene), Ok(None));
        });
        scene.viewers[2].rescued = false;
        scene.viewers[3] = playing(Parent::Viewer(1));
        assert_eq!(next(&mut director, &mut now, &scene), Ok(Act::Mended));
        assert!(now - killed >= 4500);
        assert_eq!(next(&mut director, &mut now, &scene), Ok(Act::Leave));
        scene.empty = true;
        assert_eq!(next(&mut director, &mut now, &scene), Ok(Act::End));
    }

    #[test]
    fn nobody_is_killed_when_nobody_relays_or_nobody_shall_be() {
        let mut alone = table1();
        alone.viewers.iter_mut().for_each(|v| v.parent = Some(Parent::Source));
        for (kills, scene) in [(1, alone), (0, table1())] {
            let (mut director, mut now) = (director(kills), 0);
            let mut acts = Vec::new();
            while acts.last() != Some(&Act::End) {
                acts.push(next(&mut director, &mut now, &scene).expect("in time"));
            }
            assert!(
                !acts.iter().any(|act| matches!(act, Act::Kill(_))) && acts.contains(&Act::Mended),
                "{acts:?}"
            );
        }
    }

    #[test]
    fn relayers_are_killed_one_after_the_other_as_often_as_was_asked_and_while_there_are_any() {
        let (mut director, mut now, mut scene) = (director(3), 0, table1());
        let mut acts = Vec::new();
        while acts.last() != Some(&Act::Mended) {
            let act = next(&mut director, &mut now, &scene).expect("in time");
            if let Act::Kill(n) = act {
                scene.viewers[n] = Seen::default();
                let orphans: Vec<usize> =
                    (0..4).filter(|&v| scene.viewers[v].parent == Some(Parent::Viewer(n))).collect();
                orphans.iter().for_each(|&v| {
                    scene.viewers[v].parent = Some(if n == 0 { Parent::Viewer(1) } else { Parent::Source })
                });
            }
            acts.push(act);
        }
        let kills: Vec<Act> = acts.into_iter().filter(|act| matches!(act, Act::Kill(_))).collect();
        // Then nobody relays any more.
        assert_eq!(kills, [Act::Kill(0), Act::Kill(1)]);
    }

    #[test]
    fn whoever_does_not_play_their_part_is_named() {
        let (mut director, mut now) = (director(1), 0);
        let mut scene = table1();
        scene.viewers[2] = Seen { alive: true, ..Seen::default() };
        let stuck = loop {
            if let Err(stuck) = next(&mut director, &mut now, &scene) {
                break stuck;
            }
        };
        assert_eq!(stuck.to_string(), "viewer 3 got no picture in time");
    }

    #[test]
    fn a_user_who_stops_sees_everybody_leave_and_who_stops_twice_does_not_wait() {
        let mut director = director(1);
        assert_eq!(director.stop(at(0)), Act::Leave);
        assert_eq!(director.stop(at(1)), Act::End);
    }
}
