//! Writing to a standard stream without waiting for its reader: a full pipe, or a terminal that was stopped by Ctrl-S.
//!
//! `O_NONBLOCK` would be set for all processes that have the same open file description. So a thread writes, which
//! nothing waits for when it takes long: poll(2) says beforehand whether there is room, but another process may take
//! that first.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::os::Signals;

/// What becomes of a text for which there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// It is lost.
    Lose,
    /// It is written when there is room, if this process still exists then.
    Leave,
}

#[derive(Clone, Copy)]
enum Stream {
    Output,
    Errors,
}

impl Stream {
    fn with<T>(self, call: impl FnOnce(BorrowedFd<'_>) -> T) -> T {
        match self {
            Self::Output => call(io::stdout().as_fd()),
            Self::Errors => call(io::stderr().as_fd()),
        }
    }
}

/// Writes to standard error as much as there is room for, in one call. When it returns the text is written, or there is
/// no room.
pub(crate) fn write(text: String, no_room: NoRoom) {
    write_to(Stream::Errors, text, no_room);
}

/// The same to standard output.
pub(crate) fn write_out(text: String) {
    write_to(Stream::Output, text, NoRoom::Lose);
}

fn write_to(stream: Stream, text: String, no_room: NoRoom) {
    /// A write that has room takes some microseconds. The machine may be busy.
    const PATIENCE: Duration = Duration::from_secs(1);

    let has_room = has_room_in(stream);
    if !has_room && no_room == NoRoom::Lose {
        return;
    }
    let text: Arc<str> = text.into();
    let (tell, told) = mpsc::sync_channel(1);
    let thread = spawn_deaf({
        let text = Arc::clone(&text);
        move || {
            write_now_to(stream, &text);
            let _ = tell.send(());
        }
    });
    match thread {
        Ok(_) if has_room => drop(told.recv_timeout(PATIENCE)),
        // The system has no thread to spare. There was room a moment ago.
        Err(_) if has_room => write_now_to(stream, &text),
        _ => {}
    }
}

/// Writes, and waits until all is written, or the reader is gone.
pub(super) fn write_now(text: &str) {
    write_now_to(Stream::Errors, text);
}

fn write_now_to(stream: Stream, text: &str) {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        // Past std's lock: a thread may have it forever.
        match rustix::io::retry_on_intr(|| stream.with(|fd| rustix::io::write(fd, rest))) {
            Ok(count @ 1..) => rest = rest.get(count..).unwrap_or_default(),
            Ok(0) | Err(_) => return,
        }
    }
}

pub(super) fn has_room() -> bool {
    has_room_in(Stream::Errors)
}

fn has_room_in(stream: Stream) -> bool {
    stream.with(|fd| {
        let mut polled = [PollFd::new(fd, PollFlags::POLLOUT)];
        // Room, or an error that a write would have at once.
        poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    })
}

/// A thread that no signal is delivered to: it may be stuck when the process waits for signals.
pub(crate) fn spawn_deaf(run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let mask = Signals::all().block();
    let thread = thread::Builder::new().spawn(run);
    mask.set_mask();
    thread
}
