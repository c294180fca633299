//! Effects of an open lock file on other programs.
//!
//! - L3: if a lease keeps the file from being opened, the acquisition waits until its deadline, and its observer is called.
//! - L8: locking does not look like writing to programs that watch, lease or execute the file, nor to overlayfs.
#![cfg(target_os = "linux")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};

use crate::support::prelude::*;

/// The access mode of the library's descriptor decides what other programs may do with the file.
#[test]
fn l8_the_file_is_open_for_reading() -> Outcome {
    let scratch = Scratch::new();
    let (missing, existing) = (scratch.join("missing"), scratch.join("existing"));
    File::create(&existing)?;
    for path in [missing, existing] {
        let _guard = lock_file(&path).lock()?;
        let access = access_of_open(std::process::id(), &path)?;
        assert_eq!(access, [libc::O_RDONLY], "{}", path.display());
    }
    Ok(())
}

/// A script may lock itself, as flock(1) recommends. A file that is open for writing cannot be executed (`ETXTBSY`,
/// execve(2)).
#[test]
fn l8_a_locked_script_can_be_executed() -> Outcome {
    let scratch = Scratch::new();
    let script = scratch.join("script");
    // Another process writes the file. If this one did, a child that another test forks could inherit the descriptor.
    let write = "printf '#!/bin/sh\\nexit 7\\n' >\"$0\" && chmod +x \"$0\"";
    assert!(Command::new("sh").args(["-c", write]).arg(&script).status()?.success());
    let guard = lock_file(&script).lock()?;
    let mut waiter = Peer::on(&script);
    waiter.start_waiting("w", Acquire("a"), &script);
    assert_eq!(Command::new(&script).status()?.code(), Some(7));
    guard.release()?;
    waiter.wait_ok("w");
    assert_eq!(Command::new(&script).status()?.code(), Some(7));

    // The check above can fail: a file that is open for writing is refused. (Linux 6.11 and 6.12 execute it even so.)
    waiter.open_foreign("f", &script);
    let busy = Command::new(&script).status().err().and_then(|error| error.raw_os_error());
    if busy != Some(libc::ETXTBSY) {
        skip_this("ETXTBSY: this kernel does not return it");
    }
    Ok(())
}

#[test]
fn l12_a_program_that_is_running_can_be_locked() -> Outcome {
    let scratch = Scratch::new();
    let program = scratch.join("sleep");
    // The program must be a binary: for a script the interpreter is the running file. cp(1) makes the copy, because a child
    // that another test forks could inherit a descriptor that is open for writing, and the file could not be executed.
    let copied = Command::new("cp").arg(which("sleep")?).arg(&program).status();
    assert!(copied.is_ok_and(|status| status.success()), "cp should succeed");
    let mut running = Command::new(&program).arg("1000").spawn()?;
    let outcome = lock_file(&program).lock().map(drop);
    running.kill()?;
    running.wait()?;
    Ok(outcome?)
}

/// Returns the events of the directory since the last call, in order.
fn events(watch: &impl std::os::fd::AsFd) -> Outcome<Vec<ReadFlags>> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = Reader::new(watch, &mut buffer);
    let mut events = vec![];
    loop {
        match reader.next() {
            Ok(event) => events.push(event.events()),
            Err(rustix::io::Errno::AGAIN) => return Ok(events),
            Err(error) => return Err(error.into()),
        }
    }
}

#[test]
fn l8_watchers_see_no_writing() -> Outcome {
    let scratch = Scratch::new();
    let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    inotify::add_watch(&watch, scratch.path(), WatchFlags::ALL_EVENTS)?;
    let use_lock = || -> Outcome {
        let lock = scratch.lock();
        lock.lock()?.release()?;
        lock.acquire()?;
        lock.clone().timeout(Duration::from_millis(1)).shared().lock().expect_err("held");
        lock.release()?;
        Ok(())
    };
    let (opened, closed) = (ReadFlags::OPEN, ReadFlags::CLOSE_NOWRITE);
    use_lock()?;
    let seen = events(&watch)?;
    assert_eq!(seen.first(), Some(&ReadFlags::CREATE));
    assert!(seen[1..].iter().all(|event| [opened, closed].contains(event)), "{seen:?}");
    use_lock()?;
    let seen = events(&watch)?;
    assert!(seen.iter().all(|event| [opened, closed].contains(event)), "{seen:?}");
    assert!(seen.contains(&closed), "{seen:?}");

    // The check above can fail: a descriptor for writing causes another event.
    drop(OpenOptions::new().write(true).open(scratch.lock_path())?);
    assert_eq!(events(&watch)?, [opened, ReadFlags::CLOSE_WRITE]);
    Ok(())
}

