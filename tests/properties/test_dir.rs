//! The real directory, and what another program sees of the lock.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use locket_model::spec::{self, Mode};
use tempfile::TempDir;

use super::disk::Node;
use super::ops::{Change, Entry, Spelling};
use super::reference::Reference;

pub(crate) struct TestDir {
    dir: TempDir,
    /// The mode of a file that is created with 0666 under the process's umask.
    fresh_mode: u32,
    /// A descriptor of the test for each file that has a name, a hold or a waiter, unlinked ones included.
    probes: BTreeMap<spec::File, File>,
}

/// Returns the current directory of the test and its peers, so that relative paths are short.
fn home() -> &'static Path {
    static HOME: OnceLock<PathBuf> = OnceLock::new();
    HOME.get_or_init(|| {
        std::env::set_current_dir(std::env::temp_dir())
            .expect("the temporary directory should exist");
        std::env::current_dir().expect("it exists")
    })
}

impl TestDir {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir_in(home()).expect("there should be room for a directory");
        fs::create_dir(dir.path().join("sub")).expect("the directory should be writable");
        let fresh = dir.path().join("fresh");
        File::create_new(&fresh).expect("the directory should be writable");
        let fresh_mode = mode(&fresh).expect("the file exists");
        fs::remove_file(fresh).expect("the file should be removable");
        #[cfg(unix)]
        std::os::unix::fs::symlink(name(Entry::Lock), dir.path().join("symlink"))
            .expect("the directory should be writable");
        Self { dir, fresh_mode, probes: BTreeMap::new() }
    }

    /// Returns the path of a handle.
    pub(crate) fn path(&self, via: Spelling) -> PathBuf {
        let lock = name(Entry::Lock);
        match via {
            Spelling::Plain => self.at(Entry::Lock),
            Spelling::Dotted => self.dir.path().join(".").join(lock),
            Spelling::Relative => {
                let dir = self.dir.path().strip_prefix(home());
                dir.expect("the directory is in it").join(lock)
            }
            Spelling::Upward => self.dir.path().join("sub").join("..").join(lock),
            #[cfg(unix)]
            Spelling::Symlink => self.dir.path().join("symlink"),
            #[cfg(unix)]
            Spelling::HardLink => self.at(Entry::Other),
        }
    }

    pub(crate) fn at(&self, entry: Entry) -> PathBuf {
        self.dir.path().join(name(entry))
    }

    #[cfg(unix)]
    pub(crate) fn change(&self, change: Change) -> io::Result<()> {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let [lock, other, away] = [Entry::Lock, Entry::Other, Entry::Away].map(|it| self.at(it));
        let new = self.dir.path().join("new");
        match change {
            Change::Unlink(entry) => fs::remove_file(self.at(entry)),
            Change::MoveAway => fs::rename(lock, away),
            Change::MoveBack => fs::rename(away, lock),
            Change::Replace => File::create_new(&new).and_then(|_| fs::rename(new, lock)),
            Change::BecomeLink => {
                symlink(name(Entry::Other), &new).and_then(|()| fs::rename(new, lock))
            }
            Change::HardLink => fs::hard_link(lock, &new).and_then(|()| fs::rename(new, other)),
            Change::Chmod(mode) => fs::set_permissions(lock, fs::Permissions::from_mode(mode)),
            Change::Write(text) => fs::write(lock, text),
        }
    }

    #[cfg(not(unix))]
    #[allow(clippy::unused_self, reason = "the files are not changed on this platform")]
    pub(crate) fn change(&self, _: Change) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Compares the files with the expected ones, and the locks on them with the holds.
    pub(crate) fn check(&mut self, expected: &Reference) -> Result<(), String> {
        self.check_entries(expected).map_err(|problem| format!("the directory: {problem}"))?;
        let failed = |what: &str, error: io::Error| format!("{what}: {error}");
        for (entry, file) in expected.disk.named_files() {
            let path = self.at(entry);
            let probe = match self.probes.remove(&file) {
                Some(probe) => probe,
                None => open(&path).map_err(|error| failed("opening a probe", error))?,
            };
            self.check_file(expected, file, &path, &probe)
                .map_err(|error| failed(&format!("{entry:?}"), error))?;
            self.probes.insert(file, probe);
        }
        self.probes.retain(|&file, _| {
            expected.held(file).is_some()
                || expected.waiters.iter().any(|waiter| waiter.file == file)
                || expected.disk.named_files().any(|(_, named)| named == file)
        });
        for (&file, probe) in &self.probes {
            let seen = probe_lock(probe).map_err(|error| failed("probing", error))?;
            let held = expected.held(file);
            if seen != held {
                return Err(format!(
                    "exclusion on file {file}: a probe sees {seen:?}, and should see {held:?}"
                ));
            }
        }
        Ok(())
    }

    /// Checks that no entry of the directory is missing or left behind.
    fn check_entries(&self, expected: &Reference) -> Result<(), String> {
        let listed = fs::read_dir(self.dir.path()).map_err(|error| error.to_string())?;
        let mut names = BTreeMap::new();
        for entry in listed.map_while(Result::ok) {
            let is_link = entry.file_type().is_ok_and(|it| it.is_symlink());
            names.insert(entry.file_name().to_string_lossy().into_owned(), is_link);
        }
        names.retain(|name, _| name != "sub" && name != "symlink");
        let entries = expected.disk.entries.iter();
        let entries = entries.map(|(&it, &node)| (name(it).into(), node == Node::Link)).collect();
        if names == entries {
            Ok(())
        } else {
            Err(format!("{names:?}, not {entries:?} (is a link?)"))
        }
    }

    fn check_file(
        &self,
        expected: &Reference,
        file: spec::File,
        path: &Path,
        probe: &File,
    ) -> io::Result<()> {
        let facts = expected.disk.facts(file);
        same("contents", &contents(path)?, &contents_of(facts.contents))?;
        same("mode", &mode(path)?, &facts.mode.unwrap_or(self.fresh_mode))?;
        same("inode", &inode(&fs::metadata(path)?), &inode(&probe.metadata()?))
    }

    /// Returns the inode number of a file, as `/proc/locks` shows it. The file may have no name.
    pub(crate) fn inode(&self, file: spec::File) -> Option<u64> {
        inode(&self.probes.get(&file)?.metadata().ok()?)
    }

    pub(crate) fn inode_at(&self, via: Spelling) -> Option<u64> {
        inode(&fs::metadata(self.path(via)).ok()?)
    }

    /// Returns how many descriptors of a process are open on files of this directory, without the probes.
    #[cfg(target_os = "linux")]
    pub(crate) fn descriptors(&self, pid: u32) -> usize {
        let links = fs::read_dir(format!("/proc/{pid}/fd")).expect("the process should be there");
        let files = links.filter_map(|link| fs::read_link(link.ok()?.path()).ok());
        let here = files.filter(|file| file.starts_with(self.dir.path())).count();
        here - if pid == std::process::id() { self.probes.len() } else { 0 }
    }
}

