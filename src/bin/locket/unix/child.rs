//! A child that can be sent signals until it is gone, and never after: its number may then be
//! somebody else's.

use std::env;
use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::sync::{Arc, Mutex, PoisonError};

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawnp};
use nix::sys::signal::{SigSet, Signal, kill};
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitIdStatus, waitid};

#[derive(Clone, Debug)]
pub(super) struct Child {
    pid: Pid,
    /// Until it is reaped.
    there: Arc<Mutex<bool>>,
}

impl Child {
    /// Starts a program with this signal mask.
    ///
    /// Not by [`std::process::Command`]: it would pass on the mask of this thread, which holds
    /// back the signals that are the child's. SIGPIPE is at its default, as `Command` sets it.
    pub(super) fn start(arguments: &[OsString], mask: SigSet) -> io::Result<Self> {
        let arguments: Vec<CString> =
            arguments.iter().cloned().map(c_string).collect::<io::Result<_>>()?;
        let environment: Vec<CString> = env::vars_os()
            .map(|(name, value)| c_string([name, value].join("=".as_ref())))
            .collect::<io::Result<_>>()?;

        let mut attributes = PosixSpawnAttr::init()?;
        attributes.set_sigmask(&mask)?;
        attributes.set_sigdefault(&SigSet::from(Signal::SIGPIPE))?;
        attributes.set_flags(
            PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF,
        )?;
        let files = PosixSpawnFileActions::init()?;

        let pid = posix_spawnp(&arguments[0], &files, &attributes, &arguments, &environment)?;
        let pid = Pid::from_raw(pid.as_raw()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { pid, there: Arc::new(Mutex::new(true)) })
    }

    pub(super) fn signal(&self, signal: Signal) {
        let there = self.there.lock().unwrap_or_else(PoisonError::into_inner);
        if *there {
            // A child that has become another user's cannot be told, and that is its right.
            let _ = kill(nix::unistd::Pid::from_raw(self.pid.as_raw_pid()), signal);
        }
    }

    /// Waits for its end, and tells it as a shell does: 128 + the signal that ended it.
    pub(super) fn wait(&self) -> io::Result<i32> {
        let ended = self.await_end(WaitIdOptions::NOWAIT)?;
        // Nobody may be sending a signal to it while it is reaped.
        let mut there = self.there.lock().unwrap_or_else(PoisonError::into_inner);
        *there = false;
        self.await_end(WaitIdOptions::empty())?;

        let signalled = ended.terminating_signal().map(|signal| 128 + signal);
        signalled.or(ended.exit_status()).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn await_end(&self, options: WaitIdOptions) -> io::Result<WaitIdStatus> {
        let ended = rustix::io::retry_on_intr(|| {
            waitid(WaitId::Pid(self.pid), options | WaitIdOptions::EXITED)
        })?;
        ended.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

fn c_string(text: OsString) -> io::Result<CString> {
    Ok(CString::new(text.into_vec())?)
}
