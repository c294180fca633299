//! Who has the lock file open, as the Restart Manager tells it. Which of them has locked it, the
//! system tells nobody: whoever only has it open, a waiter or a virus scanner, is no holder.

use std::iter;
use std::os::windows::ffi::OsStrExt;
use std::path::Path;
use std::process;
use std::ptr;
use std::time::{Duration, SystemTime};

use windows_sys::Win32::Foundation::{ERROR_MORE_DATA, ERROR_SUCCESS, FILETIME};
use windows_sys::Win32::System::RestartManager::{
    CCH_RM_SESSION_KEY, RM_PROCESS_INFO, RmEndSession, RmGetList, RmRegisterResources,
    RmStartSession,
};

use crate::error::Failure;
use crate::holders::{Claimant, Holders, Process};
use crate::options::Options;
use crate::os::unknown_holders;

use super::Name;

/// Does somebody hold the lock, if that is not known? Nobody can tell who does not try to take it.
pub(crate) fn holders(
    name: &Name,
    options: &Options,
    known_held: bool,
    goes_on: &dyn Fn() -> bool,
) -> Result<Holders, Failure> {
    let mut holders = unknown_holders::holders(name, options, known_held, goes_on)?;
    for claim in &mut holders.held {
        claim.by = somebody(name.path());
    }
    Ok(holders)
}

/// That this process has it open says nothing.
fn somebody(path: &Path) -> Claimant {
    let mut openers = openers(path).unwrap_or_default();
    openers.retain(|process| !process.is_this);
    if openers.is_empty() { Claimant::Unknown } else { Claimant::OpenIn(openers) }
}

fn openers(path: &Path) -> Option<Vec<Process>> {
    let session = Session::start()?;
    session.ask_about(path)?;
    Some(session.answer()?.iter().map(process).collect())
}

/// An inquiry. There may be 64 at a time in a user's session.
struct Session(u32);

impl Session {
    fn start() -> Option<Self> {
        let mut session = 0;
        let mut key = [0; CCH_RM_SESSION_KEY as usize + 1];
        // SAFETY: one number is written, and a key of as many characters as there is room for.
        let answer = unsafe { RmStartSession(&raw mut session, 0, key.as_mut_ptr()) };
        (answer == ERROR_SUCCESS).then_some(Self(session))
    }

    fn ask_about(&self, path: &Path) -> Option<()> {
        let path: Vec<u16> = path.as_os_str().encode_wide().chain(iter::once(0)).collect();
        // SAFETY: one path is read, which ends with a zero; of the other lists, nothing.
        let answer = unsafe {
            let path = path.as_ptr();
            RmRegisterResources(self.0, 1, &raw const path, 0, ptr::null(), 0, ptr::null())
        };
        (answer == ERROR_SUCCESS).then_some(())
    }

    /// Processes come and go: the list may be longer than it was said to be.
    fn answer(&self) -> Option<Vec<RM_PROCESS_INFO>> {
        const TURNS: usize = 10;
        let mut list = Vec::new();
        for _ in 0..TURNS {
            let (mut needed, mut reasons) = (0, 0);
            let mut count = u32::try_from(list.len()).ok()?;
            // SAFETY: three numbers are written, and at most so many entries as the list has.
            let answer = unsafe {
                let first = list.as_mut_ptr();
                RmGetList(self.0, &raw mut needed, &raw mut count, first, &raw mut reasons)
            };
            match answer {
                ERROR_SUCCESS => {
                    list.truncate(count as usize);
                    return Some(list);
                }
                ERROR_MORE_DATA => list.resize(needed as usize, RM_PROCESS_INFO::default()),
                _ => return None,
            }
        }
        None
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: the session was started, and is not used any more.
        unsafe { RmEndSession(self.0) };
    }
}

fn process(info: &RM_PROCESS_INFO) -> Process {
    let pid = info.Process.dwProcessId;
    let name: Vec<u16> = info.strAppName.iter().copied().take_while(|&unit| unit != 0).collect();
    Process {
        pid,
        is_this: pid == process::id(),
        name: (!name.is_empty()).then(|| String::from_utf16_lossy(&name)),
        user: None,
        started: time(info.Process.ProcessStartTime),
    }
}

/// Ticks of 100 ns since 1601.
fn time(filetime: FILETIME) -> Option<SystemTime> {
    const UNIX_EPOCH: u64 = 116_444_736_000_000_000;
    let ticks = u64::from(filetime.dwHighDateTime) << 32 | u64::from(filetime.dwLowDateTime);
    let micros = Duration::from_micros(ticks.checked_sub(UNIX_EPOCH)? / 10);
    SystemTime::UNIX_EPOCH.checked_add(micros)
}

#[cfg(test)]
mod tests {
    use super::{Duration, FILETIME, SystemTime, time};

    #[test]
    fn times_are_those_of_the_clock() {
        let of = |ticks: u64| {
            let [low, high] = [ticks, ticks >> 32].map(|half| (half & 0xffff_ffff) as u32);
            time(FILETIME { dwLowDateTime: low, dwHighDateTime: high })
        };
        let epoch = 116_444_736_000_000_000;
        assert_eq!(of(epoch), Some(SystemTime::UNIX_EPOCH));
        let later = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30);
        assert_eq!(of(epoch + (1 << 30) * 10_000_000), Some(later));
        assert_eq!(of(0), None, "nothing was started then");
    }
}
