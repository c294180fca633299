//! Holders where the system's table of locks is ambiguous or incomplete.
//!
//! - L12: the status names only processes that hold the lock of exactly this file. It does not confuse files with the same
//!   inode number on other file systems, on subvolumes of btrfs or in layers of overlayfs. A holder that a container or
//!   `/proc` hides is reported as unknown; the lock is not reported as free.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::support::has_mounted_root;
use crate::support::prelude::*;

/// A new mount namespace, and further namespaces if a test needs them. It exists while its first peer runs.
struct World(Peer);

impl World {
    /// Makes the namespaces and runs the script there, with the directory as `$0`. Skips the check and returns `None` if
    /// that is not possible here.
    #[track_caller]
    fn new(unshared: &str, directory: &Path, script: &str) -> Option<Self> {
        Peer::with_namespaces(unshared, directory, script).map(Self)
    }

    #[track_caller]
    fn peer(&self) -> Peer {
        // `-r` sets the root directory, too. setns(2) sets the root of the mount namespace, which is another directory if
        // the tests run in a chroot.
        Peer::under(&["nsenter", "-m", "-r", "-t", &self.0.pid().to_string()])
    }

    /// Starts a peer of another user. It may not inspect other users' processes.
    #[track_caller]
    fn stranger(&self) -> Peer {
        let mut peer = self.peer();
        peer.become_user(1234);
        peer
    }

    /// Asserts that `stat` reports the same inode number and different devices for the files in this namespace.
    #[track_caller]
    fn ambiguous(&self, files: [PathBuf; 2]) -> [PathBuf; 2] {
        let stat = |path| fs::metadata(world_path(self, path)).expect("the file should exist");
        let [one, other] = files.each_ref().map(|path| stat(path));
        assert!(
            one.ino() == other.ino() && one.dev() != other.dev(),
            "the numbers should be equal"
        );
        files
    }
}

/// Returns the status of a file's lock as the peer reports it.
#[track_caller]
fn status_of(peer: &mut Peer, path: &Path) -> String {
    peer.handle("query", path, &[]);
    let status = peer.status("query");
    peer.drop_handle("query");
    status
}

fn exclusive(holder: &Peer) -> String {
    format!("exclusive pid {} (locket-peer) <- none", holder.pid())
}

fn held_by(holder: &Peer) -> String {
    format!(": held by pid {} (locket-peer)", holder.pid())
}

/// The status if the process may not be inspected. The process that took the lock may have exited, and this one may have
/// got its id.
fn taken_by(holder: &Peer) -> String {
    format!("exclusive an unknown process (taken by pid {}) <- none", holder.pid())
}

const FREE: &str = "none <- none";
const UNKNOWN: &str = "exclusive an unknown process <- none";

/// Checks a file system whose inode numbers are unique in the table. Another user learns which process took the lock
/// without inspecting that process.
#[track_caller]
fn assert_reported(make: &str) {
    let scratch = Scratch::sticky();
    let script = format!("rm -f $0/image; {make}; touch $0/test.lock; chmod 1777 $0");
    let Some(world) = World::new("-m", scratch.path(), &script) else { return };
    let path = scratch.lock_path();
    let (mut holder, mut waiter) = (world.peer(), world.peer());
    holder.handle("a", &path, &[]);
    waiter.handle("a", &path, &[Timeout(1000), QueryStatus]);
    assert_eq!(status_of(&mut waiter, &path), FREE);
    holder.acquire("a");
    assert_eq!(status_of(&mut waiter, &path), exclusive(&holder));
    assert_eq!(status_of(&mut world.stranger(), &path), taken_by(&holder));
    waiter.times_out_naming(&held_by(&holder));
}

#[test]
fn l12_holders_on_each_file_system_are_named() {
    for make in [
        "mount -t tmpfs none $0",
        "truncate -s 16M $0/image; mkfs.ext4 -q $0/image; mount -o loop $0/image $0",
        "truncate -s 320M $0/image; mkfs.xfs -q $0/image; mount -o loop $0/image $0",
        // All layers are on one file system.
        "mount -t tmpfs none $0; mkdir $0/lower $0/upper $0/work; \
         mount -t overlay -o lowerdir=$0/lower,upperdir=$0/upper,workdir=$0/work none $0",
    ] {
        assert_reported(make);
    }
}

