//! The library's `os` over a model kernel: processes, open files, files and one path.
//!
//! Each call is one critical section of the kernel, and steps the model there.

use std::cell::Cell;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use locket_model::spec::{self, Answer, Op};
use loom::sync::{Condvar, Mutex};

use crate::deadline::Deadline;
use crate::error::Action;
use crate::options::{Access, Mode, Options};
use crate::oracle;
use crate::program::{acquisition, record};
use crate::scenario::Actor;
use crate::sync::{Arc, Instant};

#[path = "../../../src/os/platform.rs"]
pub(crate) mod platform;

use platform::{
    Clock, Observed, Opened, OsError, Platform, PlatformFile, PlatformPath, WaitOutcome,
};

/// The only path of the model.
pub(crate) const PATH: u32 = 0;

/// The behaviour of the kernel: correct, inconvenient, or wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kernel {
    #[default]
    Sound,
    /// Refuses the first unlock. The close that follows unlocks nevertheless.
    FailsUnlock,
    /// Every wait is interrupted once before it blocks.
    Interrupts,
    /// Seeded bug: an unlock wakes no waiter.
    LosesWakeUp,
    /// Seeded bug: grants a lock that another process holds.
    GrantsHeldLocks,
    /// Seeded bug: an unlock reports success and does nothing.
    IgnoresUnlock,
    /// Seeded bug: treats shared locks as exclusive.
    NoSharedLocks,
}

#[derive(Debug)]
pub(crate) struct System {
    kernel: Kernel,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    named: Option<u64>,
    files: u64,
    descriptors: Vec<Option<Open>>,
    attempts: u64,
    refusals: u32,
    interruptions: u32,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    process: u32,
    file: u64,
    lock: Option<(spec::Mode, u64)>,
}

impl System {
    pub(crate) fn new(kernel: Kernel) -> Arc<Self> {
        let (state, freed) = (Mutex::new(State::default()), Condvar::new());
        Arc::new(Self { kernel, state, freed })
    }

    fn enter<R>(&self, call: impl FnOnce(&mut State) -> R) -> R {
        call(&mut self.state.lock().expect("no thread of the model panics in the kernel"))
    }

    /// Takes the step of an actor outside the processes.
    pub(crate) fn suffers(&self, actor: &Actor) {
        self.enter(|state| match *actor {
            Actor::Thread(..) => unreachable!("a thread takes its own steps"),
            Actor::Unlink => state.name(None),
            Actor::Replace => drop(state.create()),
            Actor::Crash(process) => {
                for slot in &mut state.descriptors {
                    slot.take_if(|open| open.process == process);
                }
                oracle::step(Op::Crash { process });
            }
        });
        if let Actor::Crash(_) = actor {
            self.freed.notify_all();
        }
    }

    pub(crate) fn open_descriptors(&self, process: u32) -> usize {
        self.enter(|state| {
            state.descriptors.iter().flatten().filter(|open| open.process == process).count()
        })
    }

    fn notify(&self) {
        if self.kernel != Kernel::LosesWakeUp {
            self.freed.notify_all();
        }
    }
}

impl State {
    fn name(&mut self, file: Option<u64>) {
        self.named = file;
        oracle::step(Op::SetFile { path: PATH, file });
    }

    fn create(&mut self) -> u64 {
        self.files += 1;
        self.name(Some(self.files));
        self.files
    }

