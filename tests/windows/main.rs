//! Tests of what differs on Windows. Each file has one subject, and opens with the laws that it checks.
//!
//! A check that Wine cannot make prints `SKIPPED ...: real Windows only` there.
#![cfg(windows)]
#![allow(clippy::panic, reason = "that is how a test fails")]

#[path = "../support/mod.rs"]
mod support;

mod holders;
mod identity;
mod inheritance;
mod opening;
mod ranges;
mod reference;
mod running;
mod sharing;
mod system;
mod waiting;
