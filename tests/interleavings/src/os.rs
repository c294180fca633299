//! The library's `os`, over a model kernel: processes, descriptors, files and one path.
//!
//! Each call is one critical section of the kernel's, and steps the model there.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use locket_model::spec::{self, Answer, Op};
use loom::sync::{Condvar, Mutex};

use crate::courtesy::Clock;
use crate::deadline::Deadline;
use crate::diagnosis::Diagnosis;
use crate::error::{Action, Failure};
use crate::holders::{Holders, Process, Sighting};
use crate::kind::ErrorKind;
use crate::observer::{Opened, Waited, Watch};
use crate::options::{Access, Mode, Options};
use crate::oracle;
use crate::sync::{Arc, Instant};

/// The one path of the model.
pub(crate) const PATH: u32 = 0;

/// How a kernel can be wrong, or merely unkind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kernel {
    #[default]
    Sound,
    /// Refuses the first unlock; the close that follows unlocks all the same.
    RefusesUnlock,
    /// Every wait is interrupted once before it blocks.
    Interrupts,
    /// Seeded: an unlock wakes nobody.
    LosesWakeUp,
    /// Seeded: locks are granted whoever holds them.
    Lies,
    /// Seeded: an unlock says that it has, and has not.
    KeepsOnUnlock,
    /// Seeded: shared locks are taken for exclusive ones.
    KnowsNoShared,
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

    /// Somebody unlinks the file; the next open creates another.
    pub(crate) fn unlink(&self) {
        self.enter(|state| state.name(None));
    }

    /// Somebody puts another file in its place.
    pub(crate) fn replace(&self) {
        self.enter(State::create);
    }

    /// A process dies: the system closes what it had open.
    pub(crate) fn crash(&self, process: u32) {
        self.enter(|state| {
            for slot in &mut state.descriptors {
                slot.take_if(|open| open.process == process);
            }
            oracle::step(Op::Crash { process });
        });
        self.freed.notify_all();
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
        oracle::step(Op::Name { path: PATH, file });
    }

    fn create(&mut self) -> u64 {
        self.files += 1;
        self.name(Some(self.files));
        self.files
    }

    /// Grants the lock if it is free. The model is asked the same question.
    fn grant(&mut self, kernel: Kernel, descriptor: &Descriptor, mode: Mode, say_no: bool) -> bool {
        let mode = as_spec(mode);
        let seen = if kernel == Kernel::KnowsNoShared { spec::Mode::Exclusive } else { mode };
        let Some(file) = self.open(descriptor).map(|open| open.file) else { return false };
        let free = kernel == Kernel::Lies
            || !self.descriptors.iter().enumerate().any(|(at, other)| {
                other.is_some_and(|other| {
                    at != descriptor.at
                        && other.file == file
                        && other.lock.is_some_and(|(theirs, _)| theirs.conflicts(seen))
                })
            });
        if !free && !say_no {
            return false;
        }
        self.attempts += 1;
        let id = self.attempts;
        let hold = spec::Hold {
            process: descriptor.name.process,
            id,
            path: PATH,
            file,
            mode,
            kept: crate::program::keeps(),
            stage: spec::Stage::Granted,
            named: false,
        };
        oracle::expect(Op::Lock { hold }, if free { Answer::Granted } else { Answer::Contended });
        if free {
            crate::program::granted(id);
            self.descriptors[descriptor.at].as_mut().expect("it is open").lock = Some((seen, id));
        }
        free
    }

    fn open(&mut self, descriptor: &Descriptor) -> Option<&mut Open> {
        self.descriptors[descriptor.at].as_mut()
    }
}

fn as_spec(mode: Mode) -> spec::Mode {
    match mode {
        Mode::Exclusive => spec::Mode::Exclusive,
        Mode::Shared => spec::Mode::Shared,
    }
}

/// A path as seen from one process.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) system: Arc<System>,
    pub(crate) process: u32,
    pub(crate) path: PathBuf,
}

impl Name {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn key(&self) -> &std::ffi::OsStr {
        self.path.as_os_str()
    }

