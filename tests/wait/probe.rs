//! A thread whose system calls are first shown to the test, which lets them pass or answers in the
//! kernel's place: by seccomp's notifications, so that nothing but that one thread is concerned.
#![allow(unsafe_code)]

use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::mpsc::{self, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use libc::{c_int, c_long, c_ulong};

use super::signals;
use super::support::PATIENCE;

/// A system call that is about to be made.
pub(crate) struct Call {
    pub(crate) number: c_long,
    pub(crate) arguments: [u64; 6],
    /// The thread that makes it.
    pub(crate) tid: c_int,
}

/// How `statfs` calls a Windows share, by the protocol: before SMB2 and since.
pub(crate) const WINDOWS_SHARES: [u32; 2] = [0xff53_4d42, 0xfe53_4d42];

/// When a timer goes off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timer {
    pub(crate) first: Duration,
    pub(crate) again: Duration,
}

#[derive(Clone, Copy)]
pub(crate) enum Answer {
    /// Let it be made.
    Pass,
    /// It is not made, and fails with this number.
    Fail(c_int),
    /// It is not made, and succeeds.
    Succeed,
}

impl Call {
    pub(crate) fn is(&self, number: c_long) -> bool {
        self.number == number
    }

    /// `flock`, for a lock, without waiting.
    pub(crate) fn is_try(&self) -> bool {
        self.is_flock(libc::LOCK_EX | libc::LOCK_NB)
    }

    /// `flock`, for a lock, however long it takes.
    pub(crate) fn is_wait(&self) -> bool {
        self.is_flock(libc::LOCK_EX)
    }

    pub(crate) fn is_flock(&self, operation: c_int) -> bool {
        self.is(libc::SYS_flock) && self.arguments[1] == u64::from(operation.unsigned_abs())
    }

    /// What `timer_settime` is asked for.
    pub(crate) fn timer(&self) -> Timer {
        assert!(self.is(libc::SYS_timer_settime));
        let duration = |time: libc::timespec| {
            let seconds = time.tv_sec.try_into().expect("it is not negative");
            Duration::new(seconds, time.tv_nsec.try_into().expect("it is under a second"))
        };
        let schedule = self.arguments[2] as *const libc::itimerspec;
        // SAFETY: the calling thread is of this process and waits for the answer, so what it shows
        // to the kernel is there, and nobody changes it.
        let schedule = unsafe { schedule.read() };
        Timer { first: duration(schedule.it_value), again: duration(schedule.it_interval) }
    }

    /// Tells the caller of `fstatfs` that the file is on such a file system.
    pub(crate) fn succeed_with(&self, file_system: u32) -> Answer {
        assert!(self.is(libc::SYS_fstatfs));
        let stat = self.arguments[1] as *mut libc::statfs;
        // SAFETY: the calling thread is of this process and waits for the answer, so the place
        // that it has given is there to be written to, by nobody else.
        unsafe {
            stat.write(mem::zeroed());
            (*stat).f_type = file_system.into();
        }
        Answer::Succeed
    }
}

/// Runs `body` in a thread of its own and asks for an answer whenever it makes one of the calls.
#[track_caller]
pub(crate) fn probe<T: Send + 'static>(
    calls: &[c_long],
    mut answer: impl FnMut(&Call) -> Answer,
    body: impl FnOnce() -> T + Send + 'static,
) -> T {
    let calls = calls.to_vec();
    let (tell_listener, listener) = mpsc::channel();
    let (tell_result, result) = mpsc::channel();
    thread::spawn(move || {
        let told = tell_listener.send((watch(&calls), signals::tid()));
        told.expect("the test waits for it");
        let _ = tell_result.send(body());
    });
    let (listener, tid) = listener.recv_timeout(PATIENCE).expect("seccomp should notify");
    let start = Instant::now();
    loop {
        match result.try_recv() {
            Ok(value) => return value,
            Err(TryRecvError::Disconnected) => panic!("the probed thread panicked"),
            Err(TryRecvError::Empty) => assert!(start.elapsed() < PATIENCE, "it hangs"),
        }
        if let Some((id, call)) = next_call(&listener, tid) {
            reply(&listener, id, answer(&call));
        }
    }
}

/// From now on this thread's calls of these numbers are shown on the descriptor.
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
        let to_the_end = u8::try_from(calls.len() - index).expect("there are few");
        let number = u32::try_from(call).expect("a call's number is small");
        filter.push(statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number, to_the_end));
    }
    filter.push(statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0));
    filter.push(statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_USER_NOTIF, 0));
    let program = libc::sock_fprog {
        len: filter.len().try_into().expect("it is short"),
        filter: filter.as_mut_ptr(),
    };
    // Without the second flag, a signal would end a call while the test thinks about it.
    let flags =
        libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    // SAFETY: the program is valid as long as the call takes; the descriptor is ours. Both calls
    // concern this thread alone, which belongs to the test.
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
    // SAFETY: `poll` is one pollfd; all zeroes are a valid notification, as the kernel demands.
    unsafe {
        if libc::poll(&raw mut poll, 1, 10) != 1 || poll.revents & libc::POLLIN == 0 {
            // At its end the thread hangs up before its result arrives.
            thread::sleep(Duration::from_micros(100));
            return None;
        }
        let mut notice: libc::seccomp_notif = mem::zeroed();
        let receive = libc::SECCOMP_IOCTL_NOTIF_RECV;
        // A signal may have ended the call meanwhile: then there is nothing to receive.
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
    let flags = flags.try_into().expect("it is one bit");
    let mut reply = libc::seccomp_notif_resp { id, val: 0, error, flags };
    // SAFETY: the reply is initialized.
    let sent = unsafe {
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut reply)
    };
    assert_eq!(sent, 0, "{}", std::io::Error::last_os_error());
}
