//! The processes that have a file open, from the Restart Manager.

use std::iter;
use std::os::windows::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use windows_sys::Win32::Foundation::{ERROR_MORE_DATA, ERROR_SUCCESS};
use windows_sys::Win32::System::RestartManager::{
    CCH_RM_SESSION_KEY, RM_PROCESS_INFO, RmEndSession, RmGetList, RmRegisterResources,
    RmStartSession,
};

/// Returns the processes that have the file open, this one included; `None` if the system cannot be asked.
pub(crate) fn openers(path: &Path) -> Option<Vec<RM_PROCESS_INFO>> {
    let session = Session::start()?;
    session.register(path)?;
    session.list()
}

/// A session of the Restart Manager. A user's session has at most 64.
struct Session(u32);

impl Session {
    fn start() -> Option<Self> {
        let mut session = 0;
        let mut key = [0; CCH_RM_SESSION_KEY as usize + 1];
        // SAFETY: one number is written, and a key of as many characters as there is room for.
        let answer = unsafe { RmStartSession(&raw mut session, 0, key.as_mut_ptr()) };
        (answer == ERROR_SUCCESS).then_some(Self(session))
    }

    fn register(&self, path: &Path) -> Option<()> {
        let path: Vec<u16> = path.as_os_str().encode_wide().chain(iter::once(0)).collect();
        // SAFETY: one path is read, which ends with a zero; of the other lists, nothing.
        let answer = unsafe {
            let path = path.as_ptr();
            RmRegisterResources(self.0, 1, &raw const path, 0, ptr::null(), 0, ptr::null())
        };
        (answer == ERROR_SUCCESS).then_some(())
    }

    /// Returns the list. Processes start and end, so it may be longer than the system said a moment ago.
    fn list(&self) -> Option<Vec<RM_PROCESS_INFO>> {
        const ATTEMPTS: usize = 10;
        let mut list = Vec::new();
        for _ in 0..ATTEMPTS {
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