    /// A dead process makes no more calls: whatever its threads ask, they get out by an error.
    fn alive(&self, action: Action) -> Result<(), Failure> {
        if oracle::is_dead(self.process) {
            return Err(action.failed(std::io::Error::other("the process is dead")));
        }
        Ok(())
    }
}

#[derive(Debug)]
pub(crate) struct Descriptor {
    name: Name,
    at: usize,
}

impl Descriptor {
    /// Nobody forks in the model.
    #[allow(clippy::unused_self, reason = "the contract's signature")]
    pub(crate) fn is_shared_by_fork(&self) -> bool {
        false
    }

    #[allow(clippy::unused_self, reason = "the contract's signature")]
    pub(crate) fn is_kept_on_fork(&self) -> bool {
        false
    }

    /// In the model no host closes descriptors.
    #[allow(clippy::unused_self, reason = "the contract's signature")]
    pub(crate) fn is_own(&self) -> bool {
        true
    }

    #[allow(clippy::unused_self, reason = "the contract's signature")]
    pub(crate) fn may_be_idle(&self) -> bool {
        true
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return; // loom has given this execution up.
        }
        self.name.system.enter(|state| {
            if let Some(Open { process, lock: Some((_, id)), .. }) =
                state.descriptors[self.at].take()
            {
                oracle::step(Op::Unlock { process, id });
            }
        });
        self.name.system.notify();
    }
}

/// Not known.
pub(crate) fn held_here(_: &Descriptor, _: Mode) -> Option<Mode> {
    None
}

/// Nobody forks in the model.
pub(crate) fn has_one_thread() -> bool {
    false
}

pub(crate) fn inherited(_: &Name) -> impl Iterator<Item = Mode> {
    std::iter::empty()
}

pub(crate) fn generation() -> u32 {
    0
}

pub(crate) fn open(
    name: &Name,
    _: &Options,
    _: &Deadline,
    _: Access,
    _: &mut Option<Watch>,
) -> Result<Opened<Descriptor>, Failure> {
    name.alive(Action::Open)?;
    name.system.enter(|state| {
        let file = state.named.unwrap_or_else(|| state.create());
        state.descriptors.push(Some(Open { process: name.process, file, lock: None }));
        let at = state.descriptors.len() - 1;
        Ok(Opened::Descriptor(Descriptor { name: name.clone(), at }))
    })
}

/// There are always more in the model.
pub(crate) fn lacks_descriptors(_: &Failure) -> bool {
    false
}

/// The model's files may be read and written alike.
pub(crate) fn needs_writing(_: &Failure) -> bool {
    false
}

pub(crate) fn try_lock(descriptor: &Descriptor, mode: Mode) -> Result<bool, Failure> {
    descriptor.name.alive(Action::Lock)?;
    crate::program::attempts();
    let system = &descriptor.name.system;
    Ok(system.enter(|state| state.grant(system.kernel, descriptor, mode, true)))
}

/// A wait whose deadline is the next look at the clock ends without a grant; any other ends with
/// one, or because the process died.
pub(crate) fn wait(
    descriptor: &Descriptor,
    options: &Options,
    deadline: &Deadline,
    _: Option<&mut Watch>,
) -> Result<Waited, Failure> {
    descriptor.name.alive(Action::Lock)?;
    let system = &descriptor.name.system;
    if !crate::program::has_found_current() {
        oracle::violation("sleeps without having looked whether the path names the file");
    }
    if let Some(left) = deadline.remaining() {
        if !left.is_zero() && Instant::has_passed() {
            oracle::violation("waits on although its deadline has passed");
            return Err(Action::Lock.failed(std::io::Error::other("the model gives up")));
        }
        if left.is_zero() || Instant::passes_next() {
            return Ok(Waited::Woken);
        }
    }
    let mut state = system.state.lock().expect("no thread of the model panics in the kernel");
    if system.kernel == Kernel::Interrupts && state.interruptions == 0 {
        state.interruptions += 1;
        return Ok(Waited::Woken);
    }
    while !oracle::is_dead(descriptor.name.process) {
        if state.grant(system.kernel, descriptor, options.mode, false) {
            return Ok(Waited::Granted);
        }
        state = system.freed.wait(state).expect("no thread of the model panics in the kernel");
    }
    drop(state);
    descriptor.name.alive(Action::Lock).map(|()| Waited::Woken)
}

