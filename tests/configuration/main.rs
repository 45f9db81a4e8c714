//! The configuration document: what it says, who may sign it, and how it reaches every node.

#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "tests run on an operating system"
)]

mod documents;
mod kinds;
mod network;
mod nodes;
mod signatures;
mod updates;
