//! Worker processes, from the side of the benchmark that starts them.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use super::Result;
use super::python::Python;
use super::sys;
use super::ways::Way;
use super::worker;

/// The limit of a wait for a condition that must become true, on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Worker {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    way: Way,
}

impl Worker {
    pub(crate) fn start(way: Way, path: &Path, python: &Python) -> Result<Self> {
        let mut command = if way.is_python() {
            python.command()
        } else {
            let mut command = Command::new(env::current_exe()?);
            command.arg(worker::ARGUMENT);
            command
        };
        command.arg(way.key()).arg(path);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take().ok_or("a worker has no input")?;
        let output = child.stdout.take().ok_or("a worker has no output")?;
        Ok(Self { child, input, output: BufReader::new(output), way })
    }

    pub(crate) fn send(&mut self, line: &str) -> Result {
        Ok(self.input.write_all(format!("{line}\n").as_bytes())?)
    }

    /// Receives a line.
    pub(crate) fn receive(&mut self) -> Result<String> {
        let mut line = String::new();
        match self.output.read_line(&mut line)? {
            0 => Err(format!("a worker died: {}", self.way.label()).into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }

    pub(crate) fn ask(&mut self, line: &str) -> Result<String> {
        self.send(line)?;
        self.receive()
    }

    /// Receives an answer that is a row of numbers.
    pub(crate) fn numbers<const N: usize>(&mut self) -> Result<[u64; N]> {
        let line = self.receive()?;
        let numbers: Vec<u64> =
            line.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>()?;
        numbers.try_into().map_err(|_| format!("not {N} numbers: {line}").into())
    }

    /// Sends a command that waits, and returns when the worker sleeps, in the kernel's queue if its
    /// way of locking waits there.
    pub(crate) fn wait_with(&mut self, command: &str) -> Result {
        let answer = self.ask(command)?;
        if answer != "waiting" {
            return Err(format!("the worker does not wait: {answer}").into());
        }
        let since = Instant::now();
        while !self.is_asleep()? {
            if since.elapsed() > LIMIT {
                return Err(
                    format!("the worker did not sleep for the lock: {}", self.way.label()).into()
                );
            }
            thread::yield_now();
        }
        Ok(())
    }

    /// Returns whether the worker sleeps. After its line `waiting` it sleeps for nothing but the lock.
    fn is_asleep(&self) -> Result<bool> {
        let pid = self.child.id();
        if self.way.queues() && !is_queued(&fs::read_to_string("/proc/locks")?, pid) {
            return Ok(false);
        }
        // The name is in parentheses and may contain any bytes. The state follows it (proc_pid_stat(5)).
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let (_, after_name) = stat.rsplit_once(')').ok_or("no name in /proc/PID/stat")?;
        Ok(after_name.trim_start().starts_with('S'))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills the worker, and returns the time just before.
    pub(crate) fn kill(&mut self) -> Result<u64> {
        let when = sys::now();
        self.child.kill()?;
        Ok(when)
    }
}

/// Returns whether there is a line like `1: -> FLOCK  ADVISORY  WRITE 4242 fe:00:12 0 EOF`.
fn is_queued(locks: &str, pid: u32) -> bool {
    let pid = pid.to_string();
    locks.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.get(1..3) == Some(&["->", "FLOCK"]) && words.get(5) == Some(&pid.as_str())
    })
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The process may be dead already, or wait for a lock that no process releases.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the lock file of a way. Each way has its own, so that they do not exclude each other.
pub(crate) fn lock_file_of(way: Way, dir: &Path) -> PathBuf {
    dir.join(format!("{}.lock", way.key()))
}
