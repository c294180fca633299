//! The timed wait, from its first instant to its last (L3, L4, L12, L13), and the traps on its way:
//!
//! - `timeouts`: never early, of any size, granted as soon as the lock is free: both by the kernel's
//!   queue and by retrying, and once more in processes that have no signal or no timer to spare.
//! - `replacements`: one deadline over all the files that the path names in turn.
//! - `queue`: a timed waiter sleeps in the kernel's queue and keeps its place there; many deadlines
//!   at once; a holder killed and a waiter stopped while others wait.
//! - `claims`: which signal ends a wait, and what the host may have done to it since the last one.
//!   One that is in use is never taken.
//! - `masks`: the thread's mask comes back to the bit, and no signal of ours stays behind for a
//!   host that reads its signals itself.
//! - `interruptions`: signals of the host's do not end a wait, nor prolong it.
//! - `faults`: every system call of a wait interrupted or refused, and the two moments that no luck
//!   would hit: the timer fires before `flock` blocks, the lock comes free after the wait.
//! - `remains`: no timer, thread, descriptor or second signal after thousands of waits.
//! - `observers`: somebody who looks at a wait costs the waiter neither its place nor anything else.
//! - `hosts`: threads with small stacks and lazy timers.
//! - `forks`: a fork, and a program started, while a thread waits.
//!
//! What changes a whole process runs in one of its own (`alone`).
#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

#[cfg(target_os = "linux")]
mod alone;
#[cfg(target_os = "linux")]
mod claims;
#[cfg(target_os = "linux")]
mod faults;
#[cfg(target_os = "linux")]
mod forks;
#[cfg(target_os = "linux")]
mod hosts;
#[cfg(target_os = "linux")]
mod interruptions;
#[cfg(target_os = "linux")]
mod masks;
#[cfg(target_os = "linux")]
mod observers;
#[cfg(target_os = "linux")]
mod probe;
#[cfg(target_os = "linux")]
mod queue;
#[cfg(target_os = "linux")]
mod remains;
#[cfg(unix)]
mod replacements;
#[cfg(target_os = "linux")]
mod signals;
#[cfg(target_os = "linux")]
mod slow_observers;
#[path = "../support/mod.rs"]
mod support;
#[cfg(target_os = "linux")]
mod threads;
mod timeouts;
mod ways;
