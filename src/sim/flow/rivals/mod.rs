//! Other ways to bring a channel to a crowd, each as good as it can honestly be made.
//!
//! They get the same people, paths, loss and playout deadline as the tree of this crate, and the same repair of media: lost
//! packets are asked for again, a new parent replays what was missed, and silence is noticed as soon. What is left is what
//! distinguishes them: who finds whom, how, and who has to know it. All are models, small enough to be read; each file says
//! what it takes for granted and what it was taken from.
//!
//! | file | system |
//! | --- | --- |
//! | `grove` | what all that push along trees have in common |
//! | `central` | one server, unicast |
//! | `edges` | a CDN: an origin and edge servers |
//! | `tracker` | peers that a tracker names at random |
//! | `managed` | peers that a server arranges |
//! | `source_only` | a DHT that knows the source alone |
//! | `striped` | several trees, each node inside of one (SplitStream) |
//! | `mesh` | chunks that are pulled from partners (CoolStreaming) |

mod central;
mod edges;
mod grove;
mod managed;
mod mesh;
mod source_only;
mod striped;
mod tracker;

pub use central::Central;
pub use edges::Edges;
pub use grove::{Ask, Grove, Rival, play};
pub use managed::Managed;
pub use mesh::{Mesh, play as play_mesh};
pub use source_only::SourceOnly;
pub use striped::Striped;
pub use tracker::Tracker;
