//! How a machine is held against the figure that it is.

use core::fmt::Debug;

/// An arrow: from a state, on an input, to a state, with an action.
pub(super) type Arrow<S, I, A> = (S, I, S, A);

/// Every input in every state does what the arrows say. What is no arrow changes nothing.
pub(super) fn assert_figure<S, I, A>(
    states: &[S],
    inputs: &[I],
    (arrows, nothing): (&[Arrow<S, I, A>], A),
    step: impl Fn(S, I) -> (S, A),
) where
    S: Copy + PartialEq + Debug,
    I: Copy + PartialEq + Debug,
    A: Copy + PartialEq + Debug,
{
    for &state in states {
        for &input in inputs {
            let arrow = arrows.iter().find(|(from, on, ..)| (*from, *on) == (state, input));
            let expected = arrow.map_or((state, nothing), |(.., next, action)| (*next, *action));
            assert_eq!(step(state, input), expected, "{state:?} {input:?}");
        }
    }
}
