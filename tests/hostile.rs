//! The long tests: many concurrent processes, full disks, answers of network file systems, and the locks of other programs.

#[cfg(target_os = "linux")]
#[path = "bin/clock.rs"]
mod clock;
mod support;

#[cfg(target_os = "linux")]
mod command_histories;
mod interop;
mod nemeses;
mod network_answers;
#[cfg(target_os = "linux")]
mod torn_table;
