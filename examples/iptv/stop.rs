//! Ctrl-C and SIGTERM, as something that wakes the poll.

use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;
use std::io;

/// The wish of the user to stop.
pub struct Stop {
    signals: Signals,
}

impl Stop {
    /// Catches the signals from now on.
    pub fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        registry.register(&mut signals, token, Interest::READABLE)?;
        Ok(Stop { signals })
    }

    /// How often it was wished since the last call.
    pub fn take(&mut self) -> usize {
        self.signals.pending().count()
    }
}
