//! The entry point of the process with glibc: C's `main` instead of that of std.
//!
//! Before Rust's `main`, std searches the end of the stack, to report an overflow. With glibc that reads `/proc/self/maps` at
//! each start (`pthread_getattr_np(3)`): a fifteenth of the time until a command runs. The other steps of std are done here.
//! The arguments are available even so: glibc passes them to std before `main` (`std/src/sys/args/unix.rs`).
//!
//! In exchange, an overflow of the first thread's stack is a SIGSEGV without a message.

use std::ffi::c_int;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;

// The unwinder of a panic, linked statically: a shared one is mapped and relocated at each start.
#[link(name = "libgcc_eh.a", kind = "dylib", modifiers = "+verbatim")]
unsafe extern "C" {}

/// The standard streams that were closed when the process began, a bit for each.
static WAS_CLOSED: AtomicU8 = AtomicU8::new(0);

/// Returns whether this is the number of a standard stream that was closed when the process began.
pub(super) fn was_closed(number: c_int) -> bool {
    (0..=libc::STDERR_FILENO).contains(&number) && WAS_CLOSED.load(Relaxed) >> number & 1 == 1
}

/// The exit status of std after a panic.
#[cfg(not(any(test, fuzzing)))]
const PANICKED: c_int = 101;

// The programs of the unit tests and of the fuzz targets have a `main` of their own.
#[cfg(not(any(test, fuzzing)))]
// SAFETY: it is the only `main` of the program, since std's is left out (`no_main`).
#[unsafe(no_mangle)]
extern "C" fn main() -> c_int {
    open_closed_streams();
    // As std does: a write to a pipe without a reader is an error (EPIPE).
    // SAFETY: no memory is involved.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    std::panic::catch_unwind(crate::main).map_or(PANICKED, |()| libc::EXIT_SUCCESS)
}

/// Opens /dev/null in place of each closed standard stream. Otherwise the next file that is opened gets its number: the lock
/// file would be the standard output, for instance.
#[cfg(not(test))]
fn open_closed_streams() {
    for stream in [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO] {
        // SAFETY: no memory is involved.
        let is_open = unsafe { libc::fcntl(stream, libc::F_GETFD) } != -1;
        // SAFETY: the path is a C string.
        if !is_open && unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) } != stream {
            std::process::abort();
        }
        WAS_CLOSED.fetch_or(u8::from(!is_open) << stream, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_panic_unwinds_without_a_shared_unwinder() {
        assert!(std::panic::catch_unwind(|| panic!("a panic of the test")).is_err());
        let mapped = std::fs::read_to_string("/proc/self/maps").expect("Linux has this file");
        assert!(!mapped.contains("libgcc_s"), "{mapped}");
    }
}
