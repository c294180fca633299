//! A command that prints each signal that it receives: its number, how it was sent, and its value.

#![allow(unsafe_code)]

use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::process::exit;
use std::thread;

/// Prints signals until the end of its input. On the input line `group N` it sends signal N to its process group.
pub(crate) fn tell() -> ! {
    let mut all = MaybeUninit::uninit();
    // SAFETY: the first call fills the set that the second call reads. The thread that is started below inherits the
    // mask.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), std::ptr::null_mut());
    }
    thread::spawn(obey);
    say(&format!("ready {}", std::process::id()));
    loop {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: the set is filled. The call fills `info`, which is plain memory and zeroed.
        let (number, info) =
            unsafe { (libc::sigwaitinfo(all.as_ptr(), info.as_mut_ptr()), info.assume_init()) };
        if number > 0 {
            // SAFETY: the union field is a plain number. It is zero if the signal has no value.
            let value = unsafe { info.si_value() }.sival_ptr.addr();
            say(&format!("{number} {} {value}", info.si_code));
        }
    }
}

fn obey() {
    for line in io::stdin().lines().map_while(Result::ok) {
        if let Some(number) = line.strip_prefix("group ").and_then(|it| it.parse().ok()) {
            // SAFETY: no memory is involved.
            unsafe { libc::kill(0, number) };
        }
    }
    exit(0)
}

/// Prints the line in one write.
fn say(text: &str) {
    let _ = io::stdout().write_all(format!("{text}\n").as_bytes());
}
