//! The specification: what a correct lock does, as one pure step function.
//!
//! One path in one process has a [`State`]:
//!
//! ```text
//!            acquire                      release
//! Unlocked ───────────▶ Held exclusive ───────────▶ Unlocked
//!    │                  or shared (n)
//!    │ release            ▲   │ release: the kernel refuses to unlock
//!    │            acquire │   ▼
//!    └───────────────▶ ReleasedError ── release ──▶ ReleasedError
//! ```
//!
//! The [`World`] is the state of all processes and files. In the world a call is two steps, because
//! the process's record of its holds (its *ledger*) and the kernel's lock cannot change in the same
//! instant:
//!
//! ```text
//!      Lock      Record                      Take      Unlock
//!   ────┬──────────┬──────── the ledger ──────┬──────────┬────▶ time
//!       │ Granted  │        Recorded          │  Taken   │          Stage
//!       └──────────┴── the kernel's lock ─────┴──────────┘          excludes other holds
//! ```
//!
//! The downgrade of a guard is two more steps, in the same order as a release: `Lower` changes the
//! ledger, then `Convert` changes the kernel's lock. In between (stage `Lowered`) the ledger records
//! a shared hold, and the kernel's exclusive lock covers it. There is no upgrade: a kernel that
//! refuses an upgrade may have removed the shared lock before (flock(2)), and the ledger would then
//! record a hold that does not exist.
//!
//! The main law follows from the order of these steps: every hold in the ledger is a lock in the
//! kernel. One thing is *not* promised. A release that lost to another release (`NotLocked`) may
//! return before the other release has unlocked the file. A model with one step for each call would
//! fit no real lock.

mod types;

use std::collections::{BTreeMap, BTreeSet};

pub use self::types::{Answer, File, Hold, HoldId, Mode, Op, Outcome, Path, Process, Stage, State};

/// The state of all processes, paths and files.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct World {
    pub(crate) holds: Vec<Hold>, // those in a ledger: oldest first
    pub(crate) names: BTreeMap<Path, File>,
    pub(crate) handles: BTreeSet<(Process, Path)>,
    pub(crate) released_error: BTreeSet<(Process, Path)>,
}

impl World {
    /// Returns the world after a step, and the answer.
    #[must_use]
    pub fn step(&self, op: Op) -> (Self, Answer) {
        let mut next = self.clone();
        let answer = next.apply(op);
        (next, answer)
    }

    /// Applies [`World::step`] in place.
    pub fn apply(&mut self, op: Op) -> Answer {
        match op {
            Op::Lock { hold } => self.lock(hold),
            Op::Record { process, id } => match self.find(process, id, Stage::Granted) {
                None => Answer::NotEnabled("records a hold that the kernel has not granted"),
                Some(at) if !self.holds[at].named => {
                    Answer::NotEnabled("records a hold on a file that the path does not name")
                }
                Some(at) => {
                    let hold = self.holds.remove(at);
                    self.holds.push(Hold { stage: Stage::Recorded, ..hold });
                    self.released_error.remove(&(process, hold.path));
                    Answer::Returned(Outcome::Held)
                }
            },
            Op::Take { process, path } => {
                let Some(at) = self.held(process, path).find(|&at| self.holds[at].unguarded) else {
                    self.mark_error(process, path);
                    return Answer::Returned(Outcome::NotLocked);
                };
                self.holds[at].stage = Stage::Taken;
                Answer::Taken(self.holds[at].id)
            }
            Op::TakeGuard { process, id } => match self.find(process, id, Stage::Recorded) {
                Some(at) if !self.holds[at].unguarded => {
                    self.holds[at].stage = Stage::Taken;
                    Answer::Taken(id)
                }
                _ => Answer::NotEnabled("ends a guard that has no hold"),
            },
            Op::Lower { process, id } => match self.find(process, id, Stage::Recorded) {
                Some(at) if !self.holds[at].unguarded && self.holds[at].mode == Mode::Exclusive => {
                    self.holds[at].stage = Stage::Lowered;
                    Answer::Done
                }
                _ => Answer::NotEnabled("downgrades a hold that is not an exclusive guard"),
            },
            Op::Convert { process, id } => self.end_downgrade(process, id, Mode::Shared),
            Op::Restore { process, id } => self.end_downgrade(process, id, Mode::Exclusive),
            Op::Unlock { process, id } => {
                let found = self
                    .find(process, id, Stage::Granted)
                    .or_else(|| self.find(process, id, Stage::Taken));
                let Some(at) = found else {
                    return Answer::NotEnabled(
                        "unlocks a hold that is in the ledger or does not exist",
                    );
                };
                self.holds.remove(at);
                Answer::Done
            }
            Op::Refuse { process, path } => {
                self.mark_error(process, path);
                Answer::Returned(Outcome::Refused)
            }
            Op::SetFile { path, file } => {
                match file {
                    Some(file) => self.names.insert(path, file),
                    None => self.names.remove(&path),
                };
                for hold in self
                    .holds
                    .iter_mut()
                    .filter(|hold| hold.path == path && hold.stage == Stage::Granted)
                {
                    hold.named |= Some(hold.file) == file;
                }
                Answer::Done
            }
            Op::FirstHandle { process, path } => {
                self.handles.insert((process, path));
                Answer::Done
            }
            Op::LastHandle { process, path } => {
                self.handles.remove(&(process, path));
                self.released_error.remove(&(process, path));
                Answer::Done
            }
            Op::Crash { process } => {
                self.holds.retain(|hold| hold.process != process);
                self.handles.retain(|&(of, _)| of != process);
                self.released_error.retain(|&(of, _)| of != process);
                Answer::Done
            }
        }
    }

