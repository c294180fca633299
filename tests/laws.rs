//! Tests of the laws of the lock. Each module has one subject and begins with the laws that it checks.
//!
//! All modules are one program: it links once, and `cargo test l5_` prints one report. Tests that need another process start
//! one (`support::Peer`).

mod support;

mod api;
mod clone;
mod closed_descriptor;
mod contents;
mod crash;
mod crash_points;
mod deadline;
mod deadlock;
mod descriptors;
mod downgrade;
mod exclusion;
mod exec;
mod faults;
mod file_systems;
mod foreign;
mod fork;
mod holders;
mod holders_ambiguous;
mod identity;
mod inherit_on_fork;
mod is_current;
mod leak;
mod lock_fd;
mod on_wait;
mod opening;
mod path;
mod relative_paths;
mod release;
mod shared;
mod side_effects;
mod skipping;
mod syscalls;
mod users;