/// An open for reading would wake a process that is opening the FIFO for writing. Its write would find no reader, and
/// SIGPIPE would end it.
#[test]
fn l8_a_writer_of_a_fifo_is_not_released() -> Outcome {
    let (scratch, path) = Scratch::with_path();
    assert!(Command::new("mkfifo").arg(&path).status()?.success());
    let mut writer = blocked_writer(&path)?;
    let lock = scratch.lock();
    for _ in 0..3 {
        lock.lock().expect_err("it is a FIFO");
        lock.clone().shared().create(false).try_lock().expect_err("it is a FIFO");
    }
    let mut reader = reader(&path)?;
    let mut text = String::new();
    until("the writer has written and ended", || {
        // A FIFO that is empty and has a writer returns `EAGAIN`.
        let _ = reader.read_to_string(&mut text);
        writer.try_wait().is_ok_and(|status| status.is_some())
    });
    let _ = reader.read_to_string(&mut text);
    assert_eq!(text, "hello\n");
    assert!(writer.wait()?.success());

    // The check above can fail: an open for reading wakes the writer.
    drop(reader);
    let mut writer = blocked_writer(&path)?;
    drop(self::reader(&path)?);
    until("the writer is released", || writer.try_wait().is_ok_and(|status| status.is_some()));
    Ok(())
}

/// Starts a process that sleeps in its open of the FIFO, because there is no reader yet.
fn blocked_writer(path: &Path) -> io::Result<Child> {
    let write = "echo hello >\"$0\"";
    let spawn = || Command::new("sh").args(["-c", write]).arg(path).stderr(Stdio::null()).spawn();
    let mut writer = spawn()?;
    // `/proc/PID/syscall` contains the number of the call in which the process sleeps (proc(5)). C libraries differ in
    // the call that opens a file.
    let opens = |call: String| {
        let number = call.split(' ').next().and_then(|number| number.parse().ok());
        #[cfg(target_arch = "x86_64")]
        if number == Some(libc::SYS_open) {
            return true;
        }
        number == Some(libc::SYS_openat)
    };
    // The process also opens its libraries, but does not sleep there.
    until("the writer sleeps in an open", || {
        // A child that another test has just forked may have a copy of an earlier reader. Then the writer does not sleep.
        if writer.try_wait().is_ok_and(|status| status.is_some()) {
            writer = spawn().expect("sh should start");
        }
        let path = format!("/proc/{}/syscall", writer.id());
        let state = fs::read_to_string(format!("/proc/{}/stat", writer.id())).unwrap_or_default();
        state.contains("(sh) S ") && fs::read_to_string(&path).is_ok_and(opens)
    });
    Ok(writer)
}

fn reader(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)
}

/// An open for reading breaks a write lease: the kernel asks the lease's holder to give it up (fcntl(2)). Here the holder,
/// the test, keeps the lease for a while.
#[test]
fn l3_a_wait_for_a_lease_keeps_its_deadline() -> Outcome {
    let (scratch, path) = Scratch::with_path();
    let leased = lease(&path, libc::F_WRLCK)?;
    let cause = format!(
        "{}: another process, a file server for instance, has a lease on it and has not given it back yet",
        words_of(libc::EAGAIN)
    );
    let refused = |lock: &locket::Lock| {
        let Err(error) = lock.lock() else { panic!("the file is leased") };
        assert_eq!(error.to_string(), format!("cannot open {}: {cause}", path.display()));
    };
    refused(&scratch.lock().timeout(Duration::ZERO));
    let timeout = Duration::from_millis(30);
    let start = Instant::now();
    refused(&scratch.lock().timeout(timeout));
    assert!(start.elapsed() >= timeout, "{:?}", start.elapsed());

    let mut peer = Peer::with(&path, &[Timeout(3_600_000), RetryPeriod(1)]);
    peer.start("wait", Acquire("a"));
    peer.assert_waiting("wait");
    drop(leased);
    peer.wait_ok("wait");
    Ok(())
}

