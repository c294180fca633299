//! An observer's looks at a wait that sleeps in the kernel's queue.
//!
//! Whoever leaves the queue to look around goes to its end: among waiters that do not look, one that
//! looks every second would never be let in by a lock that is held for longer than that. So it is
//! another thread that looks, while the wait lasts; and if the observer gives up, it rings the alarm
//! of the one that sleeps.

use std::io;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::observer::{Waited, Watch};

use super::alarm::{Alarm, Ringer};

/// Sleeps under the eyes of the observer. `None` if there is no thread to be had for it. What was
/// granted while the observer panicked is given back before that goes on here.
pub(in crate::os) fn watched(
    alarm: &Alarm,
    watch: &mut Watch<'_>,
    sleep: impl FnOnce() -> io::Result<Waited>,
    give_back: impl FnOnce(),
) -> Option<io::Result<Waited>> {
    let over = AtomicBool::new(false);
    let ringer = alarm.ringer();
    thread::scope(|threads| {
        let looking = || {
            let _ringing = RingsOnPanic(ringer);
            while !over.load(Ordering::Acquire) {
                if let Some(waited) = watch.look_if_due() {
                    ringer.ring();
                    return Some(waited);
                }
                thread::park_timeout(watch.due());
            }
            None
        };
        let watcher = thread::Builder::new().spawn_scoped(threads, looking).ok()?;
        let slept = sleep();
        over.store(true, Ordering::Release);
        watcher.thread().unpark();
        alarm.silence(); // The observer may be in the middle of something long.
        let given_up = watcher.join().unwrap_or_else(|panic| {
            if slept.is_ok() {
                give_back();
            }
            resume_unwind(panic)
        });
        Some(match (slept, given_up) {
            (Err(error), Some(waited)) if error.kind() == io::ErrorKind::Interrupted => {
                Ok(Waited::GivenUp(waited))
            }
            (slept, _) => slept,
        })
    })
}

/// Nobody would wake the sleeper of an observer that is no more.
struct RingsOnPanic<'a>(Ringer<'a>);

impl Drop for RingsOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.ring();
        }
    }
}