/// Checks two files that have the same entry in the table. Each is locked and queried.
#[track_caller]
fn assert_distinguished(world: &World, [one, other]: [&Path; 2]) {
    let (mut holder, mut observer) = (world.peer(), world.peer());
    let mut stranger = world.stranger();
    holder.handle("one", one, &[]);
    assert_eq!(status_of(&mut observer, one), FREE);

    holder.lock("one", "g");
    assert_eq!(status_of(&mut observer, one), exclusive(&holder));
    assert_eq!(status_of(&mut observer, other), FREE);
    // A user that may not inspect the processes cannot distinguish the files, so the holder is unknown.
    assert_eq!(status_of(&mut stranger, one), UNKNOWN);
    assert_eq!(status_of(&mut stranger, other), UNKNOWN);
    // Such a user sees a waiter, but not for which file it waits.
    let mut waiter = world.peer();
    waiter.handle("one", one, &[Timeout(600_000)]);
    waiter.start_waiting("w", Lock("one", "g"), &world_path(world, one));
    let waiting = UNKNOWN.replace("none", "exclusive an unknown process");
    assert_eq!(status_of(&mut stranger, one), waiting);
    assert_eq!(status_of(&mut stranger, other), waiting);
    holder.drop_guard("g");
    waiter.wait_ok("w");
    waiter.drop_guard("g");
    holder.lock("one", "g");

    let mut second = world.peer();
    second.handle("other", other, &[]);
    second.lock("other", "g");
    waiter.handle("other", other, &[Timeout(600_000)]);
    waiter.start_waiting("w", Lock("other", "g"), &world_path(world, other));
    assert_eq!(status_of(&mut observer, one), exclusive(&holder));
    let waiting =
        exclusive(&second).replace("none", exclusive(&waiter).trim_end_matches(" <- none"));
    assert_eq!(status_of(&mut observer, other), waiting);
    observer.handle("a", other, &[Timeout(1000), QueryStatus]);
    observer.times_out_naming(&held_by(&second));
    second.drop_guard("g");
    waiter.wait_ok("w");

    // One process holds both.
    waiter.drop_guard("g");
    holder.handle("other", other, &[]);
    holder.lock("other", "h");
    assert_eq!(status_of(&mut observer, one), exclusive(&holder));
    assert_eq!(status_of(&mut observer, other), exclusive(&holder));
}

/// The parent locks both files, forks, and closes them. Its child holds both.
#[track_caller]
fn assert_distinguished_in_child(world: &World, files: [&Path; 2]) {
    let mut parent = world.peer();
    for (name, path) in ["one", "other"].into_iter().zip(files) {
        parent.open_foreign(name, path);
        parent.lock_foreign(name, Mode::Exclusive);
    }
    let child = parent.fork("c");
    parent.close_foreign("one");
    parent.close_foreign("other");
    for path in files {
        let status = format!("exclusive pid {child} (locket-peer) <- none");
        assert_eq!(status_of(&mut world.peer(), path), status);
    }
}

/// Returns a path that leads into the namespace from outside.
fn world_path(world: &World, path: &Path) -> PathBuf {
    format!("/proc/{}/root{}", world.0.pid(), path.display()).into()
}

const SUBVOLUMES: &str = "rm -f $0/image; truncate -s 150M $0/image; \
    mkfs.btrfs -q $0/image >/dev/null 2>&1; mount -o loop $0/image $0; \
    for volume in $0/one $0/other; do \
    btrfs subvolume create $volume >/dev/null; touch $volume/test.lock; done";

/// Each subvolume numbers its files separately, and the table shows the same device for all of them.
#[test]
fn l12_subvolumes_of_btrfs_are_distinguished() {
    let scratch = Scratch::sticky();
    let Some(world) = World::new("-m", scratch.path(), SUBVOLUMES) else { return };
    let files =
        world.ambiguous(["one/test.lock", "other/test.lock"].map(|name| scratch.join(name)));
    assert_distinguished(&world, [&files[0], &files[1]]);
    assert_distinguished_in_child(&world, [&files[0], &files[1]]);
}

