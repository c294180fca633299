//! One `locket run`, and its calls in the history.
#![allow(unsafe_code)]

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use locket_model::{Attempt, Call, Kill, Mode, Outcome, Return, Time, Wait};

use super::Runs;
use crate::clock;

const PEER: &str = env!("CARGO_BIN_EXE_locket-peer");

/// Upper bound of a run: it may wait for a minute behind others.
const LONGEST_RUN: Duration = Duration::from_secs(120);

/// The exit status of a run that did not get the lock.
const CONTENDED: i32 = 75;

/// The options of a run, the mode, and the timeout in milliseconds.
pub(super) struct Way(&'static [&'static str], Mode, Option<u64>);

pub(super) const WAYS: [Way; 10] = [
    Way(&[], Mode::Exclusive, None),
    Way(&["-F"], Mode::Exclusive, None),
    Way(&["-o"], Mode::Exclusive, None),
    Way(&["-w", "60"], Mode::Exclusive, Some(60_000)),
    Way(&["-o", "-w", "60"], Mode::Exclusive, Some(60_000)),
    Way(&["-n"], Mode::Exclusive, Some(0)),
    Way(&["-w", "0.02"], Mode::Exclusive, Some(20)),
    Way(&["-s", "-w", "60"], Mode::Shared, Some(60_000)),
    Way(&["-s", "-n"], Mode::Shared, Some(0)),
    Way(&["-s", "-F"], Mode::Shared, None),
];

impl Way {
    fn wait(&self, called: Time) -> Wait {
        match self.2 {
            None => Wait::Forever,
            Some(0) => Wait::Try,
            Some(milliseconds) => Wait::Until(called + milliseconds * 1_000_000),
        }
    }

    fn may_contend(&self) -> bool {
        self.2.is_some_and(|milliseconds| milliseconds < 1000)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// locket alone, at any moment.
    Locket,
    /// locket alone, while the command runs.
    Holder,
    /// The process group, at any moment.
    Group,
    /// The command alone.
    Command,
}

impl Target {
    pub(super) const ALL: [Self; 4] = [Self::Locket, Self::Holder, Self::Group, Self::Command];
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) number: i32,
    pub(super) target: Target,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// The number of the run, which is the number of its process in the history.
    pub(super) number: u32,
    /// An index into [`WAYS`].
    pub(super) way: usize,
    pub(super) sent: Option<Sent>,
    /// The delay of the signal: this long after the start of locket, or a quarter of it after the start of the command.
    pub(super) after: Duration,
    /// How long the command runs.
    pub(super) stays: Duration,
}

/// What the command reported.
#[derive(Debug, Default)]
struct Report {
    pid: Option<i32>,
    begun: Option<Time>,
    ended: Option<Time>,
}

impl Report {
    /// Reads whole lines only: the command may be killed during a write.
    fn read(path: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(path)?;
        let mut report = Self::default();
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            match *line.split(' ').collect::<Vec<_>>() {
                ["in", pid, time] => {
                    (report.pid, report.begun) = (pid.parse().ok(), time.parse().ok());
                }
                ["out", time] => report.ended = time.parse().ok(),
                _ => return Err(io::Error::other(format!("unknown line {line:?}"))),
            }
        }
        Ok(report)
    }
}

/// Runs a command under the lock, and records it.
pub(super) fn run(
    program: &Path,
    directory: &Path,
    plan: &Plan,
    runs: &Mutex<Runs>,
) -> io::Result<()> {
    let way = &WAYS[plan.way];
    let path = directory.join(format!("report.{}", plan.number));
    let output = OpenOptions::new().create(true).append(true).open(&path)?;
    let mut command = Command::new(program);
    command.arg("run").args(way.0).arg("--quiet").arg(directory.join("lock"));
    command.args(["--", PEER, "inside"]).arg(plan.stays.as_micros().to_string());
    let called = clock::now();
    let mut child = command.process_group(0).stdout(output).spawn()?;
    let sent = match plan.sent {
        Some(sent) => send(sent, &mut child, &path, plan.after)?,
        None => None,
    };
    let status = end_of(&mut child, plan)?;
    if status.signal().is_some() {
        // When locket is killed, the rest of its group still holds the lock.
        while group_is_there(child.id())? {
            thread::sleep(Duration::from_millis(1));
        }
    }
    let gone = clock::now();
    let report = Report::read(&path)?;
    fs::remove_file(&path)?;
    let mut runs = runs.lock().expect("no thread panicked");
    runs.note(plan, way, (called, sent, gone), &report, status);
    Ok(())
}

