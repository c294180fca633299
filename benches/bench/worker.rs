//! A worker process: uses a lock in one way. Each line of its standard input is a command.
//!
//! ```text
//! hold                 acquires                          held
//! unlock               releases                          <when, just before>
//! close                closes without unlocking          <when, just before>
//! wait                 waiting; acquires, releases       <when, just after> <cpu> <switches>
//! expire <timeout>     waiting; waits until the timeout  <how long> <cpu> <switches>
//! run <start> <end> <hold> <think> <threads>             cpu=… worst=… turns=…,… waits=…
//! fork <start> <end> <hold> <think> <children>           the same, for each forked child
//! ```
//!
//! Times are nanoseconds of `CLOCK_MONOTONIC`. `peer.py` implements the same protocol.

use std::io::{self, BufRead, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rand::RngExt;

use super::Result;
use super::stats::Histogram;
use super::sys;
use super::ways::{Locking, Way};

/// The first argument of a benchmark that is started as a worker.
pub(crate) const ARGUMENT: &str = "worker";

/// Runs the worker if this process was started as one. Returns whether it was.
pub(crate) fn serve() -> Result<bool> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.as_slice() {
        [first, key, path] if first == ARGUMENT => {
            let way = Way::from_key(key).ok_or("no such way to lock")?;
            Worker { way, path: path.into(), lock: None }.serve()?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

struct Worker {
    way: Way,
    path: PathBuf,
    /// Opened at its first use.
    lock: Option<Box<dyn Locking>>,
}

impl Worker {
    fn serve(mut self) -> Result {
        for line in io::stdin().lock().lines() {
            let line = line?;
            let words: Vec<&str> = line.split_whitespace().collect();
            let answer = self.execute(&words)?;
            send(&answer)?;
        }
        Ok(())
    }

    fn lock(&mut self) -> Result<&mut dyn Locking> {
        let lock = match self.lock.take() {
            Some(lock) => lock,
            None => self.way.open(&self.path)?,
        };
        Ok(self.lock.insert(lock).as_mut())
    }

    fn execute(&mut self, words: &[&str]) -> Result<String> {
        match words {
            ["hold"] => {
                self.lock()?.acquire()?;
                Ok("held".into())
            }
            ["unlock"] => {
                let lock = self.lock()?;
                let when = sys::now();
                lock.release()?;
                Ok(when.to_string())
            }
            ["close"] => {
                let lock = self.lock.take();
                let when = sys::now();
                drop(lock);
                Ok(when.to_string())
            }
            ["wait"] => self.wait(),
            ["expire", timeout] => self.expire(Duration::from_nanos(timeout.parse()?)),
            ["run", start, end, hold, think, threads] => run(
                self.way,
                &self.path,
                Period { start: start.parse()?, end: end.parse()? },
                Turn { hold: hold.parse()?, think: think.parse()? },
                threads.parse()?,
            ),
            ["fork", start, end, hold, think, children] => run_forked(
                self.lock()?,
                Period { start: start.parse()?, end: end.parse()? },
                Turn { hold: hold.parse()?, think: think.parse()? },
                children.parse()?,
            ),
            _ => Err(format!("no such command: {words:?}").into()),
        }
    }

    fn wait(&mut self) -> Result<String> {
        let lock = self.lock()?;
        let (cpu, switches) = (sys::cpu(), sys::voluntary_switches());
        send("waiting")?;
        lock.acquire()?;
        let when = sys::now();
        let (cpu, switches) = (sys::cpu() - cpu, sys::voluntary_switches() - switches);
        lock.release()?;
        Ok(format!("{when} {cpu} {switches}"))
    }

    fn expire(&mut self, timeout: Duration) -> Result<String> {
        let lock = self.lock()?;
        let (cpu, switches) = (sys::cpu(), sys::voluntary_switches());
        send("waiting")?;
        let start = sys::now();
        let granted = lock.acquire_within(timeout)?;
        let took = sys::now() - start;
        let (cpu, switches) = (sys::cpu() - cpu, sys::voluntary_switches() - switches);
        if granted {
            return Err("granted a lock that is held".into());
        }
        Ok(format!("{took} {cpu} {switches}"))
    }
}

fn send(line: &str) -> Result {
    // One write, and flushed: `waiting` must be sent before the wait begins.
    let mut out = io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes())?;
    Ok(out.flush()?)
}

#[derive(Clone, Copy)]
struct Period {
    start: u64,
    end: u64,
}

/// The length of a hold, and the average time between a release and the next acquisition.
#[derive(Clone, Copy)]
struct Turn {
    hold: u64,
    think: u64,
}

#[derive(Default)]
struct Counts {
    /// Those that began before the end of the period.
    turns: u64,
    waits: Histogram,
    worst: u64,
}

fn run(way: Way, path: &Path, period: Period, turn: Turn, threads: usize) -> Result<String> {
    let cpu = sys::cpu();
    let turns = || take_turns(&mut *way.open(path)?, period, turn);
    let counts: Vec<Counts> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(turns)).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|_| Err("a thread of a worker panicked".into()))
        };
        threads.into_iter().map(join).collect::<Result<_>>()
    })?;
    Ok(format_counts(sys::cpu() - cpu, &counts))
}

/// Uses the lock once, and forks children that take the turns through the inherited handle.
fn run_forked(
    lock: &mut dyn Locking,
    period: Period,
    turn: Turn,
    children: usize,
) -> Result<String> {
    lock.acquire()?;
    lock.release()?;
    let mut forked = Vec::new();
    for _ in 0..children {
        let (answer, mut pipe) = UnixStream::pair()?;
        let pid = sys::fork(|| {
            let counts = take_turns(lock, period, turn)?;
            Ok(pipe.write_all(format_counts(sys::cpu(), &[counts]).as_bytes())?)
        })?;
        drop(pipe);
        forked.push((pid, answer));
    }
    let mut answers = Vec::new();
    for (pid, answer) in forked {
        answers.push(io::read_to_string(answer)?);
        if !sys::reap(pid)? {
            return Err("a forked worker failed".into());
        }
    }
    Ok(answers.join(" "))
}

fn format_counts(cpu: u64, counts: &[Counts]) -> String {
    let mut waits = Histogram::default();
    for counts in counts {
        waits.merge(&counts.waits);
    }
    let worst = counts.iter().map(|counts| counts.worst).max().unwrap_or(0);
    let turns: Vec<String> = counts.iter().map(|counts| counts.turns.to_string()).collect();
    format!("cpu={cpu} worst={worst} turns={} waits={waits}", turns.join(","))
}

/// Takes turns until the end of the period, and at least one turn, even if a busy machine delays it beyond the end.
fn take_turns(lock: &mut dyn Locking, period: Period, turn: Turn) -> Result<Counts> {
    let mut counts = Counts::default();
    thread::sleep(Duration::from_nanos(period.start.saturating_sub(sys::now())));
    loop {
        let asked = sys::now();
        lock.acquire()?;
        let granted = sys::now();
        counts.turns += u64::from(granted < period.end);
        counts.waits.add(granted - asked);
        counts.worst = counts.worst.max(granted - asked);
        if turn.hold > 0 {
            sys::spin_until(granted + turn.hold);
        }
        lock.release()?;
        if turn.think > 0 {
            let think = rand::rng().random_range(0..2 * turn.think);
            thread::sleep(Duration::from_nanos(think));
        }
        if sys::now() >= period.end {
            return Ok(counts);
        }
    }
}
