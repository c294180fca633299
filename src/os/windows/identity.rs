//! Whether two open files are the same file.

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::windows::io::AsRawHandle;

use windows_sys::Win32::Storage::FileSystem::{
    BY_HANDLE_FILE_INFORMATION, FILE_ID_INFO, FileIdInfo, GetFileInformationByHandle,
    GetFileInformationByHandleEx,
};

/// Returns whether both are the same file. Both are asked at the same time and in the same way: on FAT a file's number is
/// its place in the directory, which may change while the file is open.
pub(super) fn is_same(one: &File, other: &File) -> io::Result<bool> {
    match (wide(one), wide(other)) {
        (Ok(one), Ok(other)) => Ok(one == other),
        // FAT and some network file systems have no such numbers.
        _ => Ok(narrow(one)? == narrow(other)?),
    }
}

/// The volume's serial number and the file's 128 bits on it, which alone are unique on `ReFS`.
fn wide(file: &File) -> io::Result<(u64, [u8; 16])> {
    #[allow(clippy::cast_possible_truncation, reason = "it is 24")]
    const SIZE: u32 = size_of::<FILE_ID_INFO>() as u32;
    let mut info = MaybeUninit::<FILE_ID_INFO>::uninit();
    let buffer = info.as_mut_ptr().cast::<c_void>();
    // SAFETY: the handle is open as long as the file is borrowed, the buffer is as large as it is
    // said to be, and filled if the call succeeds.
    let info = unsafe {
        match GetFileInformationByHandleEx(file.as_raw_handle(), FileIdInfo, buffer, SIZE) {
            0 => return Err(io::Error::last_os_error()),
            _ => info.assume_init(),
        }
    };
    Ok((info.VolumeSerialNumber, info.FileId.Identifier))
}

/// The volume's serial number and the file's index on it.
fn narrow(file: &File) -> io::Result<(u32, u32, u32)> {
    let mut info = MaybeUninit::<BY_HANDLE_FILE_INFORMATION>::uninit();
    // SAFETY: the handle is open as long as the file is borrowed, and the information is filled in
    // if the call succeeds.
    let info = unsafe {
        match GetFileInformationByHandle(file.as_raw_handle(), info.as_mut_ptr()) {
            0 => return Err(io::Error::last_os_error()),
            _ => info.assume_init(),
        }
    };
    Ok((info.dwVolumeSerialNumber, info.nFileIndexHigh, info.nFileIndexLow))
}
