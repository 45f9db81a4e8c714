//! The overlay from outside: many of them on a small network, and one of them byte by byte.

mod hostile;
mod joining;
mod leaving;
mod links;
mod network;
mod stabilising;
mod underlay;
mod wire;
