//! What is wrong on purpose, for the checker to find.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use locket_model::spec::{Mode, Outcome, Process, State};
use tempfile::TempDir;

use super::place::Place;
use super::reference::Waiter;
use super::story::{Deed, End, Entry, Keep, Patience, Slot, Spelling, Step, Told};
use super::subject::Subject;

/// What a wrong specification says; the lock is innocent.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "not everything happens there"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WrongSpec {
    ForgetsReleasedError,
    ErrorOutlivesHandles,
    SharedIsExclusive,
    ReplacedFileExcludes,
    ReleaseEndsGuards,
    AliasesShareState,
    TheDeadHoldOn,
    WaitersStayOut,
    WaitersTakeTheOldFile,
}

/// What a broken lock does.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "not everything happens there"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BrokenLock {
    Truncates,
    Chmods,
    DeletesOnRelease,
    ForgetsToUnlock,
    LeaksDescriptors,
    TrustsItsDescriptor,
    ReleaseEndsGuards,
    SharedTimesOut,
    GivesUpEarly,
    ForgetsReleasedError,
    IsAlwaysCurrent,
    SurvivesDeath,
}

/// The real lock, and a bug around it.
pub(crate) struct Broken {
    bug: BrokenLock,
    lock: Box<dyn Subject>,
    guards: Vec<Slot>,
    leaked: Vec<File>,
    first_file: Option<FirstFile>,
    deaths: Process,
}

/// The file that was locked first, by another name elsewhere.
struct FirstFile {
    path: PathBuf,
    _dir: TempDir,
}

impl Broken {
    pub(crate) fn new(bug: BrokenLock, lock: Box<dyn Subject>) -> Self {
        Self { bug, lock, guards: Vec::new(), leaked: Vec::new(), first_file: None, deaths: 0 }
    }

    /// After a death that was none, the number is another process's.
    fn living(&self, process: Process) -> Process {
        process + 100 * self.deaths
    }

    fn acquire(
        &mut self,
        place: &Place,
        step: Step,
        via: Spelling,
        mode: Mode,
    ) -> io::Result<Told> {
        let path = place.path(via);
        match self.bug {
            BrokenLock::Truncates if path.exists() => {
                OpenOptions::new().write(true).truncate(true).open(path)?;
            }
            BrokenLock::Chmods => {
                let told = self.lock.act(place, step);
                let mut permissions = fs::metadata(&path)?.permissions();
                permissions.set_readonly(true);
                fs::set_permissions(path, permissions)?;
                return Ok(told);
            }
            BrokenLock::LeaksDescriptors => {
                let told = self.lock.act(place, step);
                self.leaked.push(File::open(path)?);
                return Ok(told);
            }
            BrokenLock::SharedTimesOut if mode == Mode::Shared => {
                if let Some(State::HeldShared(_)) = self.lock.state(place, step.process, via) {
                    return Ok(Told::TimedOut(Duration::MAX));
                }
            }
            BrokenLock::TrustsItsDescriptor => return self.acquire_first_file(place, step),
            _ => {}
        }
        Ok(self.lock.act(place, step))
    }

    /// Locks the first file that was at the path, whatever is there now: as one that goes on with
    /// its old descriptor.
    fn acquire_first_file(&mut self, place: &Place, step: Step) -> io::Result<Told> {
        let path = place.at(Entry::Lock);
        let Some(first) = &self.first_file else {
            let told = self.lock.act(place, step);
            if fs::symlink_metadata(&path).is_ok_and(|it| it.is_file()) {
                let dir = tempfile::tempdir()?;
                let copy = dir.path().join("first");
                fs::hard_link(path, &copy)?;
                self.first_file = Some(FirstFile { path: copy, _dir: dir });
            }
            return Ok(told);
        };
        let there = first.path.with_extension("there");
        let is_there = fs::rename(&path, &there).is_ok();
        fs::hard_link(&first.path, &path)?;
        let told = self.lock.act(place, step);
        fs::remove_file(&path)?;
        if is_there {
            fs::rename(there, path)?;
        }
        Ok(told)
    }

    fn release(&mut self, place: &Place, step: Step, via: Spelling) -> io::Result<Told> {
        match self.bug {
            BrokenLock::ForgetsToUnlock => {
                let state = self.lock.state(place, step.process, via);
                if matches!(state, Some(State::HeldExclusive | State::HeldShared(_))) {
                    return Ok(Told::Call(Outcome::Released));
                }
            }
            BrokenLock::DeletesOnRelease => {
                let told = self.lock.act(place, step);
                if told == Told::Call(Outcome::Released) {
                    fs::remove_file(place.path(via))?;
                }
                return Ok(told);
            }
            BrokenLock::ReleaseEndsGuards => {
                let told = self.lock.act(place, step);
                if let (Told::Call(Outcome::NotLocked), Some(slot)) = (&told, self.guards.pop()) {
                    let deed = Deed::EndGuard { slot, end: End::Drop };
                    self.lock.act(place, Step { deed, ..step });
                }
                return Ok(told);
            }
            _ => {}
        }
        Ok(self.lock.act(place, step))
    }
}

impl Subject for Broken {
    fn act(&mut self, place: &Place, step: Step) -> Told {
        let mut step = Step { process: self.living(step.process), ..step };
        let told = match &mut step.deed {
            Deed::Acquire { patience, .. }
                if self.bug == BrokenLock::GivesUpEarly && *patience == Patience::Millisecond =>
            {
                *patience = Patience::Try;
                Ok(self.lock.act(place, step))
            }
            &mut Deed::Acquire { via, mode, keep, .. } => {
                let told = self.acquire(place, step, via, mode);
                if let (Ok(Told::Call(Outcome::Held)), Keep::Guard(slot)) = (&told, keep) {
                    self.guards.push(slot);
                }
                told
            }
            &mut Deed::Release { via } => self.release(place, step, via),
            &mut Deed::EndGuard { slot, .. } => {
                self.guards.retain(|&guard| guard != slot);
                Ok(self.lock.act(place, step))
            }
            Deed::IsCurrent { .. } if self.bug == BrokenLock::IsAlwaysCurrent => {
                Ok(Told::Current(true))
            }
            Deed::Kill if self.bug == BrokenLock::SurvivesDeath => {
                self.deaths += 1;
                Ok(Told::Nothing)
            }
            _ => Ok(self.lock.act(place, step)),
        };
        told.unwrap_or_else(|error| Told::Trouble(format!("the seeded bug failed: {error}")))
    }

    fn state(&mut self, place: &Place, process: Process, via: Spelling) -> Option<State> {
        let state = self.lock.state(place, self.living(process), via);
        match state {
            Some(State::ReleasedError) if self.bug == BrokenLock::ForgetsReleasedError => {
                Some(State::Unlocked)
            }
            state => state,
        }
    }

    fn end_of_wait(&mut self, waiter: &Waiter) -> Told {
        self.lock.end_of_wait(waiter)
    }

    fn still_waits(&mut self, place: &Place, waiter: &Waiter) -> bool {
        self.lock.still_waits(place, waiter)
    }

    fn processes(&self) -> Vec<(Process, u32)> {
        self.lock.processes().into_iter().map(|(process, pid)| (process % 100, pid)).collect()
    }
}
