//! Seeded bugs, which the checker must find.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use locket_model::spec::{Mode, Outcome, Process, State};
use tempfile::TempDir;

use super::ops::{End, Entry, HoldKind, Op, Response, Slot, Spelling, Step, Timeout};
use super::reference::Waiter;
use super::subject::Subject;
use super::test_dir::TestDir;

/// A bug of the specification, beside the correct lock.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "some bugs need Linux"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WrongSpec {
    NoReleasedError,
    ReleasedErrorOutlivesHandles,
    SharedIsExclusive,
    ReplacedFileExcludes,
    ReleaseEndsGuards,
    AliasesShareState,
    KilledProcessKeepsLock,
    WaitersNeverAdmitted,
    WaitersLockTheOldFile,
}

/// A bug of the lock, beside the correct specification.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "some bugs need Linux"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BrokenLock {
    Truncates,
    Chmods,
    DeletesOnRelease,
    NeverUnlocks,
    LeaksDescriptors,
    ReusesStaleFile,
    ReleaseEndsGuards,
    SharedTimesOut,
    TimesOutEarly,
    NoReleasedError,
    IsAlwaysCurrent,
    KillHasNoEffect,
}

/// The real lock with a bug around it.
pub(crate) struct Broken {
    bug: BrokenLock,
    lock: Box<dyn Subject>,
    guards: Vec<Slot>,
    leaked: Vec<File>,
    first_file: Option<FirstFile>,
    kills: Process,
}

/// A hard link, in another directory, to the file that was locked first.
struct FirstFile {
    path: PathBuf,
    _dir: TempDir,
}

impl Broken {
    pub(crate) fn new(bug: BrokenLock, lock: Box<dyn Subject>) -> Self {
        Self { bug, lock, guards: Vec::new(), leaked: Vec::new(), first_file: None, kills: 0 }
    }

    /// Returns another number for each process after a kill without effect, so that the next process is a new one.
    fn number_after_kills(&self, process: Process) -> Process {
        process + 100 * self.kills
    }

    fn acquire(
        &mut self,
        dir: &TestDir,
        step: Step,
        via: Spelling,
        mode: Mode,
    ) -> io::Result<Response> {
        let path = dir.path(via);
        match self.bug {
            BrokenLock::Truncates if path.exists() => {
                OpenOptions::new().write(true).truncate(true).open(path)?;
            }
            BrokenLock::Chmods => {
                let response = self.lock.act(dir, step);
                let mut permissions = fs::metadata(&path)?.permissions();
                permissions.set_readonly(true);
                fs::set_permissions(path, permissions)?;
                return Ok(response);
            }
            BrokenLock::LeaksDescriptors => {
                let response = self.lock.act(dir, step);
                self.leaked.push(File::open(path)?);
                return Ok(response);
            }
            BrokenLock::SharedTimesOut if mode == Mode::Shared => {
                if let Some(State::HeldShared(_)) = self.lock.state(dir, step.process, via) {
                    return Ok(Response::TimedOut(Duration::MAX));
                }
            }
            BrokenLock::ReusesStaleFile => return self.acquire_first_file(dir, step),
            _ => {}
        }
        Ok(self.lock.act(dir, step))
    }

    /// Locks the first file that was at the path, whatever the path leads to now. So does a lock that reuses an open file
    /// without verifying it.
    fn acquire_first_file(&mut self, dir: &TestDir, step: Step) -> io::Result<Response> {
        let path = dir.at(Entry::Lock);
        let Some(first) = &self.first_file else {
            let response = self.lock.act(dir, step);
            if fs::symlink_metadata(&path).is_ok_and(|it| it.is_file()) {
                let dir = tempfile::tempdir()?;
                let copy = dir.path().join("first");
                fs::hard_link(path, &copy)?;
                self.first_file = Some(FirstFile { path: copy, _dir: dir });
            }
            return Ok(response);
        };
        let there = first.path.with_extension("there");
        let is_there = fs::rename(&path, &there).is_ok();
        fs::hard_link(&first.path, &path)?;
        let response = self.lock.act(dir, step);
        fs::remove_file(&path)?;
        if is_there {
            fs::rename(there, path)?;
        }
        Ok(response)
    }

    fn release(&mut self, dir: &TestDir, step: Step, via: Spelling) -> io::Result<Response> {
        match self.bug {
            BrokenLock::NeverUnlocks => {
                let state = self.lock.state(dir, step.process, via);
                if matches!(state, Some(State::HeldExclusive | State::HeldShared(_))) {
                    return Ok(Response::Call(Outcome::Released));
                }
            }
            BrokenLock::DeletesOnRelease => {
                let response = self.lock.act(dir, step);
                if response == Response::Call(Outcome::Released) {
                    fs::remove_file(dir.path(via))?;
                }
                return Ok(response);
            }
            BrokenLock::ReleaseEndsGuards => {
                let response = self.lock.act(dir, step);
                if let (Response::Call(Outcome::NotLocked), Some(slot)) =
                    (&response, self.guards.pop())
                {
                    let op = Op::EndGuard { slot, end: End::Drop };
                    self.lock.act(dir, Step { op, ..step });
                }
                return Ok(response);
            }
            _ => {}
        }
        Ok(self.lock.act(dir, step))
    }
}

impl Subject for Broken {
    fn act(&mut self, dir: &TestDir, step: Step) -> Response {
        let mut step = Step { process: self.number_after_kills(step.process), ..step };
        let response = match &mut step.op {
            Op::Acquire { timeout, .. }
                if self.bug == BrokenLock::TimesOutEarly && *timeout == Timeout::Millisecond =>
            {
                *timeout = Timeout::Try;
                Ok(self.lock.act(dir, step))
            }
            &mut Op::Acquire { via, mode, kind, .. } => {
                let response = self.acquire(dir, step, via, mode);
                if let (Ok(Response::Call(Outcome::Held)), HoldKind::Guard(slot)) =
                    (&response, kind)
                {
                    self.guards.push(slot);
                }
                response
            }
            &mut Op::Release { via } => self.release(dir, step, via),
            &mut Op::EndGuard { slot, .. } => {
                self.guards.retain(|&guard| guard != slot);
                Ok(self.lock.act(dir, step))
            }
            Op::IsCurrent { .. } if self.bug == BrokenLock::IsAlwaysCurrent => {
                Ok(Response::Current(true))
            }
            Op::Kill if self.bug == BrokenLock::KillHasNoEffect => {
                self.kills += 1;
                Ok(Response::Nothing)
            }
            _ => Ok(self.lock.act(dir, step)),
        };
        response
            .unwrap_or_else(|error| Response::Unexpected(format!("the seeded bug failed: {error}")))
    }

    fn state(&mut self, dir: &TestDir, process: Process, via: Spelling) -> Option<State> {
        let state = self.lock.state(dir, self.number_after_kills(process), via);
        match state {
            Some(State::ReleasedError) if self.bug == BrokenLock::NoReleasedError => {
                Some(State::Unlocked)
            }
            state => state,
        }
    }

    fn end_of_wait(&mut self, waiter: &Waiter) -> Response {
        self.lock.end_of_wait(waiter)
    }

    fn still_waits(&mut self, dir: &TestDir, waiter: &Waiter) -> bool {
        self.lock.still_waits(dir, waiter)
    }

    fn processes(&self) -> Vec<(Process, u32)> {
        self.lock.processes().into_iter().map(|(process, pid)| (process % 100, pid)).collect()
    }
}
