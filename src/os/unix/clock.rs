//! Clocks, as the C library reads them. rustix looks for the kernel's own code by itself, and does not
//! survive what valgrind puts in its place.

use std::mem::MaybeUninit;
use std::time::Duration;

/// `None` if there is no such clock.
pub(in crate::os) fn read(clock: libc::clockid_t) -> Option<Duration> {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the call writes `time` if it succeeds.
    let time = unsafe {
        let refused = libc::clock_gettime(clock, time.as_mut_ptr());
        (refused == 0).then(|| time.assume_init())?
    };
    #[allow(clippy::useless_conversion, reason = "types vary by platform")]
    let (seconds, nanoseconds) = (time.tv_sec.try_into().ok()?, time.tv_nsec.try_into().ok()?);
    Some(Duration::new(seconds, nanoseconds))
}
