//! Signal dispositions of the test process. The processes that it starts inherit them.
#![allow(unsafe_code)]

use std::sync::Once;

/// Resets the signals that this process ignores to their default actions.
///
/// A shell without job control starts background commands with SIGINT and SIGQUIT ignored (POSIX, "Asynchronous
/// Lists"), and nohup(1) adds SIGHUP. A test that sends such a signal to one of its processes would wait for the end of
/// that process forever. SIGPIPE is not reset: Rust ignores it itself, and resets it in the processes that it starts.
pub(crate) fn reset_ignored() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
            // SAFETY: an action of all zeros is valid: it is the default action. The structures live until the calls
            // return.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                let result = libc::sigaction(signal, std::ptr::null(), &raw mut action);
                if result == 0 && action.sa_sigaction == libc::SIG_IGN {
                    action.sa_sigaction = libc::SIG_DFL;
                    libc::sigaction(signal, &raw const action, std::ptr::null_mut());
                }
            }
        }
    });
}
