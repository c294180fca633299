//! The lock files of a round, and the names they have.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use super::support::Outcome;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Terrain {
    /// Three files with five names, which stay where they are.
    Still,
    /// One name for one file after another.
    Moving,
}

/// A path that is used as a lock.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    /// Its file, if that is always the same one.
    pub(crate) file: Option<u64>,
    /// Anybody may release anything here at any time, so that no hold is sure of its lock.
    pub(crate) is_wild: bool,
}

impl Terrain {
    pub(crate) const ALL: [Self; 2] = [Self::Still, Self::Moving];

    pub(crate) fn make(self, directory: &Path) -> Outcome {
        match self {
            Self::Still => {
                for file in ["one", "two", "wild"] {
                    File::create_new(directory.join(file))?;
                }
                symlink("one", directory.join("symbolic"))?;
                fs::hard_link(directory.join("two"), directory.join("hard"))?;
            }
            Self::Moving => fs::create_dir(directory.join("moving"))?,
        }
        Ok(())
    }

    pub(crate) fn places(self, directory: &Path) -> Vec<Place> {
        let names: &[&str] = match self {
            Self::Still => &["one", "two", "symbolic", "hard", "wild"],
            Self::Moving => &["moving/lock"],
        };
        let place = |name: &&str| {
            let path = directory.join(name);
            let file = match self {
                // What unlinks its file is judged by the name, which is all that its user knows.
                Self::Still => Some(number(directory, name)),
                Self::Moving => None,
            };
            Place { path, file, is_wild: *name == "wild" }
        };
        names.iter().map(place).collect()
    }
}

/// The file is known by the first of its names.
fn number(directory: &Path, name: &str) -> u64 {
    match name {
        "one" | "symbolic" => 1,
        "two" | "hard" => 2,
        "wild" => 3,
        _ => unreachable!("{name} is not in {}", directory.display()),
    }
}

/// Of the file that a path names now.
pub(crate) fn inode(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|file| file.ino())
}