    /// Grants the lock if it is free, and asks the model the same. A refusal is a step of the model if `may_refuse`.
    fn grant(&mut self, kernel: Kernel, file: &OpenFile, mode: Mode, may_refuse: bool) -> bool {
        let mode = to_spec(mode);
        let seen = if kernel == Kernel::NoSharedLocks { spec::Mode::Exclusive } else { mode };
        let Some(inode) = self.open(file).map(|open| open.file) else { return false };
        let free = kernel == Kernel::GrantsHeldLocks
            || !self.descriptors.iter().enumerate().any(|(at, other)| {
                other.is_some_and(|other| {
                    at != file.at
                        && other.file == inode
                        && other.lock.is_some_and(|(theirs, _)| theirs.conflicts(seen))
                })
            });
        if !free && !may_refuse {
            return false;
        }
        self.attempts += 1;
        let id = self.attempts;
        let hold = spec::Hold {
            process: file.path.process,
            id,
            path: PATH,
            file: inode,
            mode,
            unguarded: acquisition().unguarded,
            stage: spec::Stage::Granted,
            named: false,
        };
        oracle::expect(Op::Lock { hold }, if free { Answer::Granted } else { Answer::Contended });
        if free {
            record(|it| it.granted = id);
            self.descriptors[file.at].as_mut().expect("it is open").lock = Some((seen, id));
        }
        free
    }

    /// Returns whether the kernel refuses this call. Only the first one is refused.
    fn refuses(&mut self, kernel: Kernel) -> bool {
        let refuses = kernel == Kernel::FailsUnlock && self.refusals == 0;
        self.refusals += u32::from(refuses);
        refuses
    }

    fn open(&mut self, file: &OpenFile) -> Option<&mut Open> {
        self.descriptors[file.at].as_mut()
    }
}

pub(crate) fn to_spec(mode: Mode) -> spec::Mode {
    match mode {
        Mode::Exclusive => spec::Mode::Exclusive,
        Mode::Shared => spec::Mode::Shared,
    }
}

/// A path, as seen from one process.
#[derive(Clone, Debug)]
pub(crate) struct LockPath {
    pub(crate) system: Arc<System>,
    pub(crate) process: u32,
    pub(crate) path: PathBuf,
}

impl LockPath {
    /// Fails if the process is dead, so that its threads leave each call by an error.
    fn check_alive(&self, action: Action) -> Result<(), OsError> {
        if oracle::is_dead(self.process) {
            return Err(action.failed(std::io::Error::other("the process is dead")));
        }
        Ok(())
    }
}

impl PlatformPath for LockPath {
    fn path(&self) -> &Path {
        &self.path
    }

    fn key(&self) -> &OsStr {
        self.path.as_os_str()
    }
}

/// An open file. In the model no process forks, and no host closes descriptors.
#[derive(Debug)]
pub(crate) struct OpenFile {
    path: LockPath,
    at: usize,
}

impl PlatformFile for OpenFile {}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return; // loom has abandoned this execution.
        }
        self.path.system.enter(|state| {
            if let Some(Open { process, lock: Some((_, id)), .. }) =
                state.descriptors[self.at].take()
            {
                oracle::step(Op::Unlock { process, id });
            }
        });
        self.path.system.notify();
    }
}

loom::thread_local! {
    static READS: Cell<u32> = Cell::new(0);
}

/// The model kernel. Its files always exist or can be created, and can be read and written.
pub(crate) enum Os {}

impl Platform for Os {
    type LockPath = LockPath;
    type OpenFile = OpenFile;

    fn open(
        path: &LockPath,
        _: &Options,
        _: &Deadline,
        _: Access,
        _: Option<&mut dyn Observed>,
    ) -> Result<Opened<OpenFile>, OsError> {
        path.check_alive(Action::Open)?;
        path.system.enter(|state| {
            let file = state.named.unwrap_or_else(|| state.create());
            state.descriptors.push(Some(Open { process: path.process, file, lock: None }));
            let at = state.descriptors.len() - 1;
            Ok(Opened::File(OpenFile { path: path.clone(), at }))
        })
    }

    fn try_lock(file: &OpenFile, mode: Mode) -> Result<bool, OsError> {
        file.path.check_alive(Action::Lock)?;
        record(|it| {
            (it.tried_at_deadline, it.found_current) = (Instant::has_passed(), false);
        });
        let system = &file.path.system;
        Ok(system.enter(|state| state.grant(system.kernel, file, mode, true)))
    }

