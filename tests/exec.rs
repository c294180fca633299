//! - L11: descriptors are close-on-exec.
//! - L7: the lock of a killed process is free although programs that it started are still running.
#![cfg(unix)]

use crate::support::prelude::*;

#[test]
fn l11_programs_inherit_nothing() {
    let (_scratch, path, [mut other]) = peers();
    for before in [
        Acquire("a"),
        Lock("a", "g"),
        repeat(1, [Acquire("a"), Release("a")]),
        Start("w", Box::new(Acquire("a"))),
    ] {
        let mut peer = Peer::on(&path);
        if matches!(before, Start(..)) {
            other.acquire("a");
            peer.start_waiting("w", Acquire("a"), &path);
        } else {
            peer.ok(&before);
        }
        let program = peer.start_program(&["sleep", "100"]);
        #[cfg(target_os = "linux")]
        assert_eq!(descriptors_of(program, &path), 0, "{before:?}");
        peer.kill();
        other.ok(attempt(Release("a")));
        assert!(is_alive(program));
        assert!(other.finds_free("a"), "{before:?}");
        kill(program);
    }
}

#[test]
fn l11_inherit_on_exec_passes_the_lock_to_programs() {
    let (_scratch, path, [mut other, mut peer]) = peers();
    #[cfg(target_os = "linux")]
    let before = peer.descriptors();
    peer.lock("a", "g");
    peer.inherit_on_exec("g");
    #[cfg(target_os = "linux")]
    assert_eq!(peer.descriptors(), before + 1, "one descriptor that programs inherit");
    assert_eq!(peer.state("a"), HeldExclusive, "the process holds the lock until it ends");
    let program = peer.start_program(&["sleep", "100"]);
    #[cfg(target_os = "linux")]
    assert_eq!(descriptors_of(program, &path), 1);
    peer.kill();
    assert!(!other.finds_free("a"), "the program that inherited the descriptor holds the lock");
    other.start_waiting("w", Acquire("a"), &path);
    kill(program);
    other.wait_ok("w");
}

/// Counts the descriptors of the file in the program.
#[cfg(target_os = "linux")]
fn descriptors_of(pid: u32, path: &std::path::Path) -> usize {
    // Before exec the child still is a copy of the peer, with all its descriptors.
    until("the program", || {
        std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n")
    });
    let descriptors =
        std::fs::read_dir(format!("/proc/{pid}/fd")).expect("the program should be running");
    let names = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    names.filter(|name| name == path).count()
}
