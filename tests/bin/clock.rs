//! Returns nanoseconds of a monotonic clock that all processes of the machine share.
#![allow(unsafe_code)]

#[cfg(unix)]
pub(crate) fn now() -> u64 {
    let mut time = std::mem::MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the call fills `time`. It cannot fail: every supported system has this clock.
    #[allow(clippy::useless_conversion, reason = "types vary by platform")]
    let (seconds, nanos) = unsafe {
        libc::clock_gettime(libc::CLOCK_MONOTONIC, time.as_mut_ptr());
        let time = time.assume_init();
        (i64::from(time.tv_sec), i64::from(time.tv_nsec))
    };
    u64::try_from(seconds * 1_000_000_000 + nanos).unwrap_or_default()
}

#[cfg(windows)]
pub(crate) fn now() -> u64 {
    #[link(name = "kernel32")]
    unsafe extern "system" {
        fn QueryPerformanceCounter(count: *mut i64) -> i32;
        fn QueryPerformanceFrequency(frequency: *mut i64) -> i32;
    }
    let (mut count, mut frequency) = (0, 1);
    // SAFETY: each call writes one integer. Neither fails on a Windows version that Rust supports.
    unsafe {
        QueryPerformanceCounter(&raw mut count);
        QueryPerformanceFrequency(&raw mut frequency);
    }
    u64::try_from(i128::from(count) * 1_000_000_000 / i128::from(frequency)).unwrap_or_default()
}
