//! The peer's handles, guards, files, jobs and children, by name.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use locket::{Guard, Lock};

use super::failure::Failure;
use super::foreign::Foreign;
#[cfg(unix)]
use super::forked::Child;
use super::jobs::Job;

#[derive(Default)]
pub(crate) struct World(Mutex<Things>);

#[derive(Default)]
pub(crate) struct Things {
    pub(crate) handles: BTreeMap<String, Lock>,
    pub(crate) guards: BTreeMap<String, Guard>,
    pub(crate) foreign: BTreeMap<String, Arc<Foreign>>,
    pub(crate) jobs: BTreeMap<String, Job>,
    #[cfg(unix)]
    pub(crate) children: BTreeMap<String, Child>,
    /// How long the process stays after the end of its input.
    pub(crate) linger_ms: u64,
}

impl World {
    /// Locks the things. The caller must not keep the result during a call that may wait.
    pub(crate) fn things(&self) -> MutexGuard<'_, Things> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Things {
    pub(crate) fn handle(&self, name: &str) -> Result<Lock, Failure> {
        self.handles.get(name).cloned().ok_or_else(|| nothing("handle", name))
    }

    pub(crate) fn foreign(&self, name: &str) -> Result<Arc<Foreign>, Failure> {
        self.foreign.get(name).cloned().ok_or_else(|| nothing("foreign file", name))
    }

    pub(crate) fn job(&self, name: &str) -> Result<&Job, Failure> {
        self.jobs.get(name).ok_or_else(|| nothing("job", name))
    }

    pub(crate) fn guard(&mut self, name: &str) -> Result<&mut Guard, Failure> {
        self.guards.get_mut(name).ok_or_else(|| nothing("guard", name))
    }

    pub(crate) fn take_guard(&mut self, name: &str) -> Result<Guard, Failure> {
        self.guards.remove(name).ok_or_else(|| nothing("guard", name))
    }
}

pub(crate) fn nothing(kind: &str, name: impl Display) -> Failure {
    Failure::of_peer(format_args!("there is no {kind} `{name}`"))
}
