//! A process that uses a lock in one way, as it is told to on standard input, one line at a time.
//!
//! ```text
//! hold                 acquires                          held
//! unlock               releases                          <when, just before>
//! close                closes without unlocking          <when, just before>
//! wait                 waiting; acquires, releases       <when, just after> <cpu> <switches>
//! expire <timeout>     waiting; waits in vain            <how long> <cpu> <switches>
//! run <start> <end> <hold> <think> <threads>             cpu=… worst=… turns=…,… waits=…
//! family <start> <end> <hold> <think> <children>         the same, for each child in turn
//! ```
//!
//! Times are nanoseconds of `CLOCK_MONOTONIC`. `peer.py` speaks the same lines.

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

/// The first argument that makes a benchmark a worker.
pub(crate) const ARGUMENT: &str = "worker";

/// Serves, if this process was started as a worker, and says whether it was.
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
    /// Opened when it is first used.
    lock: Option<Box<dyn Locking>>,
}

impl Worker {
    fn serve(mut self) -> Result {
        for line in io::stdin().lock().lines() {
            let line = line?;
            let words: Vec<&str> = line.split_whitespace().collect();
            let answer = self.obey(&words)?;
            say(&answer)?;
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

    fn obey(&mut self, words: &[&str]) -> Result<String> {
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
                Span { start: start.parse()?, end: end.parse()? },
                Turn { hold: hold.parse()?, think: think.parse()? },
                threads.parse()?,
            ),
            ["family", start, end, hold, think, children] => family(
                self.lock()?,
                Span { start: start.parse()?, end: end.parse()? },
                Turn { hold: hold.parse()?, think: think.parse()? },
                children.parse()?,
            ),
            _ => Err(format!("no such command: {words:?}").into()),
        }
    }

    fn wait(&mut self) -> Result<String> {
        let lock = self.lock()?;
        let (cpu, switches) = (sys::cpu(), sys::voluntary_switches());
        say("waiting")?;
        lock.acquire()?;
        let when = sys::now();
        let (cpu, switches) = (sys::cpu() - cpu, sys::voluntary_switches() - switches);
        lock.release()?;
        Ok(format!("{when} {cpu} {switches}"))
    }

    fn expire(&mut self, timeout: Duration) -> Result<String> {
        let lock = self.lock()?;
        let (cpu, switches) = (sys::cpu(), sys::voluntary_switches());
        say("waiting")?;
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

fn say(line: &str) -> Result {
    // One write: `waiting` must be out before the wait begins.
    let mut out = io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes())?;
    Ok(out.flush()?)
}

#[derive(Clone, Copy)]
struct Span {
    start: u64,
    end: u64,
}

/// How long the lock is held, and how long its user is busy elsewhere, on average, until it wants
/// it again.
#[derive(Clone, Copy)]
struct Turn {
    hold: u64,
    think: u64,
}

#[derive(Default)]
struct Tally {
    /// Those that began before the end of the span.
    turns: u64,
    waits: Histogram,
    worst: u64,
}

fn run(way: Way, path: &Path, span: Span, turn: Turn, threads: usize) -> Result<String> {
    let cpu = sys::cpu();
    let turns = || take_turns(&mut *way.open(path)?, span, turn);
    let tallies: Vec<Tally> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(turns)).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|_| Err("a thread of a worker panicked".into()))
        };
        threads.into_iter().map(join).collect::<Result<_>>()
    })?;
    Ok(told(sys::cpu() - cpu, &tallies))
}

/// Uses the lock once, and forks children that take the turns through the inherited handle.
fn family(lock: &mut dyn Locking, span: Span, turn: Turn, children: usize) -> Result<String> {
    lock.acquire()?;
    lock.release()?;
    let mut forked = Vec::new();
    for _ in 0..children {
        let (answer, mut pipe) = UnixStream::pair()?;
        let pid = sys::fork(|| {
            let tally = take_turns(lock, span, turn)?;
            Ok(pipe.write_all(told(sys::cpu(), &[tally]).as_bytes())?)
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

fn told(cpu: u64, tallies: &[Tally]) -> String {
    let mut waits = Histogram::default();
    for tally in tallies {
        waits.merge(&tally.waits);
    }
    let worst = tallies.iter().map(|tally| tally.worst).max().unwrap_or(0);
    let turns: Vec<String> = tallies.iter().map(|tally| tally.turns.to_string()).collect();
    format!("cpu={cpu} worst={worst} turns={} waits={waits}", turns.join(","))
}

/// At least one, however late it is on a busy machine.
fn take_turns(lock: &mut dyn Locking, span: Span, turn: Turn) -> Result<Tally> {
    let mut tally = Tally::default();
    thread::sleep(Duration::from_nanos(span.start.saturating_sub(sys::now())));
    loop {
        let asked = sys::now();
        lock.acquire()?;
        let granted = sys::now();
        tally.turns += u64::from(granted < span.end);
        tally.waits.add(granted - asked);
        tally.worst = tally.worst.max(granted - asked);
        if turn.hold > 0 {
            sys::spin_until(granted + turn.hold);
        }
        lock.release()?;
        if turn.think > 0 {
            let think = rand::rng().random_range(0..2 * turn.think);
            thread::sleep(Duration::from_nanos(think));
        }
        if sys::now() >= span.end {
            return Ok(tally);
        }
    }
}