    /// Returns the state that a process's ledger records for a path.
    #[must_use]
    pub fn state(&self, process: Process, path: Path) -> State {
        let mut modes = self.held(process, path).map(|at| self.holds[at].mode_in_ledger());
        match modes.next() {
            None if self.released_error.contains(&(process, path)) => State::ReleasedError,
            None => State::Unlocked,
            Some(first)
                if first == Mode::Exclusive || modes.any(|mode| mode == Mode::Exclusive) =>
            {
                State::HeldExclusive
            }
            Some(_) => State::HeldShared(self.held(process, path).count()),
        }
    }

    /// Returns all holds. Those in a ledger are ordered by age, oldest first.
    #[must_use]
    pub fn holds(&self) -> &[Hold] {
        &self.holds
    }

    /// Returns the file that the path names.
    #[must_use]
    pub fn named(&self, path: Path) -> Option<File> {
        self.names.get(&path).copied()
    }

    /// Performs a whole acquisition with no step in between. Returns [`Outcome::Held`], or
    /// [`Outcome::TimedOut`] if a conflicting hold of the file exists. A path that names no file gets a
    /// new file first, as with `O_CREAT`. `id` must be new in its process.
    #[must_use]
    pub fn acquire(
        &self,
        process: Process,
        path: Path,
        id: HoldId,
        mode: Mode,
        unguarded: bool,
    ) -> (Self, Outcome) {
        let mut next = self.clone();
        next.apply(Op::FirstHandle { process, path });
        let file = self.named(path).unwrap_or_else(|| {
            let used = self.names.values().copied().chain(self.holds.iter().map(|hold| hold.file));
            let file = used.max().map_or(0, |newest| newest + 1);
            next.apply(Op::SetFile { path, file: Some(file) });
            file
        });
        let hold =
            Hold { process, id, path, file, mode, unguarded, stage: Stage::Granted, named: false };
        if next.apply(Op::Lock { hold }) == Answer::Contended {
            return (next, Outcome::TimedOut);
        }
        next.apply(Op::Record { process, id });
        (next, Outcome::Held)
    }

    /// Performs a whole `release` of a path with no step in between. If `refused`, the kernel refuses
    /// to unlock.
    #[must_use]
    pub fn release(&self, process: Process, path: Path, refused: bool) -> (Self, Outcome) {
        let mut next = self.clone();
        next.apply(Op::FirstHandle { process, path });
        let taken = next.apply(Op::Take { process, path });
        let outcome = next.free(process, path, taken, refused);
        (next, outcome)
    }

