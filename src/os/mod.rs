//! The operating systems behind the lock. [`platform`] is the contract that each of them implements.
//!
//! `Os` is the platform that this build is for. `LockPath::new(path)` resolves a path: legal at any time, opens no
//! lock file.
#![allow(unsafe_code)]

#[cfg(target_os = "linux")]
pub(crate) mod linux;
pub(crate) mod platform;
#[cfg(unix)]
pub(crate) mod unix;
#[cfg(not(any(unix, windows)))]
mod unsupported;
#[cfg(windows)]
pub(crate) mod windows;

#[cfg(unix)]
pub(crate) use unix::{BorrowedFile, LockPath, OpenFile, Os, RawDescriptor, unlock_fd};
#[cfg(not(any(unix, windows)))]
pub(crate) use unsupported::{LockPath, OpenFile, Os};
#[cfg(windows)]
pub(crate) use windows::{LockPath, OpenFile, Os, RawDescriptor};
