//! - L11: descriptors are close-on-exec.
//! - L7: the lock of a killed process is free, although programs that it started live.
#![cfg(unix)]

#[cfg(target_os = "linux")]
use crate::support::until;
use crate::support::{Peer, Scratch, is_alive, kill};

#[test]
fn l11_programs_inherit_nothing() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut other = Peer::with_handle("a", &path, "");
    for before in ["acquire a", "lock a g", "repeat 1 acquire a ; release a", "start w acquire a"] {
        let mut peer = Peer::with_handle("a", &path, "");
        if before.starts_with("start") {
            other.ok("acquire a");
            peer.start_waiting("w", "acquire a", &path);
        } else {
            peer.ok(before);
        }
        let program = peer.ok("spawn sleep 100");
        #[cfg(target_os = "linux")]
        assert_eq!(descriptors_of(&program, &path), 0, "{before}");
        peer.kill();
        other.ok("attempt release a");
        assert!(is_alive(&program));
        assert!(other.finds_free("a"), "{before}");
        kill(&program);
    }
}

#[test]
fn l11_unless_they_are_to() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut other = Peer::with_handle("a", &path, "");
    let mut peer = Peer::with_handle("a", &path, "");
    #[cfg(target_os = "linux")]
    let before = peer.descriptors();
    peer.ok("lock a g");
    peer.ok("inherit_on_exec_guard g");
    #[cfg(target_os = "linux")]
    assert_eq!(peer.descriptors(), before + 1, "the heirs' one");
    assert_eq!(peer.ok("state a"), "exclusive", "it is the process's for good");
    let program = peer.ok("spawn sleep 100");
    #[cfg(target_os = "linux")]
    assert_eq!(descriptors_of(&program, &path), 1);
    peer.kill();
    assert!(!other.finds_free("a"), "as long as the heir lives");
    other.start_waiting("w", "acquire a", &path);
    kill(&program);
    other.wait_ok("w");
}

/// How many descriptors of the file the program has.
#[cfg(target_os = "linux")]
fn descriptors_of(pid: &str, path: &std::path::Path) -> usize {
    // The program is there when it is no longer the peer's image: until then it has everything.
    until("the program", || {
        std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n")
    });
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it should be running");
    let names = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    names.filter(|name| name == path).count()
}