    /// Performs the whole release of a guard with no step in between. Returns `None` if there is no
    /// such guard.
    #[must_use]
    pub fn release_guard(
        &self,
        process: Process,
        id: HoldId,
        refused: bool,
    ) -> Option<(Self, Outcome)> {
        let path = self.holds[self.find(process, id, Stage::Recorded)?].path;
        let mut next = self.clone();
        let taken = next.apply(Op::TakeGuard { process, id });
        let outcome = next.free(process, path, taken, refused);
        Some((next, outcome))
    }

    /// Performs the whole downgrade of a guard with no step in between. If `refused`, the kernel
    /// refuses it. Returns `None` if there is no such guard, or if it is shared.
    #[must_use]
    pub fn downgrade(&self, process: Process, id: HoldId, refused: bool) -> Option<Self> {
        let (mut next, answer) = self.step(Op::Lower { process, id });
        let second =
            if refused { Op::Restore { process, id } } else { Op::Convert { process, id } };
        next.apply(second);
        (answer == Answer::Done).then_some(next)
    }

    /// Returns whether two worlds are equal up to the numbers of their holds.
    #[must_use]
    pub fn is_equivalent(&self, other: &Self) -> bool {
        self.shape() == other.shape()
            && self.names == other.names
            && self.handles == other.handles
            && self.released_error == other.released_error
    }

    /// Returns the holds without their numbers. Order matters only among the unguarded holds of one
    /// ledger.
    fn shape(&self) -> Vec<(Hold, usize)> {
        let mut rank = 0;
        let mut shape: Vec<(Hold, usize)> = Vec::with_capacity(self.holds.len());
        for &hold in &self.holds {
            let ordered = hold.unguarded && hold.stage == Stage::Recorded;
            rank += usize::from(ordered);
            shape.push((Hold { id: 0, ..hold }, if ordered { rank } else { 0 }));
        }
        shape.sort_unstable_by_key(|&(hold, rank)| (hold.process, rank, hold));
        for (at, (_, rank)) in shape.iter_mut().enumerate() {
            *rank = if *rank > 0 { at + 1 } else { 0 };
        }
        shape
    }

    fn lock(&mut self, hold: Hold) -> Answer {
        let is_same = |other: &Hold| (other.process, other.id) == (hold.process, hold.id);
        if self.holds.iter().any(is_same) {
            return Answer::NotEnabled("locks for a hold that exists already");
        }
        let conflicts = |other: &Hold| other.file == hold.file && other.mode.conflicts(hold.mode);
        if self.holds.iter().any(conflicts) {
            return Answer::Contended;
        }
        let named = self.names.get(&hold.path) == Some(&hold.file);
        self.holds.push(Hold { stage: Stage::Granted, named, ..hold });
        Answer::Granted
    }

    fn free(&mut self, process: Process, path: Path, taken: Answer, refused: bool) -> Outcome {
        let Answer::Taken(id) = taken else { return Outcome::NotLocked };
        self.apply(Op::Unlock { process, id });
        if refused {
            self.apply(Op::Refuse { process, path });
            return Outcome::Refused;
        }
        Outcome::Released
    }

    fn end_downgrade(&mut self, process: Process, id: HoldId, mode: Mode) -> Answer {
        let Some(at) = self.find(process, id, Stage::Lowered) else {
            return Answer::NotEnabled("converts a lock that the ledger records as exclusive");
        };
        (self.holds[at].stage, self.holds[at].mode) = (Stage::Recorded, mode);
        match mode {
            Mode::Shared => Answer::Done,
            Mode::Exclusive => Answer::Returned(Outcome::Failed),
        }
    }

    fn find(&self, process: Process, id: HoldId, stage: Stage) -> Option<usize> {
        self.holds
            .iter()
            .position(|hold| (hold.process, hold.id, hold.stage) == (process, id, stage))
    }

    fn held(&self, process: Process, path: Path) -> impl Iterator<Item = usize> {
        let of_path = move |hold: &Hold| {
            (hold.process, hold.path) == (process, path)
                && matches!(hold.stage, Stage::Recorded | Stage::Lowered)
        };
        (0..self.holds.len()).filter(move |&at| of_path(&self.holds[at]))
    }

    /// Sets released-error. That state requires that nothing is held and that a handle exists.
    fn mark_error(&mut self, process: Process, path: Path) {
        if self.held(process, path).next().is_none() && self.handles.contains(&(process, path)) {
            self.released_error.insert((process, path));
        }
    }
}
