//! The overlay from outside: many of them on a small network, and one of them byte by byte.
//!
//! | file | what |
//! | --- | --- |
//! | `network`, `underlay` | many overlays on one clock; what lies beneath their secured links |
//! | `rings`, `stabilising`, `joining`, `leaving`, `redir`, `secured`, `clients`, `bootstrap` | what many of them do together |
//! | `wire`, `bench`, `hub` | one overlay and what is said to it: in datagrams, over streams, by many |
//! | `framing`, `dialling`, `parties`, `links` | streams, as one overlay uses them |
//! | `routing`, `tables`, `fragments`, `options`, `signing`, `deferred`, `hostile` | everything else that one overlay does |

mod bench;
mod bootstrap;
mod clients;
mod deferred;
mod dialling;
mod fragments;
mod framing;
mod hostile;
mod hub;
mod joining;
mod leaving;
mod links;
mod network;
mod options;
mod parties;
mod redir;
mod rings;
mod routing;
mod secured;
mod signing;
mod stabilising;
mod tables;
mod underlay;
mod wire;
