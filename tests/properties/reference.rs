//! The specification as the machine that the lock is compared with. It decides nothing about
//! locks: every grant, refusal and state is `World`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug, Formatter};

use locket_model::spec::{
    Answer, File, Hold, HoldId, Mode, Op, Outcome, Path, Process, Stage, State, World,
};
use proptest::strategy::{BoxedStrategy, Just, Strategy};
use proptest_state_machine::ReferenceStateMachine;

use super::choosing;
use super::disk::Disk;
use super::seeded::{BrokenLock, WrongSpec};
use super::story::{Deed, End, Keep, Slot, Spelling, Step, Told};

/// Whom the story is about, and what is wrong with it on purpose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Real processes of their own; otherwise the lock in this process.
    pub(crate) peers: bool,
    pub(crate) wrong_spec: Option<WrongSpec>,
    pub(crate) broken_lock: Option<BrokenLock>,
}

impl Setting {
    pub(crate) const HERE: Self = Self { peers: false, wrong_spec: None, broken_lock: None };
    pub(crate) const PEERS: Self = Self { peers: true, ..Self::HERE };

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
    keep: Keep,
    /// The file in whose queue it is. The path may name another by now.
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
    /// What the last step has to say.
    pub(crate) told: Told,
    /// Whom the last step let in.
    pub(crate) let_in: Vec<Waiter>,
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
            told: Told::Nothing,
            let_in: Vec::new(),
            newest: 0,
        }
    }

    fn is_wrong(&self, wrong: WrongSpec) -> bool {
        self.setting.wrong_spec == Some(wrong)
    }

    pub(crate) fn path(&self, via: Spelling) -> Path {
        if self.is_wrong(WrongSpec::AliasesShareState) { 0 } else { via.path() }
    }

    pub(crate) fn state(&self, process: Process, via: Spelling) -> State {
        match self.world.state(process, self.path(via)) {
            State::ReleasedError if self.is_wrong(WrongSpec::ForgetsReleasedError) => {
                State::Unlocked
            }
            state => state,
        }
    }

    /// The strictest hold on a file.
    pub(crate) fn held(&self, file: File) -> Option<Mode> {
        self.world.holds().iter().filter(|hold| hold.file == file).map(|hold| hold.mode).min()
    }

    /// One for each hold and each waiter, and an idle one for each path that somebody is interested
    /// in (L13).
    #[cfg(target_os = "linux")]
    pub(crate) fn limit_of_descriptors(&self, process: Process) -> usize {
        let waiters = self.waiters.iter().filter(|waiter| waiter.process == process);
        let holds = self.world.holds().iter().filter(|hold| hold.process == process);
        let handles = self.handles.iter().filter(|&&(of, _)| of == process);
        let held_paths = holds.clone().map(|hold| hold.path);
        let paths: BTreeSet<Path> =
            handles.map(|&(_, via)| self.path(via)).chain(held_paths).collect();
        waiters.count() + holds.count() + paths.len()
    }

    fn act(&mut self, Step { process, deed }: Step) -> Told {
        match deed {
            Deed::Acquire { via, mode, keep, .. } => {
                Told::Call(self.acquire(process, via, mode, keep))
            }
            Deed::Release { via } => {
                self.make_handle(process, via);
                Told::Call(self.release(process, self.path(via)))
            }
            Deed::DropHandle { via } => {
                self.drop_handle(process, via);
                Told::Nothing
            }
            Deed::EndGuard { slot, end } => {
                let outcome = self.guards.remove(&(process, slot)).and_then(|id| match end {
                    End::Leak => None,
                    End::Drop | End::Release => self.end_guard(process, id),
                });
                outcome.filter(|_| end == End::Release).map_or(Told::Nothing, Told::Call)
            }
            Deed::IsCurrent { slot } => Told::Current(self.is_current(process, slot)),
            Deed::Wait { via, mode, keep, .. } => {
                self.make_handle(process, via);
                let file = self.world.named(self.path(via)).expect("it is held, so it is there");
                self.waiters.push(Waiter { process, via, mode, keep, file });
                Told::Waits
            }
            Deed::Kill => {
                self.kill(process);
                Told::Nothing
            }
            Deed::Change(change) => {
                self.disk.change(change);
                if !self.is_wrong(WrongSpec::ReplacedFileExcludes) {
                    self.look_at_the_disk();
                }
                Told::Nothing
            }
        }
    }

    fn acquire(&mut self, process: Process, via: Spelling, mode: Mode, keep: Keep) -> Outcome {
        self.make_handle(process, via);
        self.open(via);
        self.newest += 1;
        let (path, id) = (self.path(via), self.newest);
        let shared = self.is_wrong(WrongSpec::SharedIsExclusive);
        let mode = if shared { Mode::Exclusive } else { mode };
        let (world, outcome) = self.world.acquire(process, path, id, mode, keep == Keep::Kept);
        self.world = world;
        if outcome == Outcome::Held {
            self.hand_over(process, keep, id);
        }
        outcome
    }

    fn hand_over(&mut self, process: Process, keep: Keep, id: HoldId) {
        if let Keep::Guard(slot) = keep {
            self.guards.insert((process, slot), id);
        }
    }

    fn release(&mut self, process: Process, path: Path) -> Outcome {
        let (world, outcome) = self.world.release(process, path, false);
        self.world = world;
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
        let hold = self.world.holds().iter().find(|hold| Some(&hold.id) == id);
        hold.is_some_and(|hold| self.world.named(hold.path) == Some(hold.file))
    }

    fn make_handle(&mut self, process: Process, via: Spelling) {
        self.handles.insert((process, via));
        self.world.apply(Op::FirstHandle { process, path: self.path(via) });
    }

    fn drop_handle(&mut self, process: Process, via: Spelling) {
        self.handles.remove(&(process, via));
        let path = self.path(via);
        let is_last =
            !self.handles.iter().any(|&(of, via)| (of, self.path(via)) == (process, path));
        if is_last && !self.is_wrong(WrongSpec::ErrorOutlivesHandles) {
            self.world.apply(Op::LastHandle { process, path });
        }
    }

    fn kill(&mut self, process: Process) {
        if !self.is_wrong(WrongSpec::TheDeadHoldOn) {
            self.world.apply(Op::Crash { process });
        }
        self.handles.retain(|&(of, _)| of != process);
        self.guards.retain(|&(of, _), _| of != process);
        self.waiters.retain(|waiter| waiter.process != process);
    }

    fn open(&mut self, via: Spelling) {
        if self.world.named(self.path(via)).is_none() {
            self.disk.create_if_missing(via.entry());
            self.look_at_the_disk();
        }
    }

    fn look_at_the_disk(&mut self) {
        for &via in Spelling::ALL {
            let file = self.disk.file_at(via.entry());
            self.world.apply(Op::SetFile { path: via.path(), file });
        }
    }

    /// Lets in whoever can be: a waiter is granted the file it waits for, and moves on if that is
    /// not what its path names (L9).
    fn settle(&mut self) {
        self.let_in.clear();
        if self.is_wrong(WrongSpec::WaitersStayOut) {
            return;
        }
        for mut waiter in std::mem::take(&mut self.waiters) {
            match self.admit(&mut waiter) {
                Some(id) => {
                    self.hand_over(waiter.process, waiter.keep, id);
                    self.let_in.push(waiter);
                }
                None => self.waiters.push(waiter),
            }
        }
    }

    fn admit(&mut self, waiter: &mut Waiter) -> Option<HoldId> {
        let Waiter { process, via, mode, keep, .. } = *waiter;
        self.newest += 1;
        let (id, path, kept) = (self.newest, self.path(via), keep == Keep::Kept);
        loop {
            let (file, stage) = (waiter.file, Stage::Granted);
            let hold = Hold { process, id, path, file, mode, unguarded: kept, stage, named: false };
            if self.world.apply(Op::Lock { hold }) == Answer::Contended {
                return None;
            }
            let is_named = self.world.named(path) == Some(file);
            if is_named || self.is_wrong(WrongSpec::WaitersTakeTheOldFile) {
                self.world.apply(Op::Record { process, id });
                return Some(id);
            }
            self.world.apply(Op::Unlock { process, id });
            self.open(via);
            waiter.file = self.world.named(path)?;
        }
    }

    /// A waiter alone, or several that read: who is first among others is the kernel's choice.
    fn may_wait(&self, process: Process, via: Spelling, mode: Mode) -> bool {
        let mut waiting = self.waiters.iter().map(|waiter| waiter.mode).chain([mode]);
        let is_decided = self.waiters.is_empty() || waiting.all(|mode| mode == Mode::Shared);
        let is_idle = self.waiters.iter().all(|waiter| waiter.process != process);
        let is_held = self.world.named(self.path(via)).and_then(|file| self.held(file));
        is_decided && is_idle && is_held.is_some_and(|held| held.conflicts(mode))
    }

    fn is_free(&self, process: Process, keep: Keep) -> bool {
        let Keep::Guard(slot) = keep else { return true };
        let taken =
            self.waiters.iter().any(|waiter| (waiter.process, waiter.keep) == (process, keep));
        !taken && !self.guards.contains_key(&(process, slot))
    }
}

impl ReferenceStateMachine for Reference {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::new(Setting::HERE)).boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Step> {
        choosing::step(state)
    }

    fn preconditions(state: &Self, &Step { process, deed }: &Step) -> bool {
        match deed {
            Deed::Acquire { keep, .. } => state.is_free(process, keep),
            Deed::Release { .. } => true,
            Deed::DropHandle { via } => {
                let waits = state.waiters.iter().any(|waiter| waiter.process == process);
                !waits && state.handles.contains(&(process, via))
            }
            Deed::EndGuard { slot, .. } | Deed::IsCurrent { slot } => {
                state.guards.contains_key(&(process, slot))
            }
            Deed::Wait { via, mode, keep, .. } => {
                state.is_free(process, keep) && state.may_wait(process, via, mode)
            }
            Deed::Kill => state.setting.peers,
            // A directory entry that is not there cannot be changed.
            Deed::Change(change) => cfg!(unix) && state.disk.allows(change),
        }
    }

    fn apply(mut state: Self, &step: &Step) -> Self {
        state.told = state.act(step);
        state.settle();
        state
    }
}

/// What there is at the beginning of a story: nothing worth a line of it.
impl Debug for Reference {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.setting)
    }
}
