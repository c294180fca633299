//! The command `locket`, tested as real processes. Each file has one subject, and opens with what it checks.
#![cfg(unix)]
#![allow(clippy::panic, reason = "a test that fails")]

#[path = "../support/mod.rs"]
mod support;

#[macro_use]
mod lock_file;
mod running;
#[cfg(target_os = "linux")]
mod screen;

mod arguments;
#[cfg(target_os = "linux")]
mod canary;
#[cfg(target_os = "linux")]
mod closed_directories;
mod conditions;
mod contention;
#[cfg(target_os = "linux")]
mod descriptors;
#[cfg(target_os = "linux")]
mod examples;
mod exit_codes;
#[cfg(target_os = "linux")]
mod flock_idioms;
#[cfg(target_os = "linux")]
mod flock_mode;
mod generated;
mod held;
mod help;
#[cfg(target_os = "linux")]
mod hostile_holder;
#[cfg(target_os = "linux")]
mod inheritance;
mod interop;
#[cfg(target_os = "linux")]
mod jobs;
mod options;
#[cfg(target_os = "linux")]
mod output;
#[cfg(target_os = "linux")]
mod self_holder;
#[cfg(target_os = "linux")]
mod services;
#[cfg(target_os = "linux")]
mod signals;
#[cfg(target_os = "linux")]
mod status;
#[cfg(target_os = "linux")]
mod terminal;
#[cfg(target_os = "linux")]
mod tools;
#[cfg(target_os = "linux")]
mod unread;
mod wait;