    /// Ends without a grant if the next read of the clock is past the deadline. Otherwise ends with a grant, or because the
    /// process died.
    fn wait(
        file: &OpenFile,
        options: &Options,
        deadline: &Deadline,
        _: Option<&mut dyn Observed>,
    ) -> Result<WaitOutcome, OsError> {
        file.path.check_alive(Action::Lock)?;
        let system = &file.path.system;
        if !acquisition().found_current {
            oracle::violation("waits without having checked whether the path names the file");
        }
        if let Some(left) = deadline.remaining() {
            if !left.is_zero() && Instant::has_passed() {
                oracle::violation("waits on although its deadline has passed");
                return Err(Action::Lock.failed(std::io::Error::other("the model gives up")));
            }
            if left.is_zero() || Instant::passes_next() {
                return Ok(WaitOutcome::Woken);
            }
        }
        let mut state = system.state.lock().expect("no thread of the model panics in the kernel");
        if system.kernel == Kernel::Interrupts && state.interruptions == 0 {
            state.interruptions += 1;
            return Ok(WaitOutcome::Woken);
        }
        while !oracle::is_dead(file.path.process) {
            if state.grant(system.kernel, file, options.mode, false) {
                return Ok(WaitOutcome::Granted);
            }
            state = system.freed.wait(state).expect("no thread of the model panics in the kernel");
        }
        drop(state);
        file.path.check_alive(Action::Lock).map(|()| WaitOutcome::Woken)
    }

    fn is_current(path: &LockPath, file: &OpenFile, _: bool) -> Result<bool, OsError> {
        path.check_alive(Action::Verify)?;
        let current = path.system.enter(|state| {
            let named = state.named;
            state.open(file).is_some_and(|open| Some(open.file) == named)
        });
        if current {
            record(|it| it.found_current = true);
        }
        Ok(current)
    }

    fn unlock(file: &OpenFile) -> Result<(), OsError> {
        file.path.check_alive(Action::Unlock)?;
        let (system, process) = (&file.path.system, file.path.process);
        let refused = system.enter(|state| {
            if state.refuses(system.kernel) {
                return true;
            }
            let ignores = system.kernel == Kernel::IgnoresUnlock;
            if let Some(open) = state.open(file) {
                match open.lock {
                    Some(_) if ignores => {}
                    Some((_, id)) => {
                        open.lock = None;
                        oracle::step(Op::Unlock { process, id });
                    }
                    None => oracle::violation("unlocks a descriptor that has no lock"),
                }
            }
            false
        });
        if refused {
            // The ledger records it in its next critical section.
            oracle::announce(Op::Refuse { process, path: PATH });
            return Err(Action::Unlock.failed(std::io::Error::other("refused")));
        }
        system.notify();
        Ok(())
    }

    /// Converts in one step, as local file systems do.
    fn downgrade(file: &OpenFile) -> Result<bool, OsError> {
        file.path.check_alive(Action::Lock)?;
        let (system, process) = (&file.path.system, file.path.process);
        let refused = system.enter(|state| {
            if state.refuses(system.kernel) {
                return true;
            }
            match state.open(file).and_then(|open| open.lock.as_mut()) {
                Some((mode, id)) => {
                    *mode = spec::Mode::Shared;
                    let id = *id;
                    oracle::step(Op::Convert { process, id });
                }
                None => oracle::violation("downgrades a descriptor that has no lock"),
            }
            false
        });
        if refused {
            let lock = |state: &mut State| state.open(file).and_then(|open| open.lock);
            let id = system.enter(lock).map_or(0, |(_, id)| id);
            oracle::announce(Op::Restore { process, id });
            return Err(Action::Lock.failed(std::io::Error::other("refused")));
        }
        system.notify();
        Ok(true)
    }

    /// Not reached: no scenario executes a program.
    fn inherit_on_exec(_: &OpenFile) -> Result<(), OsError> {
        unreachable!("no scenario executes a program")
    }

    /// Returns an early time at a thread's first two reads, when it creates a ledger and begins to acquire, and a late time
    /// from then on. So every ledger finds its first burst over, and yields once.
    fn clock(_: Clock) -> usize {
        let before = READS.with(|reads| reads.replace(reads.get() + 1));
        if before < 2 { 0 } else { 3_600_000_000 }
    }
}
