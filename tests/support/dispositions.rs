//! The signals of the test process, which the processes that it starts inherit.
#![allow(unsafe_code)]

use std::sync::Once;

/// Gives the signals that this process ignores their default actions.
///
/// A shell without job control starts what it runs in the background with SIGINT and SIGQUIT ignored, and nohup(1) adds
/// SIGHUP (POSIX, "Asynchronous Lists"): a test that sends such a signal to a process of its own would wait for its end
/// forever. SIGPIPE is left alone: Rust ignores it itself, and resets it in what it starts.
pub(crate) fn reset_ignored() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
            // SAFETY: all zeros are a valid action, the default one; the structures live until the calls return.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                let asked = libc::sigaction(signal, std::ptr::null(), &raw mut action);
                if asked == 0 && action.sa_sigaction == libc::SIG_IGN {
                    action.sa_sigaction = libc::SIG_DFL;
                    libc::sigaction(signal, &raw const action, std::ptr::null_mut());
                }
            }
        }
    });
}
