//! What Linux has and other Unixes do not.

pub(crate) mod conflicting_lock;
pub(crate) mod wake_timer;
