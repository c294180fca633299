//! Who holds a lock, and who waits for it: what one program can tell of the others.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::options::Mode;
use super::os;
use super::plain::plain;
use super::sync::Instant;

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

    /// This process, without a look at anything.
    pub(crate) fn this_process(mode: Mode) -> Self {
        let pid = std::process::id();
        let this = Process { pid, is_this: true, name: None, user: None, started: None };
        let claim = Claim { mode: Some(mode), by: Claimant::Process(this), seen: None };
        Self { held: vec![claim], ..Self::default() }
    }

    /// Returns the holders that still have the lock, as their own descriptors show it (Linux). That is a look at a few
    /// files in `/proc` for each, without the system's table of locks; it takes some ten microseconds, and after a
    /// millisecond no more are looked at.
    ///
    /// A holder that may not be looked into is left out, and so is whatever holder there is since: if the answer is empty,
    /// nothing is known.
    #[must_use]
    pub fn still_held(&self) -> Self {
        const BUDGET: Duration = Duration::from_millis(1);
        let start = Instant::now();
        let mut held = vec![];
        for claim in &self.held {
            let process =
                claim.seen.zip(claim.mode).and_then(|(seen, mode)| os::still_has(&seen, mode));
            held.extend(
                process.map(|process| Claim { by: Claimant::Process(process), ..claim.clone() }),
            );
            if Instant::now().saturating_duration_since(start) >= BUDGET {
                break;
            }
        }
        Self { held, ..Self::default() }
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
    pub(crate) seen: Option<Sighting>,
}

/// A descriptor that had the lock, and by what numbers the system tells of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only Linux shows it"))]
pub(crate) struct Sighting {
    pub(crate) pid: u32,
    pub(crate) descriptor: u32,
    /// The process that took the lock.
    pub(crate) taker: u32,
    pub(crate) device: (u32, u32),
    pub(crate) inode: u64,
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
    /// A process that may not be looked into. One with this number took the lock; whether it is the process that has the
    /// number now, and whether that has the lock still, cannot be told.
    #[non_exhaustive]
    TakenBy {
        /// The number of the process that took the lock.
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
///
/// Its command line is not among it: that is in the memory of the process, and to read it (`/proc/PID/cmdline`) may take
/// forever if the process means ill, or its file system is dead.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Is it this process?
    pub is_this: bool,
    /// The name of its program, as the system keeps it: on Linux usually 15 bytes at most.
    pub name: Option<String>,
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

impl fmt::Display for Claimant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(process) => process.fmt(f),
            Self::Ended { pid } => write!(f, "heirs of pid {pid}, which has ended"),
            Self::TakenBy { pid } => write!(f, "an unknown process (taken by pid {pid})"),
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
        let claim = [Claim { mode: None, by: Claimant::Unknown, seen: None }];
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
            user: None,
            started: None,
        };
        assert_eq!(named("caf\u{e9} 1").to_string(), "pid 7 (caf\u{e9} 1)");
        assert_eq!(named("a\n\u{1b}[2J").to_string(), r"pid 7 (a\n\u{1b}[2J)");
    }
}
