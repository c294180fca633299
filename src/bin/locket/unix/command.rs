//! The command under locket: a child that waits at a gate until locket is ready for its signals, and then becomes
//! the command.
//!
//! At the gate it blocks all signals, so it can tell which of those that came to locket meanwhile have come to it
//! as well.

use std::ffi::{CString, OsString, c_int};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;

use libc::pid_t;

use super::os::{self, Signals, Words};

/// A message to the child: a signal that is asked about, or this.
const GO: u8 = 0;

/// What the command gets of the lock's descriptor.
#[derive(Clone, Copy)]
pub(super) enum Passing<'a> {
    /// What it inherits anyway.
    AsItIs,
    /// A copy.
    Copy(BorrowedFd<'a>),
    /// A copy with this number.
    As(BorrowedFd<'a>, RawFd),
    /// Not this one, which it would inherit.
    Close(RawFd),
}

/// The words of a command, ready for the child, which cannot allocate.
pub(super) struct Prepared {
    words: Words,
    /// What runs it if it turns out to be a script without a `#!` line: to the system that is no program, but to
    /// every shell. Not every C library's `execvp` does that.
    script: Words,
}

impl Prepared {
    pub(super) fn new(arguments: &[OsString]) -> io::Result<Self> {
        let c_string = |text: &OsString| Ok(CString::new(text.clone().into_vec())?);
        let words: Vec<CString> = arguments.iter().map(c_string).collect::<io::Result<_>>()?;
        let shell = [c"/bin/sh", c"-c", c"exec \"$0\" \"$@\""].map(CString::from);
        let script = shell.into_iter().chain(words.iter().cloned()).collect();
        Ok(Self { words: Words::new(words), script: Words::new(script) })
    }
}

/// The child, and the gate that it stands at.
#[derive(Debug)]
pub(super) struct Command {
    pid: pid_t,
    gate: UnixStream,
}

impl Command {
    /// All signals are blocked; the command gets the mask that there was before. It inherits the lock as
    /// `passing` says.
    pub(super) fn start(
        prepared: &Prepared,
        mask: Signals,
        passing: Passing<'_>,
    ) -> io::Result<Self> {
        let (gate, childs) = UnixStream::pair()?;
        let (ours, childs_end) = (gate.as_raw_fd(), childs.as_raw_fd());
        let pid = os::fork(|| become_it(prepared, mask, passing, [ours, childs_end]))?;
        Ok(Self { pid, gate })
    }

    pub(super) fn pid(&self) -> pid_t {
        self.pid
    }

    /// Has it been sent this signal, too? Before it may go.
    pub(super) fn has_been_sent(&self, number: c_int) -> bool {
        let question = u8::try_from(number).unwrap_or(GO);
        let mut answer = [0];
        question != GO
            && os::write(self.gate.as_raw_fd(), &[question])
            && os::read(self.gate.as_raw_fd(), &mut answer)
            && answer != [0]
    }

    pub(super) fn may_go(&self) {
        // If it is gone already, its end tells how that came.
        os::write(self.gate.as_raw_fd(), &[GO]);
    }

    /// Why it did not become the command, if that is so. After its end.
    pub(super) fn error(mut self) -> Option<io::Error> {
        let mut error = [0; size_of::<c_int>()];
        self.gate.set_nonblocking(true).ok()?;
        self.gate.read_exact(&mut error).ok()?;
        Some(io::Error::from_raw_os_error(c_int::from_ne_bytes(error)))
    }
}

/// What the child does: system calls alone. Both ends of the gate are closed when it becomes the command.
fn become_it(
    prepared: &Prepared,
    mask: Signals,
    passing: Passing<'_>,
    [other, mut gate]: [RawFd; 2],
) -> c_int {
    // Else it would not see that locket is gone.
    os::close(other);
    let is_passed = match passing {
        Passing::AsItIs => true,
        Passing::Copy(lock) => os::duplicate_for_exec(lock),
        Passing::As(lock, number) => {
            gate = os::move_away(gate, number);
            os::duplicate_as(lock, number)
        }
        Passing::Close(number) => {
            os::close(number);
            true
        }
    };
    if !is_passed {
        return fail(gate, os::last_error());
    }
    let mut message = [GO];
    loop {
        if !os::read(gate, &mut message) {
            return libc::EXIT_FAILURE; // locket was killed, and the command has not begun.
        }
        match message {
            [GO] => break,
            [number] => os::write(gate, &[Signals::pending().contains(number.into()).into()]),
        };
    }
    // SIGPIPE: Rust ignores it before `main`, without a note of what it was.
    os::reset(libc::SIGPIPE);
    mask.set_mask();
    let error = prepared.words.exec();
    let error = if error == libc::ENOEXEC { prepared.script.exec() } else { error };
    fail(gate, error)
}

fn fail(gate: RawFd, error: c_int) -> c_int {
    os::write(gate, &error.to_ne_bytes());
    libc::EXIT_FAILURE
}
