//! The reference machine: the specification in the form that the lock is compared with. It decides nothing about locks.
//! Every grant, refusal and state comes from the model's `World`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug, Formatter};

use locket_model::spec::{
    self, Answer, File, Hold, HoldId, Mode, Outcome, Path, Process, Stage, State, World,
};
use proptest::strategy::{BoxedStrategy, Just, Strategy};
use proptest_state_machine::ReferenceStateMachine;

use super::disk::Disk;
use super::ops::{Change, End, HoldKind, Op, Response, Slot, Spelling, Step};
use super::seeded::WrongSpec;
use super::strategy;

/// The system under test, and the bug that is seeded, if any.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Several real processes; otherwise the lock in the test's own process.
    pub(crate) peers: bool,
    pub(crate) wrong_spec: Option<WrongSpec>,
}

impl Setting {
    pub(crate) const IN_PROCESS: Self = Self { peers: false, wrong_spec: None };
    pub(crate) const PEERS: Self = Self { peers: true, ..Self::IN_PROCESS };

    pub(crate) fn processes(self) -> Process {
        if self.peers { 3 } else { 1 }
    }
}

/// A call that has not returned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiter {
    pub(crate) process: Process,
    via: Spelling,
    mode: Mode,
    kind: HoldKind,
    /// The file that it waits for. The path may lead to another by now.
    pub(crate) file: File,
}

#[derive(Clone)]
pub(crate) struct Reference {
    pub(crate) setting: Setting,
    pub(crate) world: World,
    pub(crate) disk: Disk,
    pub(crate) handles: BTreeSet<(Process, Spelling)>,
    pub(crate) guards: BTreeMap<(Process, Slot), HoldId>,
    pub(crate) waiters: Vec<Waiter>,
    /// The response of the last step.
    pub(crate) response: Response,
    /// The waiters that the last step admitted.
    pub(crate) admitted: Vec<Waiter>,
    newest: HoldId,
}

impl Reference {
    pub(crate) fn new(setting: Setting) -> Self {
        Self {
            setting,
            world: World::default(),
            disk: Disk::default(),
            handles: BTreeSet::new(),
            guards: BTreeMap::new(),
            waiters: Vec::new(),
            response: Response::Nothing,
            admitted: Vec::new(),
            newest: 0,
        }
    }

    pub(crate) fn is_wrong(&self, wrong: WrongSpec) -> bool {
        self.setting.wrong_spec == Some(wrong)
    }

    pub(crate) fn path(&self, via: Spelling) -> Path {
        if self.is_wrong(WrongSpec::AliasesShareState) { 0 } else { via.path() }
    }

    pub(crate) fn state(&self, process: Process, via: Spelling) -> State {
        match self.world.state(process, self.path(via)) {
            State::ReleasedError if self.is_wrong(WrongSpec::NoReleasedError) => State::Unlocked,
            State::HeldShared(3..) if self.is_wrong(WrongSpec::ThirdReaderIsNotCounted) => {
                State::HeldShared(2)
            }
            state => state,
        }
    }

    /// Returns the strictest mode of the holds on a file.
    pub(crate) fn held(&self, file: File) -> Option<Mode> {
        self.world.holds().iter().filter(|hold| hold.file == file).map(|hold| hold.mode).min()
    }

    /// Returns the most descriptors that a process may have: one for each hold, one for each waiter, and an idle one for each
    /// path with a handle or a hold (L13).
    #[cfg(target_os = "linux")]
    pub(crate) fn limit_of_descriptors(&self, process: Process) -> usize {
        let waiters = self.waiters.iter().filter(|waiter| waiter.process == process);
        let holds = self.world.holds().iter().filter(|hold| hold.process == process);
        let handles = self.handles.iter().filter(|&&(of, _)| of == process);
        let held_paths = holds.clone().map(|hold| hold.path);
        let paths: BTreeSet<Path> =
            handles.map(|&(_, via)| self.path(via)).chain(held_paths).collect();
        let idle = if self.is_wrong(WrongSpec::NoIdleDescriptor) { 0 } else { paths.len() };
        waiters.count() + holds.count() + idle
    }

