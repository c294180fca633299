//! The command under the lock: how it is started, how it ended, and how locket ends likewise.
//!
//! It is a child that waits at a gate until locket is ready to pass signals on, and then becomes the command. At the gate it
//! blocks all signals, so it can tell which of the signals that locket received meanwhile it has received too.

use std::convert::Infallible;
use std::ffi::{CString, OsString, c_int};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process;

use libc::pid_t;
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, WaitStatus, setrlimit};

use crate::unix::os::{self, Signals, Words};

/// The message that opens the gate. Any other message is the number of a signal, and asks whether it is pending.
const GO: u8 = 0;

/// What happens to the lock's descriptor in the child.
#[derive(Clone, Copy)]
pub(super) enum Passing<'a> {
    /// Nothing: the child has what it inherits anyway.
    Unchanged,
    /// The command gets a copy.
    Copy(BorrowedFd<'a>),
    /// The command gets a copy with this number.
    As(BorrowedFd<'a>, RawFd),
    /// This descriptor, which the command would inherit, is closed.
    Close(RawFd),
}

/// The words of a command, prepared for the child, which cannot allocate (signal-safety(7)).
pub(super) struct Prepared {
    words: Words,
    /// The words that run it as a script without a `#!` line, for which exec fails with `ENOEXEC`. Shells run such a script,
    /// and not every C library's `execvp` does.
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

/// The child, and locket's end of the gate.
#[derive(Debug)]
pub(super) struct Command {
    pid: pid_t,
    gate: UnixStream,
}

impl Command {
    /// Starts the child. The caller has blocked all signals; the command gets the mask from before.
    pub(super) fn start(
        prepared: &Prepared,
        mask: Signals,
        passing: Passing<'_>,
    ) -> io::Result<Self> {
        let (gate, child_gate) = UnixStream::pair()?;
        let ends = [gate.as_raw_fd(), child_gate.as_raw_fd()];
        let pid = os::fork(|| child_main(prepared, mask, passing, ends))?;
        Ok(Self { pid, gate })
    }

    pub(super) fn pid(&self) -> pid_t {
        self.pid
    }

    /// Returns whether the child has received this signal too. Legal before [`Self::open_gate`].
    pub(super) fn has_received(&self, number: c_int) -> bool {
        let question = u8::try_from(number).unwrap_or(GO);
        let mut answer = [0];
        question != GO
            && os::write(self.gate.as_raw_fd(), &[question])
            && os::read(self.gate.as_raw_fd(), &mut answer)
            && answer != [0]
    }

    /// Lets the child become the command.
    pub(super) fn open_gate(&self) {
        // If the child has ended already, its status tells why.
        os::write(self.gate.as_raw_fd(), &[GO]);
    }

    /// Returns why the child did not become the command, if it did not. Legal after its end.
    pub(super) fn exec_error(mut self) -> Option<io::Error> {
        let mut error = [0; size_of::<c_int>()];
        self.gate.set_nonblocking(true).ok()?;
        self.gate.read_exact(&mut error).ok()?;
        Some(io::Error::from_raw_os_error(c_int::from_ne_bytes(error)))
    }
}

/// The child: system calls only. Both ends of the gate are closed when it becomes the command.
fn child_main(
    prepared: &Prepared,
    mask: Signals,
    passing: Passing<'_>,
    [parent_gate, mut gate]: [RawFd; 2],
) -> c_int {
    // While it is open, the child would not see locket's end.
    os::close(parent_gate);
    let is_passed = match passing {
        Passing::Unchanged => true,
        Passing::Copy(lock) => os::duplicate_for_exec(lock),
        Passing::As(lock, number) => {
            gate = os::move_descriptor(gate, number);
            os::duplicate_as(lock, number)
        }
        Passing::Close(number) => {
            os::close(number);
            true
        }
    };
    if !is_passed {
        return send_error(gate, os::last_error());
    }
    let mut message = [GO];
    loop {
        if !os::read(gate, &mut message) {
            return libc::EXIT_FAILURE; // locket was killed before the command began.
        }
        match message {
            [GO] => break,
            [number] => os::write(gate, &[Signals::pending().contains(number.into()).into()]),
        };
    }
    // std ignores SIGPIPE before `main`, and does not keep the action from before.
    os::reset_action(libc::SIGPIPE);
    mask.set_mask();
    let error = prepared.words.exec();
    let error = if error == libc::ENOEXEC { prepared.script.exec() } else { error };
    send_error(gate, error)
}

fn send_error(gate: RawFd, error: c_int) -> c_int {
    os::write(gate, &error.to_ne_bytes());
    libc::EXIT_FAILURE
}

/// Becomes a command. Returns only if that fails.
///
/// The command gets the streams, the signal mask and the ignored signals that locket got, except for SIGPIPE, which is at its
/// default: std ignores it before `main`, and does not keep the action from before.
pub(super) fn replace_process(arguments: &[OsString]) -> io::Result<Infallible> {
    exec(arguments).or_else(|error| {
        if error.raw_os_error() != Some(Errno::NOEXEC.raw_os_error()) {
            return Err(error);
        }
        // A script without a `#!` line. Shells run it, and not every C library's execvp(3) does.
        let shell = ["/bin/sh", "-c", r#"exec "$0" "$@""#].map(OsString::from);
        exec(&[&shell, arguments].concat())
    })
}

fn exec(arguments: &[OsString]) -> io::Result<Infallible> {
    Err(process::Command::new(&arguments[0]).args(&arguments[1..]).exec())
}

/// How the command ended.
pub(super) struct Ended {
    pub(super) end: End,
    /// The signals that locket received meanwhile, a bit for each.
    pub(super) received: u64,
}

impl Ended {
    /// Ends this process as the command ended, or returns the status to exit with.
    pub(super) fn exit_likewise(&self) -> i32 {
        match self.end {
            End::Exit(code) => code,
            End::Signal(number) => end_by(number),
        }
    }

    /// Ends this process as flock(1) does, or returns the status to exit with. flock(1) ends by a signal only if it received
    /// that signal too, from a terminal for instance.
    pub(super) fn exit_as_flock(&self) -> i32 {
        match self.end {
            End::Signal(number) if self.received & bit(number) == 0 => 128 + number,
            _ => self.exit_likewise(),
        }
    }
}

/// Returns the bit of a signal in a set of signals.
pub(super) fn bit(number: c_int) -> u64 {
    u32::try_from(number).ok().and_then(|number| 1_u64.checked_shl(number)).unwrap_or_default()
}

/// Ends this process by the signal. Shells rely on that: after Ctrl-C a loop ends only if its command was ended by SIGINT.
/// Returns the status that means the same if this is the first process of a container, which its own signals do not end
/// (`pid_namespaces(7)`).
fn end_by(number: c_int) -> i32 {
    if process::id() != 1 {
        disable_core_dump();
        os::raise_default(number);
    }
    128 + number
}

/// Keeps a signal from writing a core dump of this process, to a file or to a program (core(5)).
fn disable_core_dump() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = setrlimit(Resource::Core, none);
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_dumpable(false);
}

/// An exit code, or the signal that ended the process.
#[derive(Clone, Copy)]
pub(super) enum End {
    Exit(i32),
    Signal(c_int),
}

/// Returns the end of a process from its wait status.
pub(super) fn end_of_status(status: WaitStatus) -> End {
    match (status.terminating_signal(), status.exit_status()) {
        (Some(number), _) => End::Signal(number),
        (None, code) => End::Exit(code.unwrap_or_default()),
    }
}
