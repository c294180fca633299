//! The specification: what a correct lock does, as one pure step function.
//!
//! ```text
//!            acquire                      release
//! Unlocked ───────────▶ Held exclusive ───────────▶ Unlocked
//!    │                  or shared (n)
//!    │ release            ▲   │ release: the system refuses to unlock
//!    │            acquire │   ▼
//!    └───────────────▶ ReleasedError ── release ──▶ ReleasedError
//! ```
//!
//! That is one path in one process ([`State`]). The [`World`] is all processes and files, and there
//! a call is two steps, because what a program knows (its *ledger*) and the system's lock never
//! change in the same instant:
//!
//! ```text
//!      Lock      Record                      Take      Unlock
//!   ────┬──────────┬──────── the ledger ──────┬──────────┬────▶ time
//!       │ Granted  │        Recorded          │  Taken   │          Stage
//!       └──────────┴── the system's lock ─────┴──────────┘          others are kept out
//! ```
//!
//! A guard's downgrade is two steps more, in the same order as a release: `Lower` in the ledger, then
//! `Convert` in the system. In between (stage `Lowered`) the ledger says shared, which the system's
//! exclusive lock covers. There is no upgrade: a system that refuses one has taken the shared lock away
//! by then (flock(2)), and what the ledger says would not be held.
//!
//! Hence the law that everything rests on: what the ledger says is held, the system holds. Hence
//! also what is *not* promised: a release that lost to another (`NotLocked`) may return before that
//! other one has let the next waiter in. With one step for a call no real lock would fit the model.

mod words;

use std::collections::{BTreeMap, BTreeSet};

pub use self::words::{Answer, File, Hold, HoldId, Mode, Op, Outcome, Path, Process, Stage, State};

/// All processes, paths and files.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct World {
    pub(crate) holds: Vec<Hold>, // oldest in the ledger first
    pub(crate) names: BTreeMap<Path, File>,
    pub(crate) handles: BTreeSet<(Process, Path)>,
    pub(crate) released_error: BTreeSet<(Process, Path)>,
}

impl World {
    /// The step function.
    #[must_use]
    pub fn step(&self, op: Op) -> (Self, Answer) {
        let mut next = self.clone();
        let answer = next.apply(op);
        (next, answer)
    }