impl Runs {
    fn note(
        &mut self,
        plan: &Plan,
        way: &Way,
        (called, sent, gone): (Time, Option<Time>, Time),
        report: &Report,
        status: ExitStatus,
    ) {
        // When the whole group is killed, the command may run on for a moment after the lock is free.
        let ended_by_kill =
            plan.sent.is_some_and(|it| (it.number, it.target) == (libc::SIGKILL, Target::Group));
        let last = sent.filter(|_| ended_by_kill).unwrap_or(gone);
        let begun = report.begun.filter(|&at| at <= last);
        let ended = report.ended.filter(|&at| at <= last);

        let expected = match (status.code(), status.signal(), plan.sent) {
            (Some(0), ..) => begun.is_some() && ended.is_some(),
            (Some(CONTENDED), ..) => begun.is_none() && way.may_contend(),
            (None, Some(by), Some(sent)) => by == sent.number,
            _ => false,
        };
        if !expected {
            self.problems.push(format!("{plan:?}, {:?}: {report:?}, {status}", way.0));
        }
        if let (Some(sent), Some(_)) = (plan.sent, sent) {
            self.sent.insert((sent.number, sent.target));
        }
        let is_sent_to_locket =
            plan.sent.is_some_and(|it| matches!(it.target, Target::Locket | Target::Holder));
        let outlived =
            status.signal() == Some(libc::SIGKILL) && is_sent_to_locket && ended.is_some();
        self.outlived += usize::from(outlived);
        self.ended_by_signal += usize::from(status.signal().is_some());
        self.contended += usize::from(status.code() == Some(CONTENDED));
        self.commands[plan.way] += usize::from(begun.is_some());

        let process = plan.number;
        let call = |attempt, called, returned| Call {
            process,
            thread: 0,
            path: 0,
            guard: Some(0),
            attempt,
            called,
            returned,
        };
        let acquire = Attempt::Acquire { file: Some(0), mode: way.1, wait: way.wait(called) };
        let returned = match begun {
            Some(at) => Some(Return { at, outcome: Outcome::Held }),
            None if status.code() == Some(CONTENDED) => {
                Some(Return { at: gone, outcome: Outcome::TimedOut })
            }
            None => None,
        };
        self.history.calls.push(call(acquire, called, returned));
        if let Some(at) = ended {
            let released = Return { at: gone, outcome: Outcome::Released };
            self.history.calls.push(call(Attempt::Release, at, Some(released)));
        } else if returned.is_none_or(|it| it.outcome == Outcome::Held) {
            let after = sent.unwrap_or(called);
            self.history.kills.push(Kill { process, after, before: gone });
        }
    }
}

/// Sends the signal. Returns the time just before, or `None` if the run was over.
fn send(sent: Sent, child: &mut Child, report: &Path, after: Duration) -> io::Result<Option<Time>> {
    let locket: i32 = child.id().try_into().expect("a process id fits into i32");
    let process = match sent.target {
        Target::Locket => locket,
        Target::Group => -locket,
        Target::Holder | Target::Command => {
            let Some(command) = command_of(child, report)? else { return Ok(None) };
            if sent.target == Target::Command { command } else { locket }
        }
    };
    let is_at_any_moment = matches!(sent.target, Target::Locket | Target::Group);
    thread::sleep(if is_at_any_moment { after } else { after / 4 });
    if child.try_wait()?.is_some() {
        return Ok(None);
    }
    let now = clock::now();
    Ok(kill(process, sent.number).then_some(now))
}

/// Waits until the command has begun. Returns its process id, or `None` if the run ended without it.
fn command_of(child: &mut Child, report: &Path) -> io::Result<Option<i32>> {
    loop {
        if let Some(pid) = Report::read(report)?.pid {
            return Ok(Some(pid));
        }
        if child.try_wait()?.is_some() {
            return Ok(None);
        }
        thread::sleep(Duration::from_micros(500));
    }
}

/// Sends a signal. Returns whether the process was there. A negative id is a process group.
fn kill(process: i32, number: i32) -> bool {
    // SAFETY: no memory is involved.
    unsafe { libc::kill(process, number) == 0 }
}

/// Waits for the end of locket. Continues what a stop signal has stopped, repeatedly.
fn end_of(child: &mut Child, plan: &Plan) -> io::Result<ExitStatus> {
    let stopping = [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];
    let is_stopped = plan.sent.is_some_and(|sent| stopping.contains(&sent.number));
    let group = child.id().try_into().map(|pid: i32| -pid).expect("a process id fits into i32");
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        assert!(start.elapsed() < LONGEST_RUN, "it should have ended: {plan:?}");
        if is_stopped {
            kill(group, libc::SIGCONT);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Returns whether a process of the group still runs. A zombie has closed its files, so it does not count.
fn group_is_there(group: u32) -> io::Result<bool> {
    for entry in fs::read_dir("/proc")? {
        let Ok(stat) = fs::read_to_string(entry?.path().join("stat")) else { continue };
        // After the name, which may contain any character, come the state, the parent and the group (`proc_pid_stat(5)`).
        let Some((_, fields)) = stat.rsplit_once(") ") else { continue };
        let fields: Vec<&str> = fields.split(' ').take(3).collect();
        let is_gone = matches!(fields[0], "Z" | "X");
        if !is_gone && fields.get(2).and_then(|it| it.parse().ok()) == Some(group) {
            return Ok(true);
        }
    }
    Ok(false)
}
