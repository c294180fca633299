//! Where a process does not look up what it holds itself, and no process inherits a hold.

use crate::options::Mode;

use super::{Descriptor, Name};

pub(crate) fn held_here(_: &Descriptor, _: Mode) -> Option<Mode> {
    None
}

pub(crate) fn has_one_thread() -> bool {
    false
}

pub(crate) fn inherited(_: &Name) -> impl Iterator<Item = Mode> {
    std::iter::empty()
}