/// The layers are on two file systems whose inodes have the same numbers.
#[test]
fn l12_layers_of_overlayfs_are_distinguished() {
    let scratch = Scratch::sticky();
    let script = "mount -t tmpfs none $0; \
                  for layer in one other; do mkdir $0/$layer; mount -t tmpfs none $0/$layer; \
                  touch $0/$layer/$layer.lock; done; mkdir $0/merged; \
                  mount -t overlay -o xino=off,lowerdir=$0/one:$0/other none $0/merged";
    let Some(world) = World::new("-m", scratch.path(), script) else { return };
    let names = ["merged/one.lock", "merged/other.lock"];
    let files = world.ambiguous(names.map(|name| scratch.join(name)));
    assert_distinguished(&world, [&files[0], &files[1]]);
    // The file in the lower layer is another file than the merged one.
    let mut lower = world.peer();
    lower.handle("a", scratch.join("one/one.lock"), &[]);
    lower.acquire("a");
    assert_eq!(status_of(&mut world.peer(), &files[0]), FREE);
    assert_eq!(status_of(&mut world.stranger(), &scratch.join("one/one.lock")), taken_by(&lower));
}

/// Two file systems have files with the same inode number. The table shows different devices for them.
#[test]
fn l12_the_same_inode_number_on_another_file_system_is_another_lock() {
    let scratch = Scratch::sticky();
    let script = "for dir in $0/one $0/other; do mkdir $dir; mount -t tmpfs none $dir; \
                  touch $dir/test.lock; done";
    let script = format!("mount -t tmpfs none $0; {script}");
    let Some(world) = World::new("-m", scratch.path(), &script) else { return };
    let files =
        world.ambiguous(["one/test.lock", "other/test.lock"].map(|name| scratch.join(name)));
    let mut holder = world.peer();
    holder.handle("a", &files[0], &[]);
    holder.acquire("a");
    for (observer, status) in
        [(&mut world.peer(), exclusive(&holder)), (&mut world.stranger(), taken_by(&holder))]
    {
        assert_eq!(status_of(observer, &files[0]), status);
        assert_eq!(status_of(observer, &files[1]), FREE);
    }
}

const CONTAINER: &str = "-mpf";
const PROC: &str = "mount -t proc proc /proc";

#[test]
fn l12_a_holder_outside_the_container_is_reported_as_outside() -> Outcome {
    let (scratch, path) = Scratch::with_path();
    let Some(World(mut inside)) = World::new(CONTAINER, scratch.path(), PROC) else {
        return Ok(());
    };
    assert_eq!(inside.pid(), 1, "the peer should be in a new PID namespace");
    let mut outside = Peer::with(&path, &[Timeout(600_000)]);
    outside.lock("a", "g");
    inside.handle("a", &path, &[Timeout(1000), QueryStatus]);
    inside.refuses(Acquire("a")).assert_ends(": held by another process");
    assert_eq!(inside.observe("a"), "a process outside this container <- none");
    // The table shows no entry, so a query finds no holder.
    assert_eq!(inside.status("a"), FREE);
    outside.drop_guard("g");

    inside.lock("a", "g");
    assert_eq!(inside.status("a"), "exclusive this process (pid 1) <- none");
    let status = lock_file(&path).status()?.to_string();
    assert!(status.ends_with(" (locket-peer)") && !status.starts_with("pid 1 "), "{status}");
    outside.start_waiting("w", Lock("a", "g"), &path);
    let waiting = "exclusive a process outside this container";
    let status = format!("exclusive this process (pid 1) <- {waiting}");
    assert_eq!(inside.status("a"), status);
    inside.drop_guard("g");
    outside.wait_ok("w");
    Ok(())
}

/// In a container the table leaves out a lock that an exited process took. The holder is found anyway.
#[test]
fn l12_an_inherited_hold_in_a_container_is_found() {
    let scratch = Scratch::new();
    let script = format!(
        "{PROC}; exec 9>$0/test.lock; flock 9; sleep 60 </dev/null >/dev/null 2>&1 & exec 9>&-"
    );
    let Some(World(mut inside)) = World::new(CONTAINER, scratch.path(), &script) else {
        return;
    };
    inside.handle("a", scratch.lock_path(), &[Timeout(1000), QueryStatus]);
    // The child of the shell has the shell's name until it executes sleep.
    until("sleep has the lock", || {
        let status = inside.status("a");
        status.starts_with("exclusive pid ") && status.ends_with(" (sleep) <- none")
    });
    let message = inside.times_out_naming(" (sleep)");
    let (_, holder) = message.rsplit_once(": ").expect("the message has a cause");
    assert!(holder.starts_with("held by pid "), "{message}");
}

