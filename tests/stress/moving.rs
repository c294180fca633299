//! Moves, replaces and deletes the lock file again and again. A file that has lost the name never gets it back.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

pub(crate) struct Mover {
    random: SmallRng,
    directory: PathBuf,
    number: usize,
}

impl Mover {
    pub(crate) fn new(directory: &Path, seed: u64) -> Self {
        let random = SmallRng::seed_from_u64(!seed);
        Self { random, directory: directory.into(), number: 0 }
    }

    /// Returns the number of moves.
    pub(crate) fn move_until(&mut self, over: &AtomicBool) -> usize {
        let mut moves = 0;
        while !over.load(Ordering::Relaxed) {
            match self.once() {
                Ok(()) => moves += 1,
                // The file was not there: no process has created it since the last move.
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}"),
            }
            thread::sleep(Duration::from_micros(self.random.random_range(0..2000)));
        }
        moves
    }

    fn once(&mut self) -> io::Result<()> {
        let moving = self.directory.join("moving");
        let lock = moving.join("lock");
        self.number += 1;
        let fresh = self.directory.join(format!("fresh.{}", self.number));
        match self.random.random_range(0..8) {
            0 => fs::remove_file(&lock),
            1 => {
                fs::rename(&lock, &fresh)?;
                fs::remove_file(&fresh)
            }
            2 | 3 => {
                File::create_new(&fresh)?;
                fs::rename(&fresh, &lock)
            }
            4 => {
                let link = self.directory.join(format!("link.{}", self.number));
                File::create_new(&fresh)?;
                symlink(&fresh, &link)?;
                fs::rename(&link, &lock)
            }
            5 => File::options().write(true).open(&lock)?.set_len(0),
            6 => fs::set_permissions(&lock, Permissions::from_mode(0o600)),
            _ => {
                fs::rename(&moving, &fresh)?;
                fs::create_dir(&moving)?;
                remove_dir_all(&fresh)
            }
        }
    }
}

/// Removes a directory that was renamed. A process that had resolved its path before can still create a file in it, between
/// the look at its entries and its removal.
fn remove_dir_all(directory: &Path) -> io::Result<()> {
    loop {
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            removed => return removed,
        }
    }
}