    /// [`World::step`] in place.
    pub fn apply(&mut self, op: Op) -> Answer {
        match op {
            Op::Lock { hold } => {
                if self
                    .holds
                    .iter()
                    .any(|other| (other.process, other.id) == (hold.process, hold.id))
                {
                    return Answer::Wrong("locks for a hold that it has already");
                }
                if self
                    .holds
                    .iter()
                    .any(|other| other.file == hold.file && other.mode.conflicts(hold.mode))
                {
                    return Answer::Contended;
                }
                let named = self.names.get(&hold.path) == Some(&hold.file);
                self.holds.push(Hold { stage: Stage::Granted, named, ..hold });
                Answer::Granted
            }
            Op::Record { process, id } => match self.find(process, id, Stage::Granted) {
                None => Answer::Wrong("records a hold that the system has not granted"),
                Some(at) if !self.holds[at].named => {
                    Answer::Wrong("records a hold on a file that the path does not name")
                }
                Some(at) => {
                    let hold = self.holds.remove(at);
                    self.holds.push(Hold { stage: Stage::Recorded, ..hold });
                    self.released_error.remove(&(process, hold.path));
                    Answer::Ended(Outcome::Held)
                }
            },
            Op::Take { process, path } => {
                let Some(at) = self.held(process, path).find(|&at| self.holds[at].kept) else {
                    self.mark_error(process, path);
                    return Answer::Ended(Outcome::NotLocked);
                };
                self.holds[at].stage = Stage::Taken;
                Answer::Taken(self.holds[at].id)
            }
            Op::TakeGuard { process, id } => match self.find(process, id, Stage::Recorded) {
                Some(at) if !self.holds[at].kept => {
                    self.holds[at].stage = Stage::Taken;
                    Answer::Taken(id)
                }
                _ => Answer::Wrong("ends a guard that has no hold"),
            },
            Op::Lower { process, id } => match self.find(process, id, Stage::Recorded) {
                Some(at) if !self.holds[at].kept && self.holds[at].mode == Mode::Exclusive => {
                    self.holds[at].stage = Stage::Lowered;
                    Answer::Done
                }
                _ => Answer::Wrong("downgrades what is no exclusive guard"),
            },
            Op::Convert { process, id } => self.end_downgrade(process, id, Mode::Shared),
            Op::Restore { process, id } => self.end_downgrade(process, id, Mode::Exclusive),
            Op::Unlock { process, id } => {
                let found = self
                    .find(process, id, Stage::Granted)
                    .or_else(|| self.find(process, id, Stage::Taken));
                let Some(at) = found else {
                    return Answer::Wrong("unlocks what is in the ledger, or not its own");
                };
                self.holds.remove(at);
                Answer::Done
            }
            Op::Refuse { process, path } => {
                self.mark_error(process, path);
                Answer::Ended(Outcome::Refused)
            }
            Op::Name { path, file } => {
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

    /// What a process's ledger says of a path.
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

    /// Every hold, those in the ledger oldest first.
    #[must_use]
    pub fn holds(&self) -> &[Hold] {
        &self.holds
    }

    /// The file that the path names.
    #[must_use]
    pub fn named(&self, path: Path) -> Option<File> {
        self.names.get(&path).copied()
    }

    /// A whole acquisition with nothing in between: [`Outcome::Held`], or [`Outcome::TimedOut`] if
    /// somebody holds the file. A path that names no file is given a new one first, as an open that
    /// creates would. `id` must be new in its process.
    #[must_use]
    pub fn acquire(
        &self,
        process: Process,
        path: Path,
        id: HoldId,
        mode: Mode,
        kept: bool,
    ) -> (Self, Outcome) {
        let mut next = self.clone();
        next.apply(Op::FirstHandle { process, path });
        let file = self.named(path).unwrap_or_else(|| {
            let used = self.names.values().copied().chain(self.holds.iter().map(|hold| hold.file));
            let file = used.max().map_or(0, |newest| newest + 1);
            next.apply(Op::Name { path, file: Some(file) });
            file
        });
        let hold =
            Hold { process, id, path, file, mode, kept, stage: Stage::Granted, named: false };
        if next.apply(Op::Lock { hold }) == Answer::Contended {
            return (next, Outcome::TimedOut);
        }
        next.apply(Op::Record { process, id });
        (next, Outcome::Held)
    }

    /// A whole `release` of a path with nothing in between; `refused` if the system is to refuse
    /// to unlock.
    #[must_use]
    pub fn release(&self, process: Process, path: Path, refused: bool) -> (Self, Outcome) {
        let mut next = self.clone();
        next.apply(Op::FirstHandle { process, path });
        let taken = next.apply(Op::Take { process, path });
        let outcome = next.free(process, path, taken, refused);
        (next, outcome)
    }

    /// The whole release of a guard with nothing in between; `None` if there is no such guard.
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

    /// The whole downgrade of a guard with nothing in between; `refused` if the system is to refuse it.
    /// `None` if there is no such guard, or it is shared.
    #[must_use]
    pub fn downgrade(&self, process: Process, id: HoldId, refused: bool) -> Option<Self> {
        let (mut next, answer) = self.step(Op::Lower { process, id });
        let second =
            if refused { Op::Restore { process, id } } else { Op::Convert { process, id } };
        next.apply(second);
        (answer == Answer::Done).then_some(next)
    }

    /// Whether two worlds are the same but for the numbers of their holds.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.shape() == other.shape()
            && self.names == other.names
            && self.handles == other.handles
            && self.released_error == other.released_error
    }

    /// The holds without their numbers. Only the order of kept holds in one ledger means anything.
    fn shape(&self) -> Vec<(Hold, usize)> {
        let mut rank = 0;
        let mut shape: Vec<(Hold, usize)> = Vec::with_capacity(self.holds.len());
        for &hold in &self.holds {
            let ordered = hold.kept && hold.stage == Stage::Recorded;
            rank += usize::from(ordered);
            shape.push((Hold { id: 0, ..hold }, if ordered { rank } else { 0 }));
        }
        shape.sort_unstable_by_key(|&(hold, rank)| (hold.process, rank, hold));
        for (at, (_, rank)) in shape.iter_mut().enumerate() {
            *rank = if *rank > 0 { at + 1 } else { 0 };
        }
        shape
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
            return Answer::Wrong("converts a lock that the ledger calls exclusive");
        };
        (self.holds[at].stage, self.holds[at].mode) = (Stage::Recorded, mode);
        match mode {
            Mode::Shared => Answer::Done,
            Mode::Exclusive => Answer::Ended(Outcome::Failed),
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

    /// Released-error is a state of nothing held, and it goes with the last handle.
    fn mark_error(&mut self, process: Process, path: Path) {
        if self.held(process, path).next().is_none() && self.handles.contains(&(process, path)) {
            self.released_error.insert((process, path));
        }
    }
}
