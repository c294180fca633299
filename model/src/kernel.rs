//! The system's side of the protocol: `flock` on descriptors, with a queue for each file.
//!
//! The rules are told in [`protocol`](crate::protocol). An interrupted waiter leaves the queue. A
//! closed descriptor is an unlocked one, and death closes everything.

use crate::spec::Mode;
use crate::state::{Bug, Descriptor, Place, Process, State, Thread};

impl Process {
    /// Every descriptor that it has open.
    pub fn descriptors(&self) -> impl Iterator<Item = &Descriptor> {
        let Self { ledger, threads, lost, .. } = self;
        let in_hand = threads.iter().filter_map(|thread| thread.descriptor.as_ref());
        let kept = ledger.kept.iter().map(|kept| &kept.descriptor);
        in_hand.chain(kept).chain(ledger.spares.iter()).chain(lost.iter())
    }
}

impl State {
    /// Every thread that waits for the file.
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
        self.place == Place::Queued && self.descriptor.is_some_and(|it| it.file == file)
    }
}

/// Which system it is.
#[derive(Clone, Copy)]
pub(crate) struct Kernel {
    /// Whether an attempt is granted past those who wait.
    pub(crate) barging: bool,
    /// An error planted.
    pub(crate) bug: Option<Bug>,
}

impl Kernel {
    /// Whether no holder is in the way of an attempt at this file.
    fn free(self, state: &State, file: u8, mode: Mode) -> bool {
        let descriptors = state.processes.iter().flat_map(Process::descriptors);
        !descriptors.filter(|it| it.file == file).filter_map(|it| it.lock).any(|lock| {
            let overlooked = self.bug == Some(Bug::IgnoresReaders) && lock == Mode::Shared;
            lock.conflicts(mode) && !overlooked
        })
    }

    /// Whether an attempt that does not wait is granted.
    pub(crate) fn admits(self, state: &State, file: u8, mode: Mode) -> bool {
        self.free(state, file, mode)
            && (self.barging || !state.queue(file).any(|waiter| waiter.call.mode.conflicts(mode)))
    }

    /// Whether a queued thread is granted the lock.
    pub(crate) fn wakes(self, state: &State, thread: &Thread) -> bool {
        let Some(Descriptor { file, .. }) = thread.descriptor else { return false };
        let mode = thread.call.mode;
        let in_the_way =
            |other: &Thread| other.ahead < thread.ahead && other.call.mode.conflicts(mode);
        thread.waits_for(file)
            && !thread.ghost.asleep
            && self.free(state, file, mode)
            && !state.queue(file).any(in_the_way)
    }
}

impl Kernel {
    /// Closes the descriptor in a thread's hands.
    pub(crate) fn close(self, state: &mut State, (process, thread): (usize, usize)) {
        let Some(own) = state.processes[process].threads[thread].descriptor.take() else { return };
        if own.lock.is_some() && self.bug == Some(Bug::LosesWakeUp) {
            overlook(state, own.file);
        }
    }
}

/// Puts a thread at the end of the queue of the file that it has open.
pub(crate) fn enqueue(state: &mut State, process: usize, thread: usize) {
    let Some(Descriptor { file, .. }) = state.processes[process].threads[thread].descriptor else {
        return;
    };
    let length = state.queue(file).count();
    let thread = &mut state.processes[process].threads[thread];
    thread.place = Place::Queued;
    thread.ahead = u8::try_from(length).unwrap_or(u8::MAX);
}

/// Takes a thread out of its queue, and puts it at this place.
pub(crate) fn dequeue(state: &mut State, process: usize, thread: usize, place: Place) {
    let leaving = &mut state.processes[process].threads[thread];
    let Some(Descriptor { file, .. }) = leaving.descriptor else { return };
    let ahead = std::mem::take(&mut leaving.ahead);
    leaving.place = place;
    for other in state.threads_mut().filter(|other| other.waits_for(file) && other.ahead > ahead) {
        other.ahead -= 1;
    }
}

/// What the checkers remember of a grant: who was overtaken by it.
pub(crate) fn note_grant(state: &mut State, process: usize, thread: usize, most: u8) {
    let named = state.names;
    let granted = &mut state.processes[process].threads[thread];
    let (Some(Descriptor { file, .. }), mode) = (granted.descriptor, granted.call.mode) else {
        return;
    };
    granted.ghost.named = named == Some(file);
    for other in state.threads_mut().filter(|it| it.ghost.watched && it.waits_for(file)) {
        if other.call.mode.conflicts(mode) && other.ghost.overtaken < most {
            other.ghost.overtaken += 1;
        }
    }
}

/// An unlock that wakes those who wait for the file; only a faulty system needs to be told.
pub(crate) fn wake(state: &mut State, file: u8) {
    for other in state.threads_mut().filter(|other| other.waits_for(file)) {
        other.ghost.asleep = false;
    }
}

/// An end of a lock that a faulty system tells nobody of.
pub(crate) fn overlook(state: &mut State, file: u8) {
    for other in state.threads_mut().filter(|other| other.waits_for(file)) {
        other.ghost.asleep = true;
    }
}

/// The process dies; another of its kind begins in its place.
pub(crate) fn crash(state: &mut State, process: usize) {
    for thread in 0..state.processes[process].threads.len() {
        if state.processes[process].threads[thread].place == Place::Queued {
            dequeue(state, process, thread, Place::Idle);
        }
    }
    let threads = state.processes[process].threads.iter().map(|_| Thread::default()).collect();
    state.processes[process] = Process { threads, ..Process::default() };
}
