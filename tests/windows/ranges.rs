//! - L1, L14: a hold covers every byte that the file can have, byte 0 included. A lock on any of these bytes excludes
//!   Locket, and is excluded by it.
//! - L8: other programs can open a held file, even with truncation, but not write to it.

use std::fs::{self, File};
use std::io::{Read, Write};

use windows_sys::Win32::Foundation::{ERROR_LOCK_VIOLATION, ERROR_SHARING_VIOLATION};
use windows_sys::Win32::Storage::FileSystem::FILE_SHARE_READ;

use crate::support::{Outcome, Scratch};
use crate::system::{ALL, can_lock, is, is_real_windows, lock, open};

const FAR: u64 = 1 << 40;
const LAST: u64 = u64::MAX - 1;

#[test]
fn l14_every_byte_is_held() -> Outcome {
    let scratch = Scratch::new();
    let foreign = open(&scratch.lock_path(), ALL)?;
    for offset in [0, 1, FAR, LAST] {
        let guard = scratch.lock().lock()?;
        assert!(!can_lock(&foreign, offset, 1), "byte {offset}");
        guard.release()?;
        assert!(can_lock(&foreign, offset, 1), "byte {offset}");
    }
    Ok(())
}

#[test]
fn l14_a_lock_on_any_byte_is_contention() -> Outcome {
    let scratch = Scratch::new();
    for offset in [0, 1, FAR, LAST] {
        let foreign = open(&scratch.lock_path(), ALL)?;
        lock(&foreign, offset, 1)?;
        for lock in [scratch.lock(), scratch.lock().shared()] {
            let error = lock.try_lock().expect_err("a byte is held");
            assert!(error.is_contended(), "{error}");
        }
        drop(foreign);
        scratch.lock().try_lock()?.release()?;
    }
    Ok(())
}

/// locket.py opens the file so before each attempt: `open(path, "wb")`.
#[test]
fn l14_other_programs_can_open_a_held_file() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let _idle = scratch.lock();
    for lock in [scratch.lock(), scratch.lock().shared()] {
        let _held = lock.lock()?;
        File::create(&path)?;
        File::open(&path)?;
        open(&path, ALL)?;
        // Locket has the file open for reading only. So others may deny writing, but not reading.
        open(&path, FILE_SHARE_READ)?;
        let error = open(&path, 0).expect_err("Locket has it open");
        assert!(is(&error, ERROR_SHARING_VIOLATION), "{error}");
    }
    Ok(())
}

#[test]
fn l8_a_held_file_cannot_be_read_or_written() -> Outcome {
    let check = "l8_a_held_file_cannot_be_read_or_written";
    if !is_real_windows(check, "Wine's locks do not keep others from reading and writing") {
        return Ok(());
    }
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    fs::write(&path, "contents")?;
    let mut byte = [0];

    let held = scratch.lock().lock()?;
    let error = open(&path, ALL)?.read(&mut byte).expect_err("no other process reads");
    assert!(is(&error, ERROR_LOCK_VIOLATION), "{error}");
    let error = open(&path, ALL)?.write(&byte).expect_err("no other process writes");
    assert!(is(&error, ERROR_LOCK_VIOLATION), "{error}");
    held.release()?;

    let held = scratch.lock().shared().lock()?;
    assert_eq!(open(&path, ALL)?.read(&mut byte)?, 1);
    let error = open(&path, ALL)?.write(&byte).expect_err("no other process writes");
    assert!(is(&error, ERROR_LOCK_VIOLATION), "{error}");
    held.release()?;

    assert_eq!(fs::read(&path)?, b"contents");
    Ok(())
}
