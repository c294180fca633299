//! The lock files of a round, and their names.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use super::support::Outcome;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Three files with five names, which do not move.
    Fixed,
    /// One name, which leads to one file after another.
    Moving,
}

/// A path that is used as a lock.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    /// The number of its file, if that is always the same.
    pub(crate) file: Option<u64>,
    /// Any thread may release any hold here at any time, so no hold is certain to last.
    pub(crate) is_unpaired: bool,
}

impl Layout {
    pub(crate) const ALL: [Self; 2] = [Self::Fixed, Self::Moving];

    pub(crate) fn make(self, directory: &Path) -> Outcome {
        match self {
            Self::Fixed => {
                for file in ["one", "two", "unpaired"] {
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
        // A lock that unlinks its file is judged by the name, because its users know only that.
        let names: &[(&str, Option<u64>)] = match self {
            Self::Fixed => &[
                ("one", Some(1)),
                ("two", Some(2)),
                ("symbolic", Some(1)),
                ("hard", Some(2)),
                ("unpaired", Some(3)),
            ],
            Self::Moving => &[("moving/lock", None)],
        };
        let place = |&(name, file): &(&str, _)| Place {
            path: directory.join(name),
            file,
            is_unpaired: name == "unpaired",
        };
        names.iter().map(place).collect()
    }
}

/// Returns the inode number of the file that a path names now.
pub(crate) fn inode(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|file| file.ino())
}
