//! An observed wait that sleeps in the kernel's queue.
//!
//! A waiter that leaves the queue to look around goes to its end: among waiters that do not look, one that looks every
//! second would never be let in by a lock that is held for longer than that. So another thread looks, while the wait lasts;
//! and if the observer gives up, it rings the alarm of the one that sleeps.

use std::io;

use crate::observer::{Waited, Watch};

use super::alarm::Alarm;

/// Sleeps until the lock is granted, the alarm rings, or the observer ends the wait. A grant counts, whatever the observer
/// has said meanwhile. `None` if the observer has no thread.
pub(in crate::os) fn watched(
    alarm: &Alarm,
    watch: &mut Watch,
    sleep: impl FnOnce() -> io::Result<Waited>,
) -> Option<io::Result<Waited>> {
    if !watch.start() {
        return None;
    }
    let ringer = alarm.ringer();
    match watch.asleep(Box::new(move || ringer.ring()), sleep) {
        Some(Err(error)) if error.kind() != io::ErrorKind::Interrupted => Some(Err(error)),
        Some(Ok(waited)) => Some(Ok(waited)),
        Some(Err(_)) | None => Some(Ok(watch.ended().map_or(Waited::Woken, Waited::GivenUp))),
    }
}
