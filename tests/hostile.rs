//! The long tests of a lock in a hostile system: killed at each system call, every error at every call, crowds,
//! full disks, and the locks of other programs.

#[cfg(target_os = "linux")]
#[path = "bin/clock.rs"]
mod clock;
mod support;

#[cfg(target_os = "linux")]
mod command_histories;
mod command_stress;
mod crash_points;
mod faults;
mod interop;
mod nemeses;
mod remote_answers;
#[cfg(target_os = "linux")]
mod torn_table;
