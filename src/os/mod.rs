//! The system's side of the lock: what each call does, and when it may be made.
//!
//! - `Name::new(path)`: at any time; opens no file. Makes the path absolute, or keeps the current
//!   directory open, for which it may lack a descriptor (`Name::lacks_descriptor`).
//! - `Name::key()`: at any time. Names with equal keys are names of one lock.
//! - `watch_forks()`: before the first descriptor is opened. Cheap when repeated.
//! - `generation()`: at any time, in any process: how many forks lie between this process and the
//!   one that loaded the library.
//! - `open(name, options, deadline, access, watch) → Descriptor`: at any time. A descriptor of its
//!   own, without a lock, closed on `exec`. Creates the file if there is none, unless the options
//!   forbid that, and otherwise leaves it as it is (L8). Opens no FIFO and no device. While another
//!   process keeps the file from being opened, it retries until the deadline, and the observer gets
//!   its looks. Fails with `Interrupted` when a signal came first.
//! - `lacks_descriptors(failure)`: after a failure. Would it work if this process had fewer descriptors open?
//! - `needs_writing(failure)`: after a failed lock. Would it work on a descriptor that is opened for
//!   writing too?
//! - `try_lock(descriptor, mode) → granted?`: on a descriptor without a lock. Never sleeps.
//! - `wait(descriptor, options, deadline, watch) → granted?`: on a descriptor without a lock, after
//!   `try_lock` has said no. Sleeps until granted, or until about the deadline, or until the observer
//!   gives up, or for no reason at all: when woken the caller looks at the clock and tries again.
//!   Meanwhile the observer gets its looks, without a place in the queue being lost for it.
//! - `is_current(name, descriptor, follow_links)`: at any time. Does the path name the file of this
//!   descriptor? The answer is worth something only while the descriptor has a lock.
//! - `clock(which)`: at any time. Microseconds of a monotonic clock, which may wrap. It stands still
//!   where the system itself hands a lock to the one who waits.
//! - `give_way(moment)`: at any time. Lets other threads run for so long.
//! - `holders(name, options, known_held, goes_on)`: at any time; creates nothing, disturbs no lock,
//!   opens nothing for reading or writing, except on NFS for reading. Where somebody is known to hold the lock, there is somebody
//!   in the answer, unknown if need be.
//! - `still_has(seen, mode) → process`: at any time. Does the descriptor on which a lock was seen have it still?
//! - `locks_in_use()`: at any time; the same of all files.
//! - `diagnose(name, failure)`: after a failure, as soon as possible. What sort of trouble it is, and
//!   why, as far as can be told.
//! - `unlock(descriptor)`: on a descriptor with a lock, once. After an error the descriptor must be
//!   closed, which unlocks too. An error, as of `downgrade` and `bequeath`, if the descriptor is not its own.
//! - `downgrade(descriptor) → still locked?`: on a descriptor with an exclusive lock, which becomes shared.
//!   After an error it is exclusive as before. It is no longer locked only if the system has let
//!   another process in between.
//! - `bequeath(descriptor)`: on a descriptor with a lock. Programs executed from then on inherit a
//!   copy of it, which nobody here closes: the lock outlives this descriptor.
//! - `Descriptor::is_shared_by_fork()`: was there a `fork` since it was opened? Then a lock on it
//!   can outlive us.
//! - `has_one_thread()`: at any time. Whether this process has one thread; false where that is not known.
//! - `held_here(descriptor, mode)`: on a descriptor without a lock. In which mode this process itself holds the lock of the file, by
//!   another descriptor, if that keeps a lock of this mode out; `None` where it is not known.
//! - `inherited(name)`: at any time. The modes of the holds of this path that a forked child has got from its parent.
//! - `Descriptor::keep_on_fork(name, mode)` (Unix): on a descriptor with a lock. Children of `fork` have the hold too, from
//!   then on; the others close their copies when they are born.
//! - `Descriptor::is_kept_on_fork()`: is it such a hold's? Then it is ended by closing it.
//! - `Descriptor::is_own()`: does its number still belong to it? The host may have closed it, and opened
//!   another file by that number.
//! - `Descriptor::may_be_idle()`: may it be kept without a lock?
//! - `Descriptor::number()`, `Descriptor::lend()`: for the guard that owns it, and before it lends it to
//!   its caller.
//! - Dropping a `Descriptor`: at any time, in any process. Closes it if it is its own, which ends its
//!   lock unless another process has inherited it.
//!
//! Nothing else in the library names a system call, or uses `unsafe`.
#![allow(unsafe_code)]

#[cfg(target_os = "linux")]
mod linux;
#[cfg(unix)]
mod unix;
#[cfg(not(target_os = "linux"))]
mod unknown_holders;
#[cfg(not(unix))]
mod unknown_own_holds;
#[cfg(not(any(unix, windows)))]
mod unsupported;
#[cfg(windows)]
mod windows;

#[cfg(target_os = "linux")]
pub(crate) use linux::holders::{holders, locks_in_use, still_has};
#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(not(any(target_os = "linux", windows)))]
pub(crate) use unknown_holders::holders;
#[cfg(not(target_os = "linux"))]
pub(crate) use unknown_holders::{locks_in_use, still_has};
#[cfg(not(unix))]
pub(crate) use unknown_own_holds::{has_one_thread, held_here, inherited};
#[cfg(not(any(unix, windows)))]
pub(crate) use unsupported::*;
#[cfg(windows)]
pub(crate) use windows::holders::holders;
#[cfg(windows)]
pub(crate) use windows::*;
