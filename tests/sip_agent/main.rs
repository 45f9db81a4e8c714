//! The SIP agent: two of them over a virtual wire, and one of them against scripts of text.

mod calls;
mod laws;
mod scripts;
mod wire;
