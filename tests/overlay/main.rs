//! The overlay from outside: many of them on a small network, and one of them byte by byte.

mod fragments;
mod hostile;
mod hub;
mod joining;
mod leaving;
mod links;
mod network;
mod stabilising;
mod options;
mod routing;
mod signing;
mod underlay;
mod wire;
