//! Which processes have the lock file open (Windows). The system does not tell which of them has locked it: a
//! process that only has it open, a waiter or a virus scanner, is no holder.

use std::path::Path;
use std::process;
use std::time::{Duration, SystemTime};

use windows_sys::Win32::Foundation::FILETIME;
use windows_sys::Win32::System::RestartManager::RM_PROCESS_INFO;

use crate::os::LockPath;
use crate::os::platform::{OsError, PlatformPath};
use crate::os::windows::restart_manager;
use crate::report::lock_status::{LockStatus, OwnerKind, Process, Query};

use crate::report::unknown;

/// Only an attempt to acquire the lock can tell whether it is held.
pub(crate) fn query(path: &LockPath, query: &Query<'_>) -> Result<LockStatus, OsError> {
    unknown::known(query, || holder(path.path()))
}

/// That this process has the file open means nothing.
fn holder(path: &Path) -> OwnerKind {
    let openers = restart_manager::openers(path).unwrap_or_default();
    let mut openers: Vec<Process> = openers.iter().map(process).collect();
    openers.retain(|process| !process.is_this);
    if openers.is_empty() { OwnerKind::Unknown } else { OwnerKind::OpenIn(openers) }
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