fn name(entry: Entry) -> &'static str {
    match entry {
        Entry::Lock => "test.lock",
        Entry::Other => "other.lock",
        Entry::Away => "away.lock",
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, seen: &T, expected: &T) -> io::Result<()> {
    if seen == expected {
        return Ok(());
    }
    Err(io::Error::other(format!("the {what} is {seen:?}, and should be {expected:?}")))
}

fn open(path: &Path) -> io::Result<File> {
    let read_write = OpenOptions::new().read(true).write(true).open(path);
    read_write.or_else(|_| File::open(path))
}

/// Returns the lock on a file as a program without Locket sees it.
fn probe_lock(probe: &File) -> io::Result<Option<Mode>> {
    let held = if try_lock(probe, Mode::Exclusive)? {
        None
    } else if try_lock(probe, Mode::Shared)? {
        Some(Mode::Shared)
    } else {
        return Ok(Some(Mode::Exclusive));
    };
    unlock(probe)?;
    Ok(held)
}

#[cfg(unix)]
fn try_lock(file: &File, mode: Mode) -> io::Result<bool> {
    use rustix::fs::{FlockOperation, flock};
    let operation = match mode {
        Mode::Exclusive => FlockOperation::NonBlockingLockExclusive,
        Mode::Shared => FlockOperation::NonBlockingLockShared,
    };
    match flock(file, operation) {
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        answer => answer.map(|()| true).map_err(Into::into),
    }
}

#[cfg(unix)]
fn unlock(file: &File) -> io::Result<()> {
    rustix::fs::flock(file, rustix::fs::FlockOperation::Unlock).map_err(Into::into)
}

#[cfg(not(unix))]
fn try_lock(file: &File, mode: Mode) -> io::Result<bool> {
    let answer = match mode {
        Mode::Exclusive => fs4::FileExt::try_lock(file),
        Mode::Shared => fs4::FileExt::try_lock_shared(file),
    };
    match answer {
        Ok(()) => Ok(true),
        Err(fs4::TryLockError::WouldBlock) => Ok(false),
        Err(fs4::TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(not(unix))]
fn unlock(file: &File) -> io::Result<()> {
    fs4::FileExt::unlock(file)
}

#[cfg(unix)]
fn mode(path: &Path) -> io::Result<u32> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::metadata(path)?.permissions().mode() & 0o7777)
}

#[cfg(not(unix))]
fn mode(path: &Path) -> io::Result<u32> {
    Ok(fs::metadata(path)?.permissions().readonly().into())
}

#[cfg(unix)]
#[allow(clippy::unnecessary_wraps, reason = "not every platform has inode numbers")]
fn inode(metadata: &fs::Metadata) -> Option<u64> {
    Some(std::os::unix::fs::MetadataExt::ino(metadata))
}

/// Returns `None`: no file is replaced on this platform.
#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> Option<u64> {
    None
}

#[cfg(unix)]
fn contents(path: &Path) -> io::Result<String> {
    fs::read_to_string(path)
}

#[cfg(unix)]
fn contents_of(text: &str) -> String {
    text.into()
}

/// A locked file cannot be read on this platform, but its size can be read.
#[cfg(not(unix))]
fn contents(path: &Path) -> io::Result<u64> {
    Ok(fs::metadata(path)?.len())
}

#[cfg(not(unix))]
fn contents_of(text: &str) -> u64 {
    text.len() as u64
}
