//! The platform seam: what the command needs of the system, as a trait that `unix.rs` and `windows.rs` implement.
//!
//! The rest of the command calls these functions as `System::...`, so the compiler checks that both platforms offer them.
//! What only Unix has (`locket run -F`, `locket lock`, `locket flock`) is called as `unix::...` in code for Unix alone.
//!
//! The two types that a call passes across the seam are here too: the lock (`Hold`) and the command (`Program`).

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use locket::{Guard, LockError, LockStatus};

use crate::exit::Failure;

/// What the command needs of the system.
pub(crate) trait Platform {
    type StatusLine: StatusLine;
    type ClearOnExit: ClearOnExit<Self::StatusLine>;

    /// Runs the program as a child process while this process keeps the lock, and returns the exit status when the lock
    /// may be released. A problem that does not keep the program from running is passed to `warn`.
    ///
    /// Legal once per process, in its first thread: on Unix it blocks all signals and resets SIGCHLD, and it may end this
    /// process by the signal that ended the program; on Windows it puts this process into a job object for good.
    fn run(
        hold: Hold,
        program: Program<'_>,
        inheritance: Inheritance,
        warn: fn(&str),
    ) -> Result<i32, Failure>;

    /// Starts a thread that receives no signals, so that a signal to this process is received by the thread that waits for
    /// one. Legal at any time; nothing joins the thread, and it ends with the process at the latest.
    fn spawn_without_signals(run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>>;

    /// Writes to standard error in one call. The text is discarded if the reader does not read.
    ///
    /// Legal at any time, from any thread. It takes one second at most.
    fn write_stderr(text: String);

    /// Returns an error if this process was started without a standard output. Legal at any time.
    fn check_stdout() -> io::Result<()>;

    /// Returns the command lines of these processes, without those that cannot be read.
    ///
    /// Legal while no other code waits for children of this process: on Unix a child process reads them. It takes about one
    /// second at most.
    fn command_lines(pids: &[u32]) -> CommandLines;
}

/// A line at the bottom of a terminal that is redrawn in place, and erased in the end.
pub(crate) trait StatusLine: Send + Sync + Sized + 'static {
    /// Returns `None` if standard error is not a terminal that can erase a line.
    fn for_terminal() -> Option<Self>;

    /// Returns whether no other process is known to write to the terminal: redrawing the line would erase its output. Asked
    /// before each [`Self::draw`].
    fn is_only_writer(status: &LockStatus) -> bool;

    /// Draws the line: a beginning, a path that may be shortened, and an end. It may block while the terminal is stopped.
    fn draw(&self, parts: &[&str; 3]);

    /// Erases the line until the next [`Self::draw`]. Does not block.
    fn clear(&self);

    /// Erases the line and ignores every later [`Self::draw`]. Waits for a draw in progress for 100 ms at most.
    fn finish(&self);
}

/// Erases the status line before a signal ends this process during a wait.
pub(crate) trait ClearOnExit<Line>: Sized {
    /// Returns `None` if there is nothing to erase, or if it cannot be arranged.
    ///
    /// On Unix it blocks the signals that end a process, in this thread: legal only if this thread ends the value too.
    fn start(line: Option<Arc<Line>>) -> Option<Self>;

    /// Restores the signal mask. Legal in the thread that started it.
    fn end(self);
}

/// The words of command lines, by process id.
pub(crate) type CommandLines = HashMap<u32, Vec<OsString>>;

/// The program that runs under the lock.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Program<'a> {
    /// A program and its arguments.
    Arguments(&'a [OsString]),
    /// A string for the user's shell.
    Shell(&'a OsStr),
}

/// Whether the program inherits the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inheritance {
    /// The lock is held until the program and all processes that it started have exited.
    Inherited,
    /// The lock is held until the program has exited.
    NotInherited,
    /// As `Inherited`, and the locked descriptor has this number in the program.
    #[cfg(unix)]
    As(i32),
}

/// The lock that the program runs under.
#[derive(Debug)]
pub(crate) enum Hold {
    /// The lock of a regular file.
    File(Guard),
    /// A descriptor that locket has opened: a directory, a device, or a file in one of the ways of flock(1).
    #[cfg(unix)]
    Opened(OwnedFd),
    /// A descriptor inherited from the process that started locket. That process has the lock after locket has exited.
    #[cfg(unix)]
    Inherited(BorrowedFd<'static>),
}

impl Hold {
    /// Releases the lock, for all processes that share it.
    pub(crate) fn release(self) -> Result<(), LockError> {
        match self {
            Self::File(guard) => guard.release(),
            #[cfg(unix)]
            Self::Opened(fd) => locket::lock_fd(fd).unlock(),
            #[cfg(unix)]
            Self::Inherited(fd) => locket::lock_fd(fd).unlock(),
        }
    }

    /// Keeps the lock for the processes that have inherited it. The descriptor is closed when this process exits, and not
    /// unlocked.
    #[cfg(unix)]
    pub(crate) fn leak(self) {
        std::mem::forget(self);
    }
}

#[cfg(unix)]
impl AsFd for Hold {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::File(guard) => guard.as_fd(),
            Self::Opened(fd) => fd.as_fd(),
            Self::Inherited(fd) => *fd,
        }
    }
}
