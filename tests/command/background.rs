//! - A process that the command leaves running in the background keeps the lock, as under flock(1), but not with `-o`.
//! - The redirections of a script do not touch the lock, because descriptors 0 to 9 are left to the script.

use crate::running::{Running, is_free, is_there};
use crate::support::{Scratch, until};

/// Leaves a process running that reads the command's input, and prints its process id.
const LEAVE: &str = "exec 9<&0; cat <&9 >/dev/null & echo $!";

/// Runs such a command to its end. Returns it, and the process that it left running.
#[track_caller]
fn leave(options: &[&str], scratch: &Scratch) -> (Running, u32) {
    let path = scratch.lock_path();
    let path = path.to_str().expect("it should be UTF-8");
    let mut run = Running::locket([options, &[path, "--", "sh", "-c", LEAVE]].concat());
    let left = run.line().parse().expect("it is a number");
    assert_eq!(run.wait().code(), Some(0));
    assert!(is_there(left));
    (run, left)
}

#[test]
fn a_process_left_running_keeps_the_lock() {
    let scratch = Scratch::new();
    let (mut run, _left) = leave(&[], &scratch);
    assert!(!is_free(&scratch.lock_path()));
    run.hang_up();
    until("the lock is free", || is_free(&scratch.lock_path()));
}

#[test]
fn with_close_a_process_left_running_does_not_keep_the_lock() {
    let scratch = Scratch::new();
    let (_run, left) = leave(&["-o"], &scratch);
    assert!(is_free(&scratch.lock_path()));
    assert!(is_there(left));
}

/// Redirects each descriptor that a shell's redirections can name.
#[test]
fn redirections_of_a_script_do_not_touch_the_lock() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let redirect = "for n in 3 4 5 6 7 8 9; do eval \"exec $n</dev/null\"; done; echo; read _";
    let holder =
        Running::locket([path.as_os_str(), "sh".as_ref(), "-c".as_ref(), redirect.as_ref()]);
    holder.line();
    assert!(!is_free(&path));
    holder.end();
    assert!(is_free(&path));
}
