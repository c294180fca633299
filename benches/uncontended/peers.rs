//! The libraries that can lock a file in this process, each with a handle that is opened once.

use std::fs::{File, OpenOptions};
use std::path::Path;

use crate::bench::Result;
use crate::bench::sys::Raw;
use crate::bench::ways::TIMEOUT;

/// One acquire and release.
pub(crate) type Turn = Box<dyn FnMut()>;

pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// The turn, or why the peer is missing.
    pub(crate) turn: std::result::Result<Turn, &'static str>,
}

pub(crate) const FLOOR: &str = "lseek, flock, stat, unlock (the floor)";
pub(crate) const FSLOCK: &str = "fslock";
pub(crate) const LOCKET: [&str; 4] =
    ["locket guard", "locket guard, timeout", "locket pair", "locket pair, timeout"];

/// Returns all peers. Each has a lock file of its own in this directory.
pub(crate) fn all(dir: &Path) -> Result<Vec<Peer>> {
    let peer = |name, turn| Peer { name, turn: Ok(turn) };
    let [guard, guard_timed, pair, pair_timed] = LOCKET;
    let lock = locket::lock_file(dir.join("untimed.lock"));
    let timed = locket::lock_file(dir.join("timed.lock")).timeout(TIMEOUT);
    Ok(vec![
        peer(FLOOR, floor(Raw::open(&dir.join("floor.lock"))?)),
        peer(guard, locket_guard(lock.clone())),
        peer(guard_timed, locket_guard(timed.clone())),
        peer(pair, locket_pair(lock)),
        peer(pair_timed, locket_pair(timed)),
        peer("flock, unlock (no check)", unchecked(Raw::open(&dir.join("raw.lock"))?)),
        peer("fs4 (no check)", fs4(open(&dir.join("fs4.lock"))?)),
        Peer { name: "std (no check)", turn: std_lock(open(&dir.join("std.lock"))?) },
        peer("fd-lock (no check)", fd_lock(open(&dir.join("fd-lock.lock"))?)),
        peer("named-lock (no check)", named_lock(&dir.join("named-lock.lock"))?),
        peer(FSLOCK, fslock(&dir.join("fslock.lock"))?),
    ])
}

fn open(path: &Path) -> Result<File> {
    Ok(OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?)
}

const FREE: &str = "a free lock is granted";
const HELD: &str = "a held lock can be released";

fn floor(raw: Raw) -> Turn {
    Box::new(move || {
        assert!(raw.is_own().expect(FREE), "the descriptor is open");
        raw.lock().expect(FREE);
        assert!(raw.is_current().expect(FREE), "no process replaces the file");
        raw.unlock().expect(HELD);
    })
}

fn unchecked(raw: Raw) -> Turn {
    Box::new(move || {
        raw.lock().expect(FREE);
        raw.unlock().expect(HELD);
    })
}

fn locket_guard(lock: locket::Lock) -> Turn {
    Box::new(move || lock.lock().expect(FREE).release().expect(HELD))
}

fn locket_pair(lock: locket::Lock) -> Turn {
    Box::new(move || {
        lock.acquire().expect(FREE);
        lock.release().expect(HELD);
    })
}

fn fs4(file: File) -> Turn {
    // With the trait's name: since Rust 1.89 `File` has methods of the same names.
    Box::new(move || {
        fs4::FileExt::lock(&file).expect(FREE);
        fs4::FileExt::unlock(&file).expect(HELD);
    })
}

#[rustversion::since(1.89)]
#[allow(clippy::unnecessary_wraps, reason = "older compilers have no such method")]
fn std_lock(file: File) -> std::result::Result<Turn, &'static str> {
    #[allow(clippy::incompatible_msrv, reason = "compiled only where it exists")]
    Ok(Box::new(move || {
        file.lock().expect(FREE);
        file.unlock().expect(HELD);
    }))
}

#[rustversion::before(1.89)]
fn std_lock(_: File) -> std::result::Result<Turn, &'static str> {
    Err("File::lock came with Rust 1.89")
}

fn fd_lock(file: File) -> Turn {
    let mut lock = fd_lock::RwLock::new(file);
    Box::new(move || drop(lock.write().expect(FREE)))
}

fn named_lock(path: &Path) -> Result<Turn> {
    let lock = named_lock::NamedLock::with_path(path)?;
    Ok(Box::new(move || drop(lock.lock().expect(FREE))))
}

fn fslock(path: &Path) -> Result<Turn> {
    let mut lock = fslock::LockFile::open(path)?;
    Ok(Box::new(move || {
        lock.lock().expect(FREE);
        lock.unlock().expect(HELD);
    }))
}
