//! The ways to lock that the benchmarks compare.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use locket::{Guard, Lock};

use super::Result;
use super::sys::{Raw, now, spin_until};

/// The timeout of the timed waits. No wait in a benchmark is meant to reach it.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// As in locket.py and filelock.
const POLL: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    /// Blocking `flock` without a timeout: the limit of all ways.
    Flock,
    /// The same with a check of the descriptor and of the path: the fewest calls that keep locket's laws without a timeout.
    FlockStat,
    /// The same with an attempt first, and a timer for the wait: the fewest calls that keep locket's laws with a timeout.
    FlockTimed,
    LocketUntimed,
    LocketTimed,
    /// A new handle for each turn, dropped before the release.
    LocketNewHandle,
    /// A handle that a process creates and uses once. Its forked children use it.
    LocketInherited,
    Poller,
    LocketPy,
    Filelock,
}

impl Way {
    pub(crate) const ALL: [Self; 10] = [
        Self::Flock,
        Self::FlockStat,
        Self::FlockTimed,
        Self::LocketUntimed,
        Self::LocketTimed,
        Self::LocketNewHandle,
        Self::LocketInherited,
        Self::Poller,
        Self::LocketPy,
        Self::Filelock,
    ];

    /// Returns the name of the way in the protocol of the workers.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Flock => "flock",
            Self::FlockStat => "flock-stat",
            Self::FlockTimed => "flock-timed",
            Self::LocketUntimed => "locket-untimed",
            Self::LocketTimed => "locket-timed",
            Self::LocketNewHandle => "locket-new-handle",
            Self::LocketInherited => "locket-inherited",
            Self::Poller => "poller",
            Self::LocketPy => "locket",
            Self::Filelock => "filelock",
        }
    }

    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Flock => "plain flock (the limit)",
            Self::FlockStat => "flock, stat (untimed floor)",
            Self::FlockTimed => "flock, stat, timer (timed floor)",
            Self::LocketUntimed => "locket, no timeout",
            Self::LocketTimed => "locket, timeout",
            Self::LocketNewHandle => "locket, timeout, new handle each turn",
            Self::LocketInherited => "locket, timeout, inherited handle",
            Self::Poller => "poller, every 50 ms",
            Self::LocketPy => "locket.py, timeout",
            Self::Filelock => "filelock, timeout",
        }
    }

    pub(crate) fn from_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|way| way.key() == key)
    }

    pub(crate) const fn is_python(self) -> bool {
        matches!(self, Self::LocketPy | Self::Filelock)
    }

    /// Returns whether it waits in the kernel's queue. The other ways poll.
    pub(crate) const fn queues(self) -> bool {
        matches!(
            self,
            Self::Flock
                | Self::FlockStat
                | Self::FlockTimed
                | Self::LocketUntimed
                | Self::LocketTimed
                | Self::LocketNewHandle
                | Self::LocketInherited
        )
    }

    /// Opens the lock for one thread. Each thread has a handle or a descriptor of its own; locket's handles share the
    /// state of their path.
    pub(crate) fn open(self, path: &Path) -> Result<Box<dyn Locking>> {
        let lock = || locket::lock_file(path);
        Ok(match self {
            Self::Flock | Self::FlockStat | Self::FlockTimed => Box::new(Flock {
                raw: Raw::open(path)?,
                checks: self != Self::Flock,
                is_timed: self == Self::FlockTimed,
            }),
            Self::LocketUntimed => Box::new(Locket::new(lock())),
            Self::LocketTimed | Self::LocketInherited => {
                Box::new(Locket::new(lock().timeout(TIMEOUT)))
            }
            Self::LocketNewHandle => Box::new(NewHandle { path: path.into(), guard: None }),
            Self::Poller => Box::new(Poller(Raw::open(path)?)),
            Self::LocketPy | Self::Filelock => return Err("that way is Python's".into()),
        })
    }
}

