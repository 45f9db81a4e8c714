//! The overlay from outside: many of them on a small network, and one of them byte by byte.

mod hostile;
mod joining;
mod leaving;
mod network;
mod stabilising;
mod wire;
