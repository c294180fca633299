//! Fault injection: kills workers, with and without their children, one by one and all together, and stops them for a while.
//!
//! The test process is a subreaper (`PR_SET_CHILD_SUBREAPER`): it reaps the children of killed workers. A killed worker's
//! holds can last as long as the last of its children (L11), so a worker counts as dead only when its children are.

use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rand::RngExt;
use rand::rngs::SmallRng;

use std::os::unix::process::{CommandExt, ExitStatusExt};

use locket_model::Kill;

use super::clock;
use super::config::WorkerConfig;
use super::support::until;

/// The workers of a round, each in a process group of its own with its children.
pub(crate) struct Crowd {
    config: WorkerConfig,
    wrapper: &'static [&'static str],
    workers: Vec<(u32, Child)>,
    pub(crate) kills: Vec<Kill>,
    /// The number of killed workers with children that lived on.
    pub(crate) orphaned: usize,
    pub(crate) stops: usize,
}

impl Crowd {
    pub(crate) fn start(
        config: WorkerConfig,
        wrapper: &'static [&'static str],
        count: u32,
    ) -> Self {
        set_child_subreaper(true).expect("any process may become a subreaper");
        let mut crowd =
            Self { config, wrapper, workers: vec![], kills: vec![], orphaned: 0, stops: 0 };
        for _ in 0..count {
            crowd.add();
        }
        crowd
    }

    /// Returns the number of processes started so far.
    pub(crate) fn processes(&self) -> u32 {
        self.config.process
    }

    fn add(&mut self) {
        self.config.process += 1;
        let mut command: Command = self.config.command(self.wrapper);
        // The worker's own test harness prints nothing that is wanted. Failures go to standard error.
        command.stdout(std::process::Stdio::null()).process_group(0);
        let worker = command.spawn().expect("a worker should start");
        self.workers.push((self.config.process, worker));
    }

    /// Kills and stops workers until shortly before the end of the round.
    pub(crate) fn inject_faults(&mut self, random: &mut SmallRng) {
        let count = self.workers.len();
        while self.is_time_for_more() {
            thread::sleep(Duration::from_millis(random.random_range(20..150)));
            let victim = random.random_range(0..count);
            match random.random_range(0..10) {
                0 => {
                    self.kill_all();
                    (0..count).for_each(|_| self.add());
                }
                1..4 => {
                    self.kill(victim, kill);
                    self.add();
                }
                4..7 => {
                    self.kill(victim, killpg);
                    self.add();
                }
                _ => self.stop(victim, Duration::from_millis(random.random_range(1..40))),
            }
        }
    }

    fn is_time_for_more(&self) -> bool {
        clock::now() + 300_000_000 < self.config.until
    }

    /// Kills a worker alone (`kill`), or with its children (`killpg`).
    fn kill(&mut self, victim: usize, kill: impl Fn(Pid, Signal) -> nix::Result<()>) {
        let (process, worker) = self.workers.swap_remove(victim);
        let after = clock::now();
        // The process id of an unreaped child is not reused.
        kill(pid(&worker), Signal::SIGKILL).expect("the worker is a child of the test");
        self.reap(process, worker, after);
    }

    fn kill_all(&mut self) {
        let after = clock::now();
        for (_, worker) in &self.workers {
            killpg(pid(worker), Signal::SIGKILL).expect("the worker is a child of the test");
        }
        for (process, worker) in std::mem::take(&mut self.workers) {
            self.reap(process, worker, after);
        }
    }

    fn reap(&mut self, process: u32, mut worker: Child, after: u64) {
        let status = worker.wait().expect("the worker is a child of the test");
        self.orphaned += usize::from(reap_orphans(pid(&worker)));
        if status.signal() == Some(9) {
            self.kills.push(Kill { process, after, before: clock::now() });
        } else {
            assert!(status.success(), "worker {process}: {status}");
        }
    }

    fn stop(&mut self, victim: usize, time: Duration) {
        let pid = pid(&self.workers[victim].1);
        kill(pid, Signal::SIGSTOP).expect("the worker is a child of the test");
        thread::sleep(time);
        kill(pid, Signal::SIGCONT).expect("the worker is a child of the test");
        self.stops += 1;
    }

    /// Waits until all workers have ended. Panics if one does not.
    pub(crate) fn end(&mut self) {
        while clock::now() < self.config.until {
            thread::sleep(Duration::from_millis(5));
        }
        for (process, worker) in &mut self.workers {
            let mut status = None;
            until("a worker should end after the round", || {
                status = worker.try_wait().expect("the worker is a child of the test");
                status.is_some()
            });
            assert!(status.is_some_and(|it| it.success()), "worker {process}: {status:?}");
        }
        self.workers.clear();
    }
}

impl Drop for Crowd {
    /// Kills all workers, so that a failed test leaves no process behind.
    fn drop(&mut self) {
        for (_, worker) in &mut self.workers {
            let _ = killpg(pid(worker), Signal::SIGKILL);
            let _ = worker.wait();
        }
    }
}

/// Reaps the children that a killed worker has left behind. The test process is their parent since the worker's end.
/// Returns whether one of them lived on.
fn reap_orphans(parent: Pid) -> bool {
    let group = Pid::from_raw(-parent.as_raw());
    let mut lived_on = false;
    until("the end of a child whose parent was killed", || {
        loop {
            match waitpid(group, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => {
                    lived_on = true;
                    return false;
                }
                Ok(WaitStatus::Exited(_, 0) | WaitStatus::Signaled(_, Signal::SIGKILL, _)) => {}
                Err(Errno::ECHILD) => return true,
                status => panic!("an orphan's end: {status:?}"),
            }
        }
    });
    lived_on
}

fn pid(worker: &Child) -> Pid {
    Pid::from_raw(worker.id().try_into().expect("a process id fits into i32"))
}
