//! Who holds a lock, and who waits for it: what one program can tell of the others.

use std::ffi::OsString;
use std::fmt;
use std::time::SystemTime;

use super::options::Mode;

/// How much trouble an answer is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Who it is, if that is told soon; of processes, their names alone.
    Glance,
    /// All that can be told.
    Search,
}

/// Who held a lock and who waited for it, as the system told it at one moment.
///
/// It is for people to read. By the time they do it may be over, and what the system does not tell
/// is not guessed at: nobody should decide by it whether a lock is free.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holders {
    /// The hold, or the shared ones, in no particular order. A hold that several processes share
    /// (after a `fork`) is its taker's; or, when that has ended, of each of them.
    pub held: Vec<Claim>,
    /// Who waits, the next one first.
    pub waiting: Vec<Claim>,
    /// How far the system could see: what an empty `held` is worth.
    pub coverage: Coverage,
}

/// How far the system could see when it was asked for the holders of a lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Coverage {
    /// Nothing was looked at, or the system does not tell.
    #[default]
    Unknown,
    /// A part of the system's table of locks: so many locks were released while it was read that some of the others may
    /// be missing.
    Partial,
    /// The processes of this container (PID namespace). A process outside may hold the lock.
    Container,
    /// The processes of this host. The file is on a network file system, on FUSE or on an overlay: a process on another
    /// host, or one that reaches the file by another mount, may hold the lock.
    Host,
    /// Every process that can hold the lock: if `held` is empty, the lock was free.
    Complete,
}

impl Holders {
    /// Returns whether the lock was held, or `None` if that cannot be told: no holder was seen, and one may be where the
    /// system could not look.
    #[must_use]
    pub fn is_held(&self) -> Option<bool> {
        match (self.held.is_empty(), self.coverage) {
            (false, _) => Some(true),
            (true, Coverage::Complete) => Some(false),
            (true, _) => None,
        }
    }
}

/// What somebody holds, or waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claim {
    /// `None` where the system does not tell (Windows).
    pub mode: Option<Mode>,
    /// By whom.
    pub by: Claimant,
}

/// Who holds a lock or waits for it, as well as that can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Claimant {
    /// A process that can be named.
    Process(Process),
    /// This process took the lock and has ended since; whoever shared its descriptor, a child or a
    /// parent, holds the lock, and was not seen.
    #[non_exhaustive]
    Ended {
        /// The number it had.
        pid: u32,
    },
    /// Somebody outside this container (namespace of processes): inside nobody has the lock.
    Outside,
    /// A process on another host, as the server of the network file system tells. No process of this host has the lock.
    OtherHost,
    /// Somebody: the system does not tell who, but that these other processes have the file open
    /// (Windows). One of them may well be it; another may only have it open.
    OpenIn(Vec<Process>),
    /// Somebody: the system does not tell who.
    Unknown,
}

/// A process, as it was when it was looked at. What could not be told is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Is it this process?
    pub is_this: bool,
    /// The name of its program, as the system keeps it: on Linux usually 15 bytes at most.
    pub name: Option<String>,
    /// The program and its arguments.
    pub command_line: Option<Vec<OsString>>,
    /// The name of the user as whom it runs, or the number if `/etc/passwd` has none.
    pub user: Option<String>,
    /// When it was started.
    pub started: Option<SystemTime>,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, self.is_this) {
            (_, true) => write!(f, "this process (pid {})", self.pid),
            (Some(name), _) => write!(f, "pid {} ({})", self.pid, plain(name)),
            (None, _) => write!(f, "pid {}", self.pid),
        }
    }
}

/// A program chooses its own name, and could move the cursor of whoever reads it.
fn plain(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            c if c.is_control() => plain.extend(c.escape_default()),
            c => plain.push(c),
        }
    }
    plain
}

impl fmt::Display for Claimant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(process) => process.fmt(f),
            Self::Ended { pid } => write!(f, "heirs of pid {pid}, which has ended"),
            Self::Outside => f.write_str("a process outside this container"),
            Self::OtherHost => f.write_str("a process on another host"),
            Self::OpenIn(openers) => {
                f.write_str("an unknown process (the file is open in ")?;
                some_of(openers, f)?;
                f.write_str(")")
            }
            Self::Unknown => f.write_str("an unknown process"),
        }
    }
}

/// The holders in one line: `pid 4242 (cargo)`, or `pid 1 (a), pid 2 (b) and 3 more`. Nothing if
/// there are none.
impl fmt::Display for Holders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let claimants: Vec<_> = self.held.iter().map(|claim| &claim.by).collect();
        some_of(&claimants, f)
    }
}

fn some_of(all: &[impl fmt::Display], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const NAMED: usize = 3;
    for (at, one) in all.iter().take(NAMED).enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        write!(f, "{comma}{one}")?;
    }
    match all.len().saturating_sub(NAMED) {
        0 => Ok(()),
        more => write!(f, " and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Claim, Claimant, Coverage, Holders, Process};

    #[test]
    fn what_is_not_seen_is_free_only_where_all_is_seen() {
        let of = |held: &[Claim], coverage| {
            Holders { held: held.to_vec(), waiting: vec![], coverage }.is_held()
        };
        let claim = [Claim { mode: None, by: Claimant::Unknown }];
        for coverage in [Coverage::Unknown, Coverage::Partial, Coverage::Container, Coverage::Host]
        {
            assert_eq!((of(&claim, coverage), of(&[], coverage)), (Some(true), None));
        }
        assert_eq!(
            (of(&claim, Coverage::Complete), of(&[], Coverage::Complete)),
            (Some(true), Some(false))
        );
    }

    #[test]
    fn a_name_moves_no_cursor() {
        let named = |name: &str| Process {
            pid: 7,
            is_this: false,
            name: Some(name.into()),
            command_line: None,
            user: None,
            started: None,
        };
        assert_eq!(named("caf\u{e9} 1").to_string(), "pid 7 (caf\u{e9} 1)");
        assert_eq!(named("a\n\u{1b}[2J").to_string(), r"pid 7 (a\n\u{1b}[2J)");
    }
}