/// The observer is called during such a wait, from its beginning to its end, and can cancel it.
#[test]
fn l3_a_wait_for_a_lease_is_observed() -> Outcome {
    let scratch = Scratch::new();
    let leased = lease(&scratch.lock_path(), libc::F_WRLCK)?;
    let lock = scratch.lock().retry_period(Duration::from_millis(1));
    let error = lock.clone().on_wait(|_| ControlFlow::Break(())).lock().expect_err("leased");
    assert!(error.kind() == Cancelled, "{error}");

    let (sender, times) = channel();
    let observed = lock.observe_every(Duration::from_millis(1)).on_wait(move |wait| {
        sender.send(wait.elapsed()).map_or(ControlFlow::Break(()), ControlFlow::Continue)
    });
    let waiter = std::thread::spawn(move || observed.lock().map(drop));
    let times = [(); 3].map(|()| times.recv());
    drop(leased);
    let seen = times.into_iter().collect::<Result<Vec<_>, _>>()?;
    assert!(seen.is_sorted(), "{seen:?}");
    waiter.join().expect("no panic")?;
    Ok(())
}

#[test]
fn l8_a_read_lease_is_not_broken() -> Outcome {
    let scratch = Scratch::new();
    let leased = lease(&scratch.lock_path(), libc::F_RDLCK)?;
    let lock = scratch.lock().timeout(Duration::ZERO);
    lock.lock()?.release()?;
    assert_eq!(lease_of(&leased)?, libc::F_RDLCK);
    Ok(())
}

#[allow(unsafe_code, reason = "std has no leases")]
fn lease(path: &Path, kind: i32) -> io::Result<File> {
    const F_SETSIG: i32 = 10;
    File::create(path)?;
    let leased = File::open(path)?;
    // SAFETY: the test owns the descriptor. The signal that reports the opening, SIGURG, is ignored by default.
    let answers = unsafe {
        [
            libc::fcntl(leased.as_raw_fd(), F_SETSIG, libc::SIGURG),
            libc::fcntl(leased.as_raw_fd(), libc::F_SETLEASE, kind),
        ]
    };
    if answers == [0, 0] { Ok(leased) } else { Err(io::Error::last_os_error()) }
}

#[allow(unsafe_code, reason = "std has no leases")]
fn lease_of(file: &File) -> io::Result<i32> {
    // SAFETY: the descriptor is open while the file is borrowed.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLEASE) } {
        -1 => Err(io::Error::last_os_error()),
        kind => Ok(kind),
    }
}

/// overlayfs copies a file of the lower layer to the upper one when it is opened for writing.
#[test]
fn l8_overlayfs_copies_nothing_up() -> Outcome {
    if !has_root() {
        return Ok(());
    }
    let scratch = Scratch::new();
    for name in ["lower", "upper", "merged"] {
        fs::create_dir(scratch.join(name))?;
    }
    fs::write(scratch.join("lower/test.lock"), "as it was")?;
    let mount = "cd $0; mount -t tmpfs none upper; mkdir upper/data upper/work; \
                 mount -t overlay -o lowerdir=lower,upperdir=upper/data,workdir=upper/work none merged";
    let Some(mut peer) = Peer::with_mounts(scratch.path(), mount) else { return Ok(()) };
    let path = scratch.join("merged/test.lock");
    peer.handle("a", &path, &[]);
    peer.lock("a", "g");
    let seen_by_peer = PathBuf::from(format!("/proc/{}/root", peer.pid()));
    let upper = scratch.join("upper/data/test.lock");
    let upper = seen_by_peer.join(upper.strip_prefix("/")?);
    assert!(!upper.exists());
    assert!(seen_by_peer.join(path.strip_prefix("/")?).exists(), "overlayfs should be mounted");

    // Another program opens the file for writing, so overlayfs copies it. It is still the same file, and the lock still
    // excludes.
    peer.open_foreign("f", &path);
    assert!(upper.exists());
    assert!(peer.is_current("g"));
    assert!(!peer.try_foreign("f", Mode::Exclusive));
    peer.drop_guard("g");
    assert!(peer.try_foreign("f", Mode::Exclusive));
    assert_eq!(peer.refuses(TryAcquire("a")).kind, WouldBlock);
    Ok(())
}

fn which(program: &str) -> io::Result<PathBuf> {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output()?;
    Ok(String::from_utf8_lossy(&found.stdout).trim().into())
}
