//! Kills workers, one by one and all at once, and stops them for a while.

use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use rand::RngExt;
use rand::rngs::SmallRng;

use std::os::unix::process::{CommandExt, ExitStatusExt};

use locket_model::Kill;

use super::clock;
use super::orders::Orders;
use super::support::{PATIENCE, until};

/// The workers of a round, in one process group.
pub(crate) struct Crowd {
    orders: Orders,
    wrapper: &'static [&'static str],
    workers: Vec<(u32, Child)>,
    /// The group is named by its first process, and there is one as long as it has members.
    group: i32,
    pub(crate) kills: Vec<Kill>,
    pub(crate) stops: usize,
}

impl Crowd {
    pub(crate) fn start(orders: Orders, wrapper: &'static [&'static str], count: u32) -> Self {
        let mut crowd =
            Self { orders, wrapper, workers: vec![], group: 0, kills: vec![], stops: 0 };
        for _ in 0..count {
            crowd.add();
        }
        crowd
    }

    /// How many there have been so far.
    pub(crate) fn processes(&self) -> u32 {
        self.orders.process
    }

    fn add(&mut self) {
        self.orders.process += 1;
        if self.workers.is_empty() {
            self.group = 0;
        }
        let mut command: Command = self.orders.command(self.wrapper);
        // The harness of the worker has nothing to say, but what went wrong.
        command.stdout(std::process::Stdio::null()).process_group(self.group);
        let worker = command.spawn().expect("a worker should start");
        if self.group == 0 {
            self.group = pid(&worker).as_raw();
        }
        self.workers.push((self.orders.process, worker));
    }

    /// Goes on until it is time to stop.
    pub(crate) fn mistreat(&mut self, random: &mut SmallRng) {
        let count = self.workers.len();
        while self.is_time_for_more() {
            thread::sleep(Duration::from_millis(random.random_range(20..150)));
            let victim = random.random_range(0..count);
            match random.random_range(0..10) {
                0 => {
                    self.kill_all();
                    (0..count).for_each(|_| self.add());
                }
                1..7 => {
                    self.kill(victim);
                    self.add();
                }
                _ => self.stop(victim, Duration::from_millis(random.random_range(1..40))),
            }
        }
    }

    fn is_time_for_more(&self) -> bool {
        clock::now() + 300_000_000 < self.orders.until
    }

    fn kill(&mut self, victim: usize) {
        let (process, worker) = self.workers.swap_remove(victim);
        let after = clock::now();
        // An unburied child's id is its own, dead or alive.
        kill(pid(&worker), Signal::SIGKILL).expect("the worker is our child");
        self.bury(process, worker, after);
    }

    fn kill_all(&mut self) {
        let after = clock::now();
        killpg(Pid::from_raw(self.group), Signal::SIGKILL).expect("the workers are our children");
        for (process, worker) in std::mem::take(&mut self.workers) {
            self.bury(process, worker, after);
        }
    }

    fn bury(&mut self, process: u32, mut worker: Child, after: u64) {
        let status = worker.wait().expect("the worker is our child");
        if status.signal() == Some(9) {
            self.kills.push(Kill { process, after, before: clock::now() });
        } else {
            assert!(status.success(), "worker {process}: {status}");
        }
    }

    fn stop(&mut self, victim: usize, time: Duration) {
        let pid = pid(&self.workers[victim].1);
        kill(pid, Signal::SIGSTOP).expect("the worker is our child");
        thread::sleep(time);
        kill(pid, Signal::SIGCONT).expect("the worker is our child");
        self.stops += 1;
    }

    /// Waits for the end of all, which must come.
    pub(crate) fn end(&mut self) {
        while clock::now() < self.orders.until {
            thread::sleep(Duration::from_millis(5));
        }
        for (process, worker) in &mut self.workers {
            let mut status = None;
            until("a worker has waited for a free lock for too long", || {
                status = worker.try_wait().expect("the worker is our child");
                status.is_some()
            });
            assert!(status.is_some_and(|it| it.success()), "worker {process}: {status:?}");
        }
        self.workers.clear();
    }
}

impl Drop for Crowd {
    /// A test that fails leaves nobody behind.
    fn drop(&mut self) {
        for (_, worker) in &mut self.workers {
            let _ = worker.kill();
            let _ = worker.wait();
        }
    }
}

fn pid(worker: &Child) -> Pid {
    Pid::from_raw(worker.id().try_into().expect("process ids are small"))
}

/// Of everything that has to happen, in nanoseconds.
pub(crate) fn patience() -> u64 {
    PATIENCE.as_nanos().try_into().expect("it is short")
}
