//! What the tests name most: peers and their requests, settings of handles, states of locks, kinds of errors.
#![allow(clippy::enum_glob_use, reason = "the tests use the variants like words of a language")]

pub(crate) use locket::ErrorKind::*;
pub(crate) use locket::State::*;
pub(crate) use locket::{Action, ErrorKind, Guard, Lock, LockError, Mode, State, lock_file};

pub(crate) use super::protocol::Request::*;
pub(crate) use super::protocol::Setting::*;
pub(crate) use super::protocol::{Answer, Refusal, Request, Setting, Value};
pub(crate) use super::*;
