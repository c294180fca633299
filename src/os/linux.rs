//! What Linux has and other Unixes have not.

pub(super) mod alarm;
pub(super) mod holders;
pub(super) mod mounts;
mod proc;
pub(super) mod watcher;
