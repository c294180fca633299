//! Writes to a standard stream that do not wait for its reader: of a full pipe, or of a terminal that Ctrl-S has stopped.
//!
//! `O_NONBLOCK` would be set for all processes that share the open file description (fcntl(2)). So a thread writes, and the
//! caller stops waiting for it after a while: poll(2) says beforehand whether there is room, but another process may fill
//! that room first.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::unix::os::Signals;

/// What happens to a text for which there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhenFull {
    /// The text is discarded.
    Discard,
    /// The text is written when there is room, if this process still exists then.
    Queue,
}

#[derive(Clone, Copy)]
enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    /// Calls a function with the descriptor of the stream.
    fn with<T>(self, call: impl FnOnce(BorrowedFd<'_>) -> T) -> T {
        match self {
            Self::Stdout => call(io::stdout().as_fd()),
            Self::Stderr => call(io::stderr().as_fd()),
        }
    }
}

/// Writes to standard error in one call. When it returns, the text is written, or there is no room for it.
pub(super) fn write_stderr(text: String, when_full: WhenFull) {
    write(Stream::Stderr, text, when_full);
}

/// Writes to standard output in one call, and discards the text if there is no room for it.
pub(super) fn write_stdout(text: String) {
    write(Stream::Stdout, text, WhenFull::Discard);
}

fn write(stream: Stream, text: String, when_full: WhenFull) {
    /// A write that has room takes some microseconds, and longer on a busy machine.
    const TIMEOUT: Duration = Duration::from_secs(1);

    let has_room = has_room_in(stream);
    if !has_room && when_full == WhenFull::Discard {
        return;
    }
    let text: Arc<str> = text.into();
    let (sender, receiver) = mpsc::sync_channel(1);
    let thread = spawn_without_signals({
        let text = Arc::clone(&text);
        move || {
            write_blocking(stream, &text);
            let _ = sender.send(());
        }
    });
    match thread {
        Ok(_) if has_room => drop(receiver.recv_timeout(TIMEOUT)),
        // The system has no thread to spare. There was room a moment ago.
        Err(_) if has_room => write_blocking(stream, &text),
        _ => {}
    }
}

/// Writes to standard error, and blocks until all is written or the reader has closed its end.
pub(super) fn write_stderr_blocking(text: &str) {
    write_blocking(Stream::Stderr, text);
}

fn write_blocking(stream: Stream, text: &str) {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        // Without std's lock of the stream: a thread that is stuck in a write may hold it forever.
        match rustix::io::retry_on_intr(|| stream.with(|fd| rustix::io::write(fd, rest))) {
            Ok(count @ 1..) => rest = rest.get(count..).unwrap_or_default(),
            Ok(0) | Err(_) => return,
        }
    }
}

/// Returns whether a write to standard error would not block.
pub(super) fn stderr_has_room() -> bool {
    has_room_in(Stream::Stderr)
}

fn has_room_in(stream: Stream) -> bool {
    stream.with(|fd| {
        let mut polled = [PollFd::new(fd, PollFlags::POLLOUT)];
        // There is room, or an error that a write would return immediately.
        poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    })
}

/// Starts a thread in which all signals are blocked: it may be stuck while the process waits for signals in another thread.
pub(super) fn spawn_without_signals(
    run: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let mask = Signals::all().block();
    let thread = thread::Builder::new().spawn(run);
    mask.set_mask();
    thread
}