    fn act(&mut self, Step { process, op }: Step) -> Response {
        match op {
            Op::Acquire { via, mode, kind, .. } => {
                Response::Call(self.acquire(process, via, mode, kind))
            }
            Op::Release { via } => {
                self.make_handle(process, via);
                let outcome = self.release(process, self.path(via));
                if outcome == Outcome::Released && self.is_wrong(WrongSpec::ReleaseUnlinks) {
                    self.change(Change::Unlink(via.entry()));
                }
                Response::Call(outcome)
            }
            Op::DropHandle { via } => {
                self.drop_handle(process, via);
                Response::Nothing
            }
            Op::EndGuard { slot, end } => {
                let outcome = self.guards.remove(&(process, slot)).and_then(|id| match end {
                    End::Leak => None,
                    End::Drop | End::Release => self.end_guard(process, id),
                });
                outcome.filter(|_| end == End::Release).map_or(Response::Nothing, Response::Call)
            }
            Op::IsCurrent { slot } => Response::Current(self.is_current(process, slot)),
            Op::Wait { via, mode, kind, .. } => {
                self.make_handle(process, via);
                let file = self.world.named(self.path(via)).expect("a held file exists");
                self.waiters.push(Waiter { process, via, mode, kind, file });
                Response::Waits
            }
            Op::Kill => {
                self.kill(process);
                Response::Nothing
            }
            Op::Change(change) => {
                self.change(change);
                Response::Nothing
            }
        }
    }

    fn acquire(&mut self, process: Process, via: Spelling, mode: Mode, kind: HoldKind) -> Outcome {
        self.make_handle(process, via);
        self.open(via);
        if self.is_wrong(WrongSpec::AcquireTruncates) {
            self.disk.change(Change::Write(""));
        }
        if self.is_wrong(WrongSpec::AcquireChmods) {
            self.disk.change(Change::Chmod(0o444));
        }
        let held = self.world.named(self.path(via)).and_then(|file| self.held(file));
        if self.is_wrong(WrongSpec::ReadersExcludeEachOther) && held == Some(Mode::Shared) {
            return Outcome::TimedOut;
        }
        self.newest += 1;
        let (path, id) = (self.path(via), self.newest);
        let shared = self.is_wrong(WrongSpec::SharedIsExclusive);
        let mode = if shared { Mode::Exclusive } else { mode };
        let (world, outcome) =
            self.world.acquire(process, path, id, mode, kind == HoldKind::Unguarded);
        let by_it = |hold: &Hold| hold.path == path;
        if outcome == Outcome::TimedOut
            && self.is_wrong(WrongSpec::LinksDoNotExclude)
            && !self.world.holds().iter().any(by_it)
        {
            return Outcome::Held;
        }
        self.world = world;
        if outcome == Outcome::Held {
            self.add_guard(process, kind, id);
        }
        outcome
    }

    fn add_guard(&mut self, process: Process, kind: HoldKind, id: HoldId) {
        if let HoldKind::Guard(slot) = kind {
            self.guards.insert((process, slot), id);
        }
    }

    fn release(&mut self, process: Process, path: Path) -> Outcome {
        let (world, outcome) = self.world.release(process, path, false);
        if !(outcome == Outcome::Released && self.is_wrong(WrongSpec::ReleaseDoesNotUnlock)) {
            self.world = world;
        }
        let of_path = |hold: &&Hold| (hold.process, hold.path) == (process, path);
        let victim = self.world.holds().iter().find(of_path).map(|hold| hold.id);
        match victim {
            Some(id)
                if outcome == Outcome::NotLocked && self.is_wrong(WrongSpec::ReleaseEndsGuards) =>
            {
                self.end_guard(process, id).unwrap_or(outcome)
            }
            _ => outcome,
        }
    }

    fn end_guard(&mut self, process: Process, id: HoldId) -> Option<Outcome> {
        let (world, outcome) = self.world.release_guard(process, id, false)?;
        self.world = world;
        Some(outcome)
    }

    fn is_current(&self, process: Process, slot: Slot) -> bool {
        let id = self.guards.get(&(process, slot));
        if self.is_wrong(WrongSpec::GuardIsAlwaysCurrent) {
            return true;
        }
        let hold = self.world.holds().iter().find(|hold| Some(&hold.id) == id);
        hold.is_some_and(|hold| self.world.named(hold.path) == Some(hold.file))
    }

    fn change(&mut self, change: Change) {
        self.disk.change(change);
        let is_ignored = self.is_wrong(WrongSpec::ReplacedFileExcludes)
            || change == Change::MoveBack && self.is_wrong(WrongSpec::MovedFileIsNotFoundAgain);
        if !is_ignored {
            self.update_names();
        }
    }

    fn make_handle(&mut self, process: Process, via: Spelling) {
        self.handles.insert((process, via));
        self.world.apply(spec::Op::FirstHandle { process, path: self.path(via) });
    }

    fn drop_handle(&mut self, process: Process, via: Spelling) {
        self.handles.remove(&(process, via));
        let path = self.path(via);
        let is_last =
            !self.handles.iter().any(|&(of, via)| (of, self.path(via)) == (process, path));
        if is_last && !self.is_wrong(WrongSpec::ReleasedErrorOutlivesHandles) {
            self.world.apply(spec::Op::LastHandle { process, path });
        }
    }

