//! The long tests with fault injection: processes killed at each system call, every error at every call, many concurrent
//! processes, full disks, and the locks of other programs.

#[cfg(target_os = "linux")]
#[path = "bin/clock.rs"]
mod clock;
mod support;

#[cfg(target_os = "linux")]
mod command_histories;
mod crash_points;
mod faults;
mod interop;
mod nemeses;
mod network_answers;
#[cfg(target_os = "linux")]
mod torn_table;