pub(crate) trait Locking {
    fn acquire(&mut self) -> Result;
    fn release(&mut self) -> Result;
    /// Waits for at most `timeout`. Returns whether the lock was granted.
    fn acquire_within(&mut self, timeout: Duration) -> Result<bool>;
}

struct Flock {
    raw: Raw,
    checks: bool,
    is_timed: bool,
}

impl Flock {
    #[cfg(target_os = "linux")]
    fn lock_by_deadline(&self) -> Result {
        if !self.raw.try_lock()? {
            // A wait for a file that the path no longer names would be useless.
            if !self.raw.is_current()? {
                return Err("another process replaced the lock file".into());
            }
            let _timer = super::sys::Timer::set(TIMEOUT)?;
            self.raw.lock()?;
        }
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn lock_by_deadline(&self) -> Result {
        Ok(self.raw.lock()?)
    }
}

impl Locking for Flock {
    fn acquire(&mut self) -> Result {
        if self.checks && !self.raw.is_own()? {
            return Err("the descriptor was closed".into());
        }
        if self.is_timed {
            self.lock_by_deadline()?;
        } else {
            self.raw.lock()?;
        }
        if self.checks && !self.raw.is_current()? {
            return Err("another process replaced the lock file".into());
        }
        Ok(())
    }

    fn release(&mut self) -> Result {
        Ok(self.raw.unlock()?)
    }

    fn acquire_within(&mut self, _: Duration) -> Result<bool> {
        Err("flock has no timeout".into())
    }
}

struct Locket {
    lock: Lock,
    guard: Option<Guard>,
    /// Nanoseconds by which each acquisition is slowed down, to see that the bounds notice it.
    slowdown: u64,
}

impl Locket {
    fn new(lock: Lock) -> Self {
        let slowdown = std::env::var("LOCKET_BENCH_SLOWER").ok().and_then(|it| it.parse().ok());
        Self { lock, guard: None, slowdown: slowdown.unwrap_or(0) }
    }
}

impl Locking for Locket {
    fn acquire(&mut self) -> Result {
        self.guard = Some(self.lock.lock()?);
        if self.slowdown > 0 {
            spin_until(now() + self.slowdown);
        }
        Ok(())
    }

    fn release(&mut self) -> Result {
        let guard = self.guard.take().ok_or("released before it was acquired")?;
        Ok(guard.release()?)
    }

    fn acquire_within(&mut self, timeout: Duration) -> Result<bool> {
        match self.lock.clone().timeout(timeout).lock() {
            Ok(guard) => self.guard = Some(guard),
            Err(error) if error.is_contended() => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }
}

/// Locket in a program that creates a handle for each turn.
struct NewHandle {
    path: PathBuf,
    guard: Option<Guard>,
}

impl Locking for NewHandle {
    fn acquire(&mut self) -> Result {
        self.guard = Some(locket::lock_file(&self.path).timeout(TIMEOUT).lock()?);
        Ok(())
    }

    fn release(&mut self) -> Result {
        let guard = self.guard.take().ok_or("released before it was acquired")?;
        Ok(guard.release()?)
    }

    fn acquire_within(&mut self, timeout: Duration) -> Result<bool> {
        match locket::lock_file(&self.path).timeout(timeout).lock() {
            Ok(guard) => self.guard = Some(guard),
            Err(error) if error.is_contended() => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }
}

/// Polls. The last pause ends at the deadline, so that it is not late by a whole period.
struct Poller(Raw);

impl Locking for Poller {
    fn acquire(&mut self) -> Result {
        if self.acquire_within(TIMEOUT)? { Ok(()) } else { Err("the poller starved".into()) }
    }

    fn release(&mut self) -> Result {
        Ok(self.0.unlock()?)
    }

    fn acquire_within(&mut self, timeout: Duration) -> Result<bool> {
        let deadline = Instant::now() + timeout;
        loop {
            let remaining = deadline.saturating_duration_since(Instant::now());
            if self.0.try_lock()? {
                return Ok(true);
            }
            if remaining.is_zero() {
                return Ok(false);
            }
            thread::sleep(POLL.min(remaining));
        }
    }
}
