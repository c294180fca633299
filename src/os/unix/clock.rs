//! Clocks, read by the C library. rustix looks up the vDSO itself, and crashes on the one that valgrind
//! substitutes.

use std::mem::MaybeUninit;
use std::time::Duration;

/// Reads a clock. Returns `None` if the system does not have it.
pub(crate) fn read(clock: libc::clockid_t) -> Option<Duration> {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the call writes `time` if it succeeds.
    let time = unsafe {
        let result = libc::clock_gettime(clock, time.as_mut_ptr());
        (result == 0).then(|| time.assume_init())?
    };
    #[allow(clippy::useless_conversion, reason = "types vary by platform")]
    let (seconds, nanoseconds) = (time.tv_sec.try_into().ok()?, time.tv_nsec.try_into().ok()?);
    Some(Duration::new(seconds, nanoseconds))
}

/// Returns the unit of the times in `/proc/PID/stat`: clock ticks per second.
#[cfg(target_os = "linux")]
pub(crate) fn ticks_per_second() -> Option<u64> {
    // SAFETY: the call has no conditions.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    u64::try_from(ticks).ok().filter(|&ticks| ticks > 0)
}
