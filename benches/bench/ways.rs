//! The ways to lock that the benchmarks compare.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use locket::{Guard, Lock};

use super::Result;
use super::sys::{Raw, now, spin_until};

/// No wait in a benchmark is meant to end by this; it is what makes a wait a timed one.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// As in locket.py and filelock.
const POLL: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    /// Blocking `flock`, without a timeout: the limit.
    Flock,
    /// The same with the `stat` that makes it locket's guarantee: the limit for threads.
    FlockStat,
    /// An attempt, then a timer for the wait, and the `stat`: the least that keeps locket's laws with a timeout.
    FlockTimed,
    LocketUntimed,
    LocketTimed,
    /// A new handle for each turn, dropped before the release.
    LocketUnkept,
    /// A handle that one process makes and uses once, and its forked children share.
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
        Self::LocketUnkept,
        Self::LocketInherited,
        Self::Poller,
        Self::LocketPy,
        Self::Filelock,
    ];

    /// Its name between processes.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Flock => "flock",
            Self::FlockStat => "flock-stat",
            Self::FlockTimed => "flock-timed",
            Self::LocketUntimed => "locket-untimed",
            Self::LocketTimed => "locket-timed",
            Self::LocketUnkept => "locket-unkept",
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
            Self::LocketUnkept => "locket, timeout, no kept handle",
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

    /// Does it wait in the kernel's own queue? The others ask again and again.
    pub(crate) const fn queues(self) -> bool {
        matches!(
            self,
            Self::Flock
                | Self::FlockStat
                | Self::FlockTimed
                | Self::LocketUntimed
                | Self::LocketTimed
                | Self::LocketUnkept
                | Self::LocketInherited
        )
    }

    /// The lock as one thread uses it. Threads share locket's handle, and have each a descriptor
    /// of their own otherwise.
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
                Box::new(Locket::new(lock().timeout(PATIENCE)))
            }
            Self::LocketUnkept => Box::new(Unkept { path: path.into(), held: None }),
            Self::Poller => Box::new(Poller(Raw::open(path)?)),
            Self::LocketPy | Self::Filelock => return Err("that way is Python's".into()),
        })
    }
}

pub(crate) trait Locking {
    fn acquire(&mut self) -> Result;
    fn release(&mut self) -> Result;
    /// Waits for so long; was it granted?
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
            // To wait for a file that the path names no more would be in vain.
            if !self.raw.is_current()? {
                return Err("another process replaced the lock file".into());
            }
            let _timer = super::sys::Timer::set(PATIENCE)?;
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
            return Err("somebody replaced the lock file".into());
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
    held: Option<Guard>,
    /// To see that the benchmarks notice it: nanoseconds by which each acquisition is slower than it is.
    slower: u64,
}

impl Locket {
    fn new(lock: Lock) -> Self {
        let slower = std::env::var("LOCKET_BENCH_SLOWER").ok().and_then(|it| it.parse().ok());
        Self { lock, held: None, slower: slower.unwrap_or(0) }
    }
}

impl Locking for Locket {
    fn acquire(&mut self) -> Result {
        self.held = Some(self.lock.lock()?);
        if self.slower > 0 {
            spin_until(now() + self.slower);
        }
        Ok(())
    }

    fn release(&mut self) -> Result {
        let held = self.held.take().ok_or("released before it was acquired")?;
        Ok(held.release()?)
    }

    fn acquire_within(&mut self, timeout: Duration) -> Result<bool> {
        match self.lock.clone().timeout(timeout).lock() {
            Ok(held) => self.held = Some(held),
            Err(error) if error.is_contended() => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }
}

/// Locket by a program that makes a handle where it needs the lock.
struct Unkept {
    path: PathBuf,
    held: Option<Guard>,
}

impl Locking for Unkept {
    fn acquire(&mut self) -> Result {
        self.held = Some(locket::lock_file(&self.path).timeout(PATIENCE).lock()?);
        Ok(())
    }

    fn release(&mut self) -> Result {
        let held = self.held.take().ok_or("released before it was acquired")?;
        Ok(held.release()?)
    }

    fn acquire_within(&mut self, timeout: Duration) -> Result<bool> {
        match locket::lock_file(&self.path).timeout(timeout).lock() {
            Ok(held) => self.held = Some(held),
            Err(error) if error.is_contended() => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }
}

/// Polling at its best: its last pause ends at the deadline.
struct Poller(Raw);

impl Locking for Poller {
    fn acquire(&mut self) -> Result {
        if self.acquire_within(PATIENCE)? { Ok(()) } else { Err("starved".into()) }
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
