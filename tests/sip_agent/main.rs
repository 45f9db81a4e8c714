//! The SIP agent: two of them over a virtual wire, and one of them against scripts of text.

// A test binary has std, and its helpers may panic like its tests.

mod calls;
mod laws;
mod scripts;
mod secured;
mod wire;
