//! The laws of the lock: a module for each subject, which opens with the laws that it checks.
//!
//! One program for all of them: it links once, and `cargo test l5_` prints one report of them. The tests that
//! need a process of their own start one (`support::Peer`).

mod support;

mod closed;
mod contents;
mod crash;
mod current;
mod deadline;
mod descriptors;
mod diagnosis;
mod downgrade;
mod exclusion;
mod exec;
mod file_systems;
mod foreign;
mod fork;
mod fork_kept;
mod holders;
mod holders_abroad;
mod identity;
mod leak;
mod lock_fd;
mod misuse;
mod on_wait;
mod opening;
mod path;
mod places;
mod reference;
mod refused;
mod release;
mod shared;
mod skipping;
mod syscalls;
mod unnoticed;
mod users;
