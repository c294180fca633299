//! The kernel's side of the protocol: `flock` on open files, with a queue for each file.
//!
//! [`protocol`](crate::protocol) describes the rules. An interrupted waiter leaves the queue. A close
//! unlocks the open file. A crash closes all open files of the process.

use crate::spec::Mode;
use crate::state::{Bug, OpenFile, Pc, Process, State, Thread};

impl Process {
    /// Returns every open file of the process.
    pub fn open_files(&self) -> impl Iterator<Item = &OpenFile> {
        let Self { ledger, threads, leaked, .. } = self;
        let in_hand = threads.iter().filter_map(|thread| thread.open_file.as_ref());
        let unguarded = ledger.unguarded.iter().map(|unguarded| &unguarded.open_file);
        in_hand.chain(unguarded).chain(ledger.idle.iter()).chain(leaked.iter())
    }
}

impl State {
    /// Returns every thread that waits for the file.
    fn queue(&self, file: u8) -> impl Iterator<Item = &Thread> {
        let threads = self.processes.iter().flat_map(|process| process.threads.iter());
        threads.filter(move |thread| thread.waits_for(file))
    }

    fn threads_mut(&mut self) -> impl Iterator<Item = &mut Thread> {
        self.processes.iter_mut().flat_map(|process| process.threads.iter_mut())
    }
}

impl Thread {
    fn waits_for(&self, file: u8) -> bool {
        self.pc == Pc::Queued && self.open_file.is_some_and(|it| it.file == file)
    }
}

/// The variant of the kernel.
#[derive(Clone, Copy)]
pub(crate) struct Kernel {
    /// Whether an attempt may pass the waiters.
    pub(crate) barging: bool,
    /// The seeded bug.
    pub(crate) bug: Option<Bug>,
}

impl Kernel {
    /// Returns whether no holder conflicts with an attempt on this file.
    fn free(self, state: &State, file: u8, mode: Mode) -> bool {
        let open_files = state.processes.iter().flat_map(Process::open_files);
        !open_files.filter(|it| it.file == file).filter_map(|it| it.lock).any(|lock| {
            let overlooked = self.bug == Some(Bug::IgnoresReaders) && lock == Mode::Shared;
            lock.conflicts(mode) && !overlooked
        })
    }

    /// Returns whether the kernel grants an attempt that is not queued.
    pub(crate) fn admits(self, state: &State, file: u8, mode: Mode) -> bool {
        self.free(state, file, mode)
            && (self.barging || !state.queue(file).any(|waiter| waiter.call.mode.conflicts(mode)))
    }

    /// Returns whether the kernel grants the lock to a queued thread.
    pub(crate) fn wakes(self, state: &State, thread: &Thread) -> bool {
        let Some(OpenFile { file, .. }) = thread.open_file else { return false };
        let mode = thread.call.mode;
        let in_the_way =
            |other: &Thread| other.ahead < thread.ahead && other.call.mode.conflicts(mode);
        thread.waits_for(file)
            && !thread.ghost.lost_wakeup
            && self.free(state, file, mode)
            && !state.queue(file).any(in_the_way)
    }
}

impl Kernel {
    /// Closes the open file of a thread.
    pub(crate) fn close(self, state: &mut State, (process, thread): (usize, usize)) {
        let Some(open) = state.processes[process].threads[thread].open_file.take() else { return };
        if open.lock.is_some() && self.bug == Some(Bug::LosesWakeup) {
            lose_wakeup(state, open.file);
        }
    }
}

/// Puts a thread at the end of the queue of its open file.
pub(crate) fn enqueue(state: &mut State, process: usize, thread: usize) {
    let Some(OpenFile { file, .. }) = state.processes[process].threads[thread].open_file else {
        return;
    };
    let length = state.queue(file).count();
    let thread = &mut state.processes[process].threads[thread];
    thread.pc = Pc::Queued;
    thread.ahead = u8::try_from(length).unwrap_or(u8::MAX);
}

/// Takes a thread out of its queue and sets its program counter.
pub(crate) fn dequeue(state: &mut State, process: usize, thread: usize, pc: Pc) {
    let leaving = &mut state.processes[process].threads[thread];
    let Some(OpenFile { file, .. }) = leaving.open_file else { return };
    let ahead = std::mem::take(&mut leaving.ahead);
    leaving.pc = pc;
    for other in state.threads_mut().filter(|other| other.waits_for(file) && other.ahead > ahead) {
        other.ahead -= 1;
    }
}

/// Updates the ghost variables at a grant: the path's file, and the waiters that were overtaken.
pub(crate) fn note_grant(state: &mut State, process: usize, thread: usize, most: u8) {
    let named = state.names;
    let granted = &mut state.processes[process].threads[thread];
    let (Some(OpenFile { file, .. }), mode) = (granted.open_file, granted.call.mode) else {
        return;
    };
    granted.ghost.named = named == Some(file);
    for other in state.threads_mut().filter(|it| it.ghost.tracked && it.waits_for(file)) {
        if other.call.mode.conflicts(mode) && other.ghost.overtaken < most {
            other.ghost.overtaken += 1;
        }
    }
}

/// Wakes the waiters of the file. Only a kernel that loses wake-ups needs this step.
pub(crate) fn wake(state: &mut State, file: u8) {
    for other in state.threads_mut().filter(|other| other.waits_for(file)) {
        other.ghost.lost_wakeup = false;
    }
}

/// Ends a lock without a wake-up of the waiters, as a seeded bug does.
pub(crate) fn lose_wakeup(state: &mut State, file: u8) {
    for other in state.threads_mut().filter(|other| other.waits_for(file)) {
        other.ghost.lost_wakeup = true;
    }
}

/// Crashes the process. A new process with the same threads replaces it.
pub(crate) fn crash(state: &mut State, process: usize) {
    for thread in 0..state.processes[process].threads.len() {
        if state.processes[process].threads[thread].pc == Pc::Queued {
            dequeue(state, process, thread, Pc::Idle);
        }
    }
    let threads = state.processes[process].threads.iter().map(|_| Thread::default()).collect();
    state.processes[process] = Process { threads, ..Process::default() };
}
