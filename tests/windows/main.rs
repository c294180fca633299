//! What is different on Windows: one file a subject, which opens with the laws it checks.
//!
//! What Wine cannot show says `SKIPPED ...: real Windows only` there.
#![cfg(windows)]
#![allow(clippy::panic, reason = "that is how a test fails")]

#[path = "../support/mod.rs"]
mod support;

mod command;
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
