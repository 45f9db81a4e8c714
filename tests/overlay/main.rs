//! The overlay from outside: many of them on a small network, and one of them byte by byte.

mod bootstrap;
mod clients;
mod deferred;
mod fragments;
mod hostile;
mod hub;
mod joining;
mod leaving;
mod links;
mod network;
mod options;
mod redir;
mod routing;
mod signing;
mod stabilising;
mod tables;
mod underlay;
mod wire;
