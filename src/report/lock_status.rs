//! Which processes hold a lock and which wait for it: the data that the system's answer is told in.

use std::fmt;
use std::time::SystemTime;

use crate::options::Mode;

use crate::report::escape::escape;

/// The holders of a lock and its waiters, as the system told them at one moment.
///
/// It is for people to read. By the time they do, it may have changed, and what the system does not tell
/// is not guessed: a program must not decide by it whether a lock is free.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockStatus {
    /// The exclusive holder, or the shared ones in no particular order. A hold that several processes share
    /// (after a `fork`) is listed for the process that took it, or, if that has exited, for each of the others.
    pub holders: Vec<Owner>,
    /// The waiters, the next one first.
    pub waiters: Vec<Owner>,
    /// How far the system could see: what an empty `holders` means.
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
    /// The processes of this container (PID namespace, pid_namespaces(7)). A process outside may hold the lock.
    PidNamespace,
    /// The processes of this host. The file is on a network file system, on FUSE or on an overlay: a process on another
    /// host, or one that reaches the file by another mount, may hold the lock.
    Host,
    /// Every process that can hold the lock: if `holders` is empty, the lock was free.
    Complete,
}

/// What is asked of the system.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only Linux tells holders"))]
pub(crate) struct Query<'a> {
    pub(crate) follow_links: bool,
    /// An attempt has found the lock held: the answer names a holder, unknown if need be.
    pub(crate) known_held: bool,
    /// Whether the query goes on. It is asked between two reads.
    pub(crate) goes_on: &'a dyn Fn() -> bool,
}

impl LockStatus {
    /// Returns whether the lock was held, or `None` if that cannot be told: no holder was seen, and one may be where the
    /// system could not look.
    #[must_use]
    pub fn is_held(&self) -> Option<bool> {
        match (self.holders.is_empty(), self.coverage) {
            (false, _) => Some(true),
            (true, Coverage::Complete) => Some(false),
            (true, _) => None,
        }
    }

    /// Returns this process as the holder, without a look at anything.
    pub(crate) fn this_process(mode: Mode) -> Self {
        let pid = std::process::id();
        let this = Process { pid, is_this: true, name: None, user: None, started: None };
        let owner = Owner { mode: Some(mode), kind: OwnerKind::Process(this), seen: None };
        Self { holders: vec![owner], ..Self::default() }
    }
}

/// A holder of a lock, or a waiter.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Owner {
    /// The mode that it holds or waits for. `None` where the system does not tell (Windows).
    pub mode: Option<Mode>,
    /// Which process it is, as far as that can be told.
    pub kind: OwnerKind,
    pub(crate) seen: Option<DescriptorRef>,
}

/// A descriptor that had the lock, and the numbers by which the system tells of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only Linux shows it"))]
pub(crate) struct DescriptorRef {
    pub(crate) pid: u32,
    pub(crate) descriptor: u32,
    /// The process that took the lock.
    pub(crate) taker: u32,
    pub(crate) device: (u32, u32),
    pub(crate) inode: u64,
}

/// Which process holds a lock or waits for it, as far as that can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OwnerKind {
    /// A process that can be named.
    Process(Process),
    /// The process that took the lock has exited. A process that inherited its descriptor, a child or a
    /// parent, holds the lock, and was not seen.
    #[non_exhaustive]
    Exited {
        /// The pid that it had.
        pid: u32,
    },
    /// A process that may not be looked into. A process with this pid took the lock; whether it is the process that has the
    /// pid now, and whether that still has the lock, cannot be told.
    #[non_exhaustive]
    TakenBy {
        /// The pid of the process that took the lock.
        pid: u32,
    },
    /// A process outside this container (PID namespace): no process inside has the lock.
    OtherPidNamespace,
    /// A process on another host, as the server of the network file system tells. No process of this host has the lock.
    OtherHost,
    /// An unknown process. The system tells only that these other processes have the file open
    /// (Windows): one of them may be the holder; another may only have it open.
    OpenIn(Vec<Process>),
    /// An unknown process.
    Unknown,
}

/// A process, as it was when it was looked at. What could not be told is `None`.
///
/// Its command line is not included: that is in the memory of the process, and to read it (`/proc/PID/cmdline`) may take
/// forever if the process is hostile or its file system is dead.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Process {
    /// Its process ID.
    pub pid: u32,
    /// Whether it is this process.
    pub is_this: bool,
    /// The name of its program, as the system keeps it: on Linux usually 15 bytes at most.
    pub name: Option<String>,
    /// The name of the user that it runs as, or the number if `/etc/passwd` has none.
    pub user: Option<String>,
    /// When it was started.
    pub started: Option<SystemTime>,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, self.is_this) {
            (_, true) => write!(f, "this process (pid {})", self.pid),
            (Some(name), _) => write!(f, "pid {} ({})", self.pid, escape(name)),
            (None, _) => write!(f, "pid {}", self.pid),
        }
    }
}

impl fmt::Display for OwnerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(process) => process.fmt(f),
            Self::Exited { pid } => {
                write!(f, "a process that inherited it from pid {pid} (exited)")
            }
            Self::TakenBy { pid } => write!(f, "an unknown process (taken by pid {pid})"),
            Self::OtherPidNamespace => f.write_str("a process outside this container"),
            Self::OtherHost => f.write_str("a process on another host"),
            Self::OpenIn(openers) => {
                f.write_str("an unknown process (the file is open in ")?;
                list(openers, f)?;
                f.write_str(")")
            }
            Self::Unknown => f.write_str("an unknown process"),
        }
    }
}

/// Writes the holders in one line: `pid 4242 (cargo)`, or `pid 1 (a), pid 2 (b) and 3 more`. Writes nothing if
/// there are none.
impl fmt::Display for LockStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let holders: Vec<_> = self.holders.iter().map(|owner| &owner.kind).collect();
        list(&holders, f)
    }
}

fn list(all: &[impl fmt::Display], f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
    use super::{Coverage, LockStatus, Owner, OwnerKind, Process};

    #[test]
    fn an_unseen_lock_is_free_only_under_complete_coverage() {
        let of = |holders: &[Owner], coverage| {
            LockStatus { holders: holders.to_vec(), waiters: vec![], coverage }.is_held()
        };
        let owner = [Owner { mode: None, kind: OwnerKind::Unknown, seen: None }];
        for coverage in
            [Coverage::Unknown, Coverage::Partial, Coverage::PidNamespace, Coverage::Host]
        {
            assert_eq!((of(&owner, coverage), of(&[], coverage)), (Some(true), None));
        }
        assert_eq!(
            (of(&owner, Coverage::Complete), of(&[], Coverage::Complete)),
            (Some(true), Some(false))
        );
    }

    #[test]
    fn control_characters_of_a_name_are_escaped() {
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
