//! Timed waits (L3, L4, L12, L13):
//!
//! - `timeouts`: a wait never ends early, works for every timeout, and acquires the lock as soon as it is free. Checked
//!   with the kernel's queue and with retries.
//! - `queue`: a timed waiter sleeps in the kernel's queue and keeps its place.
//! - `signal_claims`: which signal ends a wait, and what the host may have done to it since the last wait. The library
//!   never takes a signal that is in use.
//! - `masks`: the thread's signal mask is restored exactly, and no signal of the library stays pending for a host that
//!   reads its signals itself.
//! - `interruptions`: the host's signals neither end nor prolong a wait.
//! - `faults`: every system call of a wait is interrupted or fails; and two rare races: the timer fires before `flock`
//!   blocks, and the lock becomes free after the wait.
//! - `leaks`: no timer, thread, descriptor or second signal is left after thousands of waits.
//! - `observers`: an observed waiter keeps its place, and its observer leaves nothing behind.
//! - `slow_observers`: an observer that blocks delays no deadline.
//! - `thread_settings`: threads with small stacks and large timer slack.
//! - `forks`: the process forks or starts a program while a thread waits.
//!
//! A test that changes the whole process runs in a process of its own (`subprocess`).
#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

#[cfg(target_os = "linux")]
mod faults;
#[cfg(target_os = "linux")]
mod forks;
#[cfg(target_os = "linux")]
mod interruptions;
#[cfg(target_os = "linux")]
mod leaks;
#[cfg(target_os = "linux")]
mod masks;
#[cfg(target_os = "linux")]
mod observers;
#[cfg(target_os = "linux")]
mod probe;
#[cfg(target_os = "linux")]
mod queue;
#[cfg(target_os = "linux")]
mod signal_claims;
#[cfg(target_os = "linux")]
mod signals;
#[cfg(target_os = "linux")]
mod slow_observers;
#[cfg(target_os = "linux")]
mod subprocess;
#[path = "../support/mod.rs"]
mod support;
#[cfg(target_os = "linux")]
mod thread_settings;
#[cfg(target_os = "linux")]
mod threads;
mod timeouts;
mod ways;
