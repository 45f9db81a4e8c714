//! A directory of a test, which goes away with it.

use std::fs;
use std::path::{Path, PathBuf};

/// The directory.
pub struct Scratch(PathBuf);

impl Scratch {
    /// A place for one for this test, where nothing is yet.
    pub fn new(test: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("p2piptv-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        Scratch(dir)
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.0
    }

    /// A file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
