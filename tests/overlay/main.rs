//! The overlay from outside: many of them on a small network, and one of them byte by byte.

#![allow(clippy::unwrap_used, clippy::panic, clippy::std_instead_of_core, clippy::std_instead_of_alloc)]

mod hostile;
mod joining;
mod leaving;
mod network;
mod wire;