/// A container that sees its host's `/proc` has other process ids there. The status uses those of `/proc`.
#[test]
fn l12_process_ids_are_those_of_proc() {
    let (scratch, path) = Scratch::with_path();
    let Some(World(mut inside)) = World::new(CONTAINER, scratch.path(), ":") else { return };
    let mut outside = Peer::on(&path);
    outside.lock("a", "g");
    assert_eq!(status_of(&mut inside, &path), exclusive(&outside));
    outside.drop_guard("g");
    inside.handle("a", &path, &[]);
    inside.lock("a", "g");
    let status = inside.status("a");
    let start = "exclusive this process (pid ";
    assert!(status.starts_with(start) && !status.starts_with(&format!("{start}1)")), "{status}");
}

#[test]
fn l12_hidden_processes_are_not_named() {
    if !has_mounted_root() {
        return;
    }
    let scratch = Scratch::sticky();
    let path = scratch.lock_path();
    let script = "mount -t proc -o hidepid=2 proc /proc";
    let Some(world) = World::new("-m", scratch.path(), script) else { return };
    let mut holder = world.peer();
    holder.handle("a", &path, &[]);
    holder.acquire("a");
    let mut stranger = world.stranger();
    assert_eq!(status_of(&mut stranger, &path), taken_by(&holder));
    stranger.handle("a", &path, &[Timeout(1000), QueryStatus]);
    stranger.refuses(Acquire("a")).assert_ends(": held by another process");
}

#[test]
fn l12_without_proc_the_holder_is_unknown() {
    let (scratch, path) = Scratch::with_path();
    let script = "mount -t tmpfs none /proc";
    let Some(World(mut peer)) = World::new("-m", scratch.path(), script) else { return };
    let mut holder = Peer::spawn();
    holder.open_foreign("f", &path);
    holder.lock_foreign("f", Mode::Exclusive);
    peer.handle("a", &path, &[Timeout(1000), QueryStatus]);
    peer.refuses(Acquire("a")).assert_ends(": held by another process");
    assert_eq!(peer.observe("a"), "an unknown process <- none");
    let refusal = peer.refuses(Status("a"));
    assert_eq!(refusal.action, Action::Query);
    let start = format!("cannot query the holders of {}: /proc/", path.display());
    assert!(refusal.message.starts_with(&start), "{refusal:?}");
}

/// Two files that have the same entry in the table are listed as two locks.
#[test]
fn l12_system_locks_distinguishes_subvolumes() -> Outcome {
    if !has_mounted_root() {
        return Ok(());
    }
    let scratch = Scratch::new();
    let Some(world) = World::new("-m", scratch.path(), SUBVOLUMES) else { return Ok(()) };
    let files = ["one/test.lock", "other/test.lock"].map(|name| scratch.join(name));
    let mut holders = [world.peer(), world.peer()];
    for (holder, file) in holders.iter_mut().zip(&files) {
        holder.handle("a", file, &[]);
        holder.acquire("a");
    }
    let pids = holders.each_ref().map(Peer::pid);
    assert_listed(&files, pids)?;

    // One process holds both.
    let [one, other] = &mut holders;
    other.release("a");
    one.handle("b", &files[1], &[]);
    one.acquire("b");
    assert_listed(&files, [one.pid(); 2])
}

/// Asserts that each file is listed once, with its holder.
#[track_caller]
fn assert_listed(files: &[PathBuf], pids: [u32; 2]) -> Outcome {
    let locks = locket::system_locks()?;
    for (file, pid) in files.iter().zip(pids) {
        let found: Vec<_> = locks.iter().filter(|it| it.path.as_ref() == Some(file)).collect();
        let [lock] = found[..] else { panic!("not one lock of {}: {found:?}", file.display()) };
        assert!(!lock.deleted);
        assert_eq!(lock.status.to_string(), format!("pid {pid} (locket-peer)"));
    }
    Ok(())
}