    fn kill(&mut self, process: Process) {
        if !self.is_wrong(WrongSpec::KilledProcessKeepsLock) {
            self.world.apply(spec::Op::Crash { process });
        }
        self.handles.retain(|&(of, _)| of != process);
        self.guards.retain(|&(of, _), _| of != process);
        let waiting = self.waiters.len();
        self.waiters.retain(|waiter| waiter.process != process);
        if self.waiters.len() < waiting && self.is_wrong(WrongSpec::KilledWaiterFreesTheLock) {
            for process in 1..=self.setting.processes() {
                self.world.apply(spec::Op::Crash { process });
            }
        }
    }

    fn open(&mut self, via: Spelling) {
        if self.world.named(self.path(via)).is_none() {
            self.disk.create_if_missing(via.entry());
            self.update_names();
        }
    }

    fn update_names(&mut self) {
        for &via in Spelling::ALL {
            let file = self.disk.file_at(via.entry());
            self.world.apply(spec::Op::SetFile { path: via.path(), file });
        }
    }

    /// Admits the waiters whose file is free. A waiter that is granted a file to which its path does not lead moves to the
    /// file there (L9).
    fn settle(&mut self) {
        self.admitted.clear();
        if self.is_wrong(WrongSpec::WaitersNeverAdmitted) {
            return;
        }
        for mut waiter in std::mem::take(&mut self.waiters) {
            let is_next = self.admitted.is_empty();
            if !is_next && self.is_wrong(WrongSpec::WaitersAreAdmittedOneByOne) {
                self.waiters.push(waiter);
                continue;
            }
            match self.admit(&mut waiter) {
                Some(id) => {
                    self.add_guard(waiter.process, waiter.kind, id);
                    self.admitted.push(waiter);
                }
                None => self.waiters.push(waiter),
            }
        }
    }

    fn admit(&mut self, waiter: &mut Waiter) -> Option<HoldId> {
        let Waiter { process, via, mode, kind, .. } = *waiter;
        self.newest += 1;
        let (id, path, unguarded) = (self.newest, self.path(via), kind == HoldKind::Unguarded);
        loop {
            let (file, stage) = (waiter.file, Stage::Granted);
            let hold = Hold { process, id, path, file, mode, unguarded, stage, named: false };
            if self.world.apply(spec::Op::Lock { hold }) == Answer::Contended {
                return None;
            }
            let is_named = self.world.named(path) == Some(file);
            if is_named || self.is_wrong(WrongSpec::WaitersLockTheOldFile) {
                self.world.apply(spec::Op::Record { process, id });
                return Some(id);
            }
            self.world.apply(spec::Op::Unlock { process, id });
            self.open(via);
            waiter.file = self.world.named(path)?;
        }
    }

    /// Returns whether a call may wait: alone, or with other readers. The order of other waiters is the kernel's choice.
    fn may_wait(&self, process: Process, via: Spelling, mode: Mode) -> bool {
        let mut waiting = self.waiters.iter().map(|waiter| waiter.mode).chain([mode]);
        let is_decided = self.waiters.is_empty() || waiting.all(|mode| mode == Mode::Shared);
        let is_idle = self.waiters.iter().all(|waiter| waiter.process != process);
        let is_held = self.world.named(self.path(via)).and_then(|file| self.held(file));
        is_decided && is_idle && is_held.is_some_and(|held| held.conflicts(mode))
    }

    fn is_free(&self, process: Process, kind: HoldKind) -> bool {
        let HoldKind::Guard(slot) = kind else { return true };
        let taken =
            self.waiters.iter().any(|waiter| (waiter.process, waiter.kind) == (process, kind));
        !taken && !self.guards.contains_key(&(process, slot))
    }
}

impl ReferenceStateMachine for Reference {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::new(Setting::IN_PROCESS)).boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Step> {
        strategy::step(state)
    }

    fn preconditions(state: &Self, &Step { process, op }: &Step) -> bool {
        match op {
            Op::Acquire { kind, .. } => state.is_free(process, kind),
            Op::Release { .. } => true,
            Op::DropHandle { via } => {
                let waits = state.waiters.iter().any(|waiter| waiter.process == process);
                !waits && state.handles.contains(&(process, via))
            }
            Op::EndGuard { slot, .. } | Op::IsCurrent { slot } => {
                state.guards.contains_key(&(process, slot))
            }
            Op::Wait { via, mode, kind, .. } => {
                state.is_free(process, kind) && state.may_wait(process, via, mode)
            }
            Op::Kill => state.setting.peers,
            // A missing directory entry cannot be changed.
            Op::Change(change) => cfg!(unix) && state.disk.allows(change),
        }
    }

    fn apply(mut state: Self, &step: &Step) -> Self {
        state.response = state.act(step);
        state.settle();
        state
    }
}

/// Prints the setting only. It stands at the beginning of each failure, where the rest is not interesting.
impl Debug for Reference {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.setting)
    }
}