loom::thread_local! {
    static LOOKS: Cell<u32> = Cell::new(0);
}

/// Early at a thread's first two looks, when it makes a ledger and begins to acquire, and late from
/// then on: every ledger finds its first tenure over, and gives way once.
pub(crate) fn clock(_: Clock) -> usize {
    let before = LOOKS.with(|looks| looks.replace(looks.get() + 1));
    if before < 2 { 0 } else { 3_600_000_000 }
}

/// Anything may happen anywhere without it, too.
pub(crate) fn give_way(_: Duration) {}

pub(crate) fn diagnose(_: &Name, failure: &Failure) -> Diagnosis {
    Diagnosis { kind: ErrorKind::of(&failure.source), advice: None }
}

/// Nobody asks in the model.
#[allow(clippy::unnecessary_wraps, reason = "the contract's signature")]
pub(crate) fn holders(
    _: &Name,
    _: &Options,
    _: bool,
    _: &dyn Fn() -> bool,
) -> Result<Holders, Failure> {
    Ok(Holders::default())
}

pub(crate) fn still_has(_: &Sighting, _: Mode) -> Option<Process> {
    None
}

pub(crate) fn is_current(name: &Name, descriptor: &Descriptor, _: bool) -> Result<bool, Failure> {
    name.alive(Action::Check)?;
    let system = &name.system;
    let current = system.enter(|state| {
        let named = state.named;
        state.open(descriptor).is_some_and(|open| Some(open.file) == named)
    });
    if current {
        crate::program::found_current();
    }
    Ok(current)
}

/// In one step, as local file systems do it.
pub(crate) fn downgrade(descriptor: &Descriptor) -> Result<bool, Failure> {
    descriptor.name.alive(Action::Lock)?;
    let (system, process) = (&descriptor.name.system, descriptor.name.process);
    let refused = system.enter(|state| {
        if system.kernel == Kernel::RefusesUnlock && state.refusals == 0 {
            state.refusals += 1;
            return true;
        }
        match state.open(descriptor).and_then(|open| open.lock.as_mut()) {
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
        let id = state_of_refused(descriptor);
        oracle::announce(Op::Restore { process, id });
        return Err(Action::Lock.failed(std::io::Error::other("refused")));
    }
    system.notify();
    Ok(true)
}

/// The hold whose conversion was refused.
fn state_of_refused(descriptor: &Descriptor) -> u64 {
    let lock = |state: &mut State| state.open(descriptor).and_then(|open| open.lock);
    descriptor.name.system.enter(lock).map_or(0, |(_, id)| id)
}

pub(crate) fn unlock(descriptor: &Descriptor) -> Result<(), Failure> {
    descriptor.name.alive(Action::Unlock)?;
    let system = &descriptor.name.system;
    let refused = system.enter(|state| {
        if system.kernel == Kernel::RefusesUnlock && state.refusals == 0 {
            state.refusals += 1;
            return true;
        }
        let keeps = system.kernel == Kernel::KeepsOnUnlock;
        if let Some(open) = state.open(descriptor) {
            match open.lock {
                Some(_) if keeps => {}
                Some((_, id)) => {
                    open.lock = None;
                    oracle::step(Op::Unlock { process: descriptor.name.process, id });
                }
                None => oracle::violation("unlocks a descriptor that has no lock"),
            }
        }
        false
    });
    if refused {
        // The ledger hears of it in its next critical section.
        oracle::announce(Op::Refuse { process: descriptor.name.process, path: PATH });
        return Err(Action::Unlock.failed(std::io::Error::other("refused")));
    }
    system.notify();
    Ok(())
}
