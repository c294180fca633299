//! Runs a thread whose system calls the test sees before the kernel makes them. The test lets a call pass or answers
//! instead of the kernel. It uses seccomp notifications (`seccomp_unotify(2)`), so other threads are not affected.
#![allow(unsafe_code)]

use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::mpsc::{self, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use libc::{c_int, c_long, c_ulong};

use super::signals;
use super::support::PATIENCE;

/// A system call that the thread is about to make.
pub(crate) struct Call {
    pub(crate) number: c_long,
    pub(crate) arguments: [u64; 6],
    /// The thread that makes it.
    pub(crate) tid: c_int,
}

/// The file system types that `statfs` reports for a Windows share: one for SMB1 and one for SMB2 and later.
pub(crate) const WINDOWS_SHARES: [u32; 2] = [0xff53_4d42, 0xfe53_4d42];

/// When a timer fires.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timer {
    pub(crate) first: Duration,
    pub(crate) again: Duration,
}

#[derive(Clone, Copy)]
pub(crate) enum Answer {
    /// The kernel makes the call.
    Pass,
    /// The call is not made and fails with this error number.
    Fail(c_int),
    /// The call is not made and returns 0.
    Succeed,
}

impl Call {
    pub(crate) fn is(&self, number: c_long) -> bool {
        self.number == number
    }

    /// Returns whether the call is `flock` for the lock without waiting.
    pub(crate) fn is_try(&self) -> bool {
        self.is_flock(libc::LOCK_EX | libc::LOCK_NB)
    }

    /// Returns whether the call is `flock` for the lock with waiting.
    pub(crate) fn is_wait(&self) -> bool {
        self.is_flock(libc::LOCK_EX)
    }

    pub(crate) fn is_flock(&self, operation: c_int) -> bool {
        self.is(libc::SYS_flock) && self.arguments[1] == u64::from(operation.unsigned_abs())
    }

    /// Returns the schedule that is passed to `timer_settime`.
    pub(crate) fn timer(&self) -> Timer {
        assert!(self.is(libc::SYS_timer_settime));
        let duration = |time: libc::timespec| {
            let seconds = time.tv_sec.try_into().expect("a time is not negative");
            Duration::new(seconds, time.tv_nsec.try_into().expect("nanoseconds are under a second"))
        };
        let schedule = self.arguments[2] as *const libc::itimerspec;
        // SAFETY: the calling thread belongs to this process and waits for the answer. So the structure that it
        // passes to the kernel exists, and no thread changes it.
        let schedule = unsafe { schedule.read() };
        Timer { first: duration(schedule.it_value), again: duration(schedule.it_interval) }
    }

    /// Answers `fstatfs` with this file system type.
    pub(crate) fn succeed_with(&self, file_system: u32) -> Answer {
        assert!(self.is(libc::SYS_fstatfs));
        let stat = self.arguments[1] as *mut libc::statfs;
        // SAFETY: the calling thread belongs to this process and waits for the answer. So its buffer exists, and no
        // other thread writes to it.
        unsafe {
            stat.write(mem::zeroed());
            (*stat).f_type = file_system.into();
        }
        Answer::Succeed
    }
}

/// Runs `body` in a new thread. Calls `answer` for each of the listed system calls that the thread makes.
#[track_caller]
pub(crate) fn probe<T: Send + 'static>(
    calls: &[c_long],
    mut answer: impl FnMut(&Call) -> Answer,
    body: impl FnOnce() -> T + Send + 'static,
) -> T {
    let calls = calls.to_vec();
    let (send_listener, listener) = mpsc::channel();
    let (send_result, result) = mpsc::channel();
    thread::spawn(move || {
        let sent = send_listener.send((watch(&calls), signals::tid()));
        sent.expect("the test waits for the listener");
        let _ = send_result.send(body());
    });
    let (listener, tid) = listener.recv_timeout(PATIENCE).expect("seccomp should notify");
    let start = Instant::now();
    loop {
        match result.try_recv() {
            Ok(value) => return value,
            Err(TryRecvError::Disconnected) => panic!("the probed thread panicked"),
            Err(TryRecvError::Empty) => assert!(start.elapsed() < PATIENCE, "the thread hangs"),
        }
        if let Some((id, call)) = next_call(&listener, tid) {
            reply(&listener, id, answer(&call));
        }
    }
}

/// Installs a filter for this thread. Returns the descriptor on which the listed calls are reported.
fn watch(calls: &[c_long]) -> OwnedFd {
    let statement = |code: u32, k: u32, jt: u8| libc::sock_filter {
        code: code.try_into().expect("a code is short"),
        jt,
        jf: 0,
        k,
    };
    let load_number = statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0);
    let mut filter = vec![load_number];
    for (index, &call) in calls.iter().enumerate() {
        let to_the_end = u8::try_from(calls.len() - index).expect("the list is short");
        let number = u32::try_from(call).expect("a call's number is small");
        filter.push(statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number, to_the_end));
    }
    filter.push(statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0));
    filter.push(statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_USER_NOTIF, 0));
    let program = libc::sock_fprog {
        len: filter.len().try_into().expect("the filter is short"),
        filter: filter.as_mut_ptr(),
    };
    // Without the second flag a signal could interrupt a call before the test has answered.
    let flags =
        libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    // SAFETY: the filter is valid during the call, and the new descriptor has no other owner. Both calls affect this
    // thread only, and the test owns it.
    unsafe {
        let answer = libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1_u64, 0_u64, 0_u64, 0_u64);
        assert_eq!(answer, 0, "PR_SET_NO_NEW_PRIVS");
        let operation = libc::SECCOMP_SET_MODE_FILTER;
        let fd = libc::syscall(libc::SYS_seccomp, operation, flags, &raw const program);
        let error = std::io::Error::last_os_error();
        assert!(fd >= 0, "seccomp's notifications (Linux 5.19) are needed: {error}");
        OwnedFd::from_raw_fd(fd.try_into().expect("a descriptor is an int"))
    }
}

fn next_call(listener: &OwnedFd, tid: c_int) -> Option<(u64, Call)> {
    let mut poll = libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: `poll` is one pollfd. A notification of all zeros is valid; the kernel requires zeros.
    unsafe {
        if libc::poll(&raw mut poll, 1, 10) != 1 || poll.revents & libc::POLLIN == 0 {
            // A thread that ends closes the filter before its result arrives.
            thread::sleep(Duration::from_micros(100));
            return None;
        }
        let mut notice: libc::seccomp_notif = mem::zeroed();
        let receive = libc::SECCOMP_IOCTL_NOTIF_RECV;
        // A signal may have interrupted the call meanwhile. Then the ioctl fails.
        (libc::ioctl(listener.as_raw_fd(), receive, &raw mut notice) == 0).then(|| {
            let data = notice.data;
            (notice.id, Call { number: data.nr.into(), arguments: data.args, tid })
        })
    }
}

fn reply(listener: &OwnedFd, id: u64, answer: Answer) {
    let (error, flags): (c_int, c_ulong) = match answer {
        Answer::Pass => (0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE),
        Answer::Fail(error) => (-error, 0),
        Answer::Succeed => (0, 0),
    };
    let flags = flags.try_into().expect("the flag is one bit");
    let mut reply = libc::seccomp_notif_resp { id, val: 0, error, flags };
    // SAFETY: the reply is initialized.
    let sent = unsafe {
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut reply)
    };
    assert_eq!(sent, 0, "{}", std::io::Error::last_os_error());
}
