//! Who holds a lock, where the system's table of locks is ambiguous or does not tell all.
//!
//! - L12: nobody is named who does not hold that very file's lock: not on other file systems whose
//!   numbers are the same, not on subvolumes of btrfs and layers of overlayfs. What a container or
//!   `/proc` hides is told as unknown, and not as nobody.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Outcome, Peer, Scratch, has_mounted_root, skip, until, word};
use locket::lock_file;

/// A world with mounts of its own, and perhaps more than that; peers live in it as long as the
/// first of them does.
struct World(Peer);

impl World {
    /// `$0` in the script is the directory. `None`, and the check is to be skipped, if the world
    /// cannot be made here.
    #[track_caller]
    fn new(check: &str, unshared: &str, directory: &Path, script: &str) -> Option<Self> {
        let directory = directory.to_str().expect("it is text");
        let script = format!("set -e; {script}; shift; exec \"$@\"");
        let wrapper = ["unshare", "-m", unshared, "sh", "-c", &script, directory, "--"];
        let wrapper: Vec<_> = wrapper.into_iter().filter(|word| !word.is_empty()).collect();
        let tried = Command::new(wrapper[0]).args(&wrapper[1..]).arg("true").output();
        if !tried.as_ref().is_ok_and(|output| output.status.success()) {
            skip(check, &format!("mounts or namespaces: cannot be made here: {tried:?}"));
            return None;
        }
        Some(Self(Peer::under(&wrapper)))
    }

    #[track_caller]
    fn peer(&self) -> Peer {
        // The root too: setns(2) goes to the root of the mount namespace, which is another one if
        // the tests run in a chroot.
        Peer::under(&["nsenter", "-m", "-r", "-t", &self.0.pid().to_string()])
    }

    /// One that may not look into other users' processes.
    #[track_caller]
    fn stranger(&self) -> Peer {
        let mut peer = self.peer();
        peer.ok("become 1234");
        peer
    }

    /// Device and inode, as `stat` has them there.
    #[track_caller]
    fn stat(&self, path: &Path) -> (u64, u64) {
        let path = format!("/proc/{}/root/{}", self.0.pid(), path.display());
        let stat = fs::metadata(path).expect("the file should be there");
        (stat.dev(), stat.ino())
    }
}

/// What a peer is told of a file's lock.
#[track_caller]
fn asked(peer: &mut Peer, path: &Path) -> String {
    peer.handle("asked", path, "");
    let told = peer.ok("holders asked");
    peer.ok("drop_handle asked");
    told
}

fn exclusive(holder: &Peer) -> String {
    format!("exclusive pid {} (locket-peer) <- none", holder.pid())
}

/// The process may not be looked into: it may have the number of one that took the lock and has ended.
fn taken_by(holder: &Peer) -> String {
    format!("exclusive an unknown process (taken by pid {}) <- none", holder.pid())
}

const NOBODY: &str = "none <- none";
const UNKNOWN: &str = "exclusive an unknown process <- none";

/// The numbers are the files' own: a stranger is told which process took the lock, without a look into it.
#[track_caller]
fn told_to_all(check: &str, make: &str) {
    let scratch = Scratch::sticky();
    let script = format!("{make}; touch $0/test.lock; chmod 1777 $0");
    let Some(world) = World::new(check, "", scratch.path(), &script) else { return };
    let path = scratch.lock_path();
    let (mut holder, mut waiter) = (world.peer(), world.peer());
    holder.handle("a", &path, "");
    waiter.handle("a", &path, "timeout=1000 query_status");
    assert_eq!(asked(&mut waiter, &path), NOBODY);
    holder.ok("acquire a");
    assert_eq!(asked(&mut waiter, &path), exclusive(&holder));
    assert_eq!(asked(&mut world.stranger(), &path), taken_by(&holder));
    let message = waiter.refused_by_name("acquire a").message;
    let end = format!(": held by pid {} (locket-peer)", holder.pid());
    assert!(message.ends_with(&end), "{message}");
}

#[test]
fn l12_tmpfs() {
    told_to_all("l12_tmpfs", "mount -t tmpfs none $0");
}

#[test]
fn l12_ext4() {
    let make = "rm -f $0/image; truncate -s 16M $0/image; mkfs.ext4 -q $0/image; \
                mount -o loop $0/image $0";
    told_to_all("l12_ext4", make);
}

#[test]
fn l12_xfs() {
    let make = "rm -f $0/image; truncate -s 320M $0/image; mkfs.xfs -q $0/image; \
                mount -o loop $0/image $0";
    told_to_all("l12_xfs", make);
}

/// All layers on one file system.
#[test]
fn l12_overlayfs() {
    let make = "mount -t tmpfs none $0; mkdir $0/lower $0/upper $0/work; \
                mount -t overlay -o lowerdir=$0/lower,upperdir=$0/upper,workdir=$0/work none $0";
    told_to_all("l12_overlayfs", make);
}

/// Two files that the table cannot tell apart, each locked and asked for.
#[track_caller]
fn told_apart(world: &World, [one, other]: [&Path; 2]) {
    let (mut holder, mut asker) = (world.peer(), world.peer());
    let mut stranger = world.stranger();
    holder.handle("one", one, "");
    assert_eq!(asked(&mut asker, one), NOBODY);

    holder.ok("lock one g");
    assert_eq!(asked(&mut asker, one), exclusive(&holder));
    assert_eq!(asked(&mut asker, other), NOBODY);
    // Who may not look does not guess.
    assert_eq!(asked(&mut stranger, one), UNKNOWN);
    assert_eq!(asked(&mut stranger, other), UNKNOWN);
    // Nor for which of them somebody waits, though it may be seen who does.
    let mut waiter = world.peer();
    waiter.handle("one", one, "timeout=600000");
    waiter.start_waiting("w", "lock one g", &world_path(world, one));
    let waiting = UNKNOWN.replace("nobody", "exclusive an unknown process");
    assert_eq!(asked(&mut stranger, one), waiting);
    assert_eq!(asked(&mut stranger, other), waiting);
    holder.ok("drop_guard g");
    waiter.wait_ok("w");
    waiter.ok("drop_guard g");
    holder.ok("lock one g");

    let mut second = world.peer();
    second.handle("other", other, "");
    second.ok("lock other g");
    waiter.handle("other", other, "timeout=600000");
    waiter.start_waiting("w", "lock other g", &world_path(world, other));
    assert_eq!(asked(&mut asker, one), exclusive(&holder));
    let waiting =
        exclusive(&second).replace("nobody", exclusive(&waiter).trim_end_matches(" <- none"));
    assert_eq!(asked(&mut asker, other), waiting);
    asker.handle("hasty", other, "timeout=1000 query_status");
    let message = asker.refused_by_name("lock hasty g").message;
    let end = format!(": held by pid {} (locket-peer)", second.pid());
    assert!(message.ends_with(&end), "{message}");
    second.ok("drop_guard g");
    waiter.wait_ok("w");

    // One process holds both.
    waiter.ok("drop_guard g");
    holder.handle("other", other, "");
    holder.ok("lock other h");
    assert_eq!(asked(&mut asker, one), exclusive(&holder));
    assert_eq!(asked(&mut asker, other), exclusive(&holder));
}

/// A child has both, since its parent closed them.
#[track_caller]
fn told_apart_as_a_child_s(world: &World, files: [&Path; 2]) {
    let mut parent = world.peer();
    for (name, path) in ["one", "other"].into_iter().zip(files) {
        parent.ok(&format!("open_foreign {name} {}", word(path)));
        parent.ok(&format!("lock_foreign {name} exclusive"));
    }
    let child = parent.ok("fork c");
    parent.ok("close_foreign one");
    parent.ok("close_foreign other");
    for path in files {
        let told = format!("exclusive pid {child} (locket-peer) <- none");
        assert_eq!(asked(&mut world.peer(), path), told);
    }
}

/// A path into the world, from outside.
fn world_path(world: &World, path: &Path) -> PathBuf {
    format!("/proc/{}/root{}", world.0.pid(), path.display()).into()
}

const SUBVOLUMES: &str = "rm -f $0/image; truncate -s 150M $0/image; \
    mkfs.btrfs -q $0/image >/dev/null 2>&1; mount -o loop $0/image $0; \
    for volume in $0/one $0/other; do \
    btrfs subvolume create $volume >/dev/null; touch $volume/test.lock; done";

/// Subvolumes number their files by themselves, and the table shows one device for all of them.
#[test]
fn l12_subvolumes_of_btrfs() {
    let scratch = Scratch::sticky();
    let check = "l12_subvolumes_of_btrfs";
    let Some(world) = World::new(check, "", scratch.path(), SUBVOLUMES) else { return };
    let files = ["one/test.lock", "other/test.lock"].map(|name| scratch.join(name));
    let [one, other] = [&files[0], &files[1]].map(|path| world.stat(path));
    assert!(one.1 == other.1 && one.0 != other.0, "the files are unlike: this checks nothing");
    told_apart(&world, [&files[0], &files[1]]);
    told_apart_as_a_child_s(&world, [&files[0], &files[1]]);
}

/// Layers on two file systems, whose inodes have the same numbers.
#[test]
fn l12_layers_of_overlayfs() {
    let scratch = Scratch::sticky();
    let script = "mount -t tmpfs none $0; \
                  for layer in one other; do mkdir $0/$layer; mount -t tmpfs none $0/$layer; \
                  touch $0/$layer/$layer.lock; done; mkdir $0/merged; \
                  mount -t overlay -o xino=off,lowerdir=$0/one:$0/other none $0/merged";
    let check = "l12_layers_of_overlayfs";
    let Some(world) = World::new(check, "", scratch.path(), script) else { return };
    let files = ["merged/one.lock", "merged/other.lock"].map(|name| scratch.join(name));
    let [one, other] = [&files[0], &files[1]].map(|path| world.stat(path));
    assert!(one.1 == other.1 && one.0 != other.0, "the files are unlike: this checks nothing");
    told_apart(&world, [&files[0], &files[1]]);
    // The layer's own file is another one.
    let mut below = world.peer();
    below.handle("a", scratch.join("one/one.lock"), "");
    below.ok("acquire a");
    assert_eq!(asked(&mut world.peer(), &files[0]), NOBODY);
    assert_eq!(asked(&mut world.stranger(), &scratch.join("one/one.lock")), taken_by(&below));
}

/// The same inode number on two file systems, which the table tells apart by their devices.
#[test]
fn l12_the_same_number_elsewhere() {
    let scratch = Scratch::sticky();
    let script = "for dir in $0/one $0/other; do mkdir $dir; mount -t tmpfs none $dir; \
                  touch $dir/test.lock; done";
    let check = "l12_the_same_number_elsewhere";
    let script = format!("mount -t tmpfs none $0; {script}");
    let Some(world) = World::new(check, "", scratch.path(), &script) else { return };
    let files = ["one/test.lock", "other/test.lock"].map(|name| scratch.join(name));
    assert_eq!(world.stat(&files[0]).1, world.stat(&files[1]).1, "this checks nothing");
    let mut holder = world.peer();
    holder.handle("a", &files[0], "");
    holder.ok("acquire a");
    for (asker, told) in
        [(&mut world.peer(), exclusive(&holder)), (&mut world.stranger(), taken_by(&holder))]
    {
        assert_eq!(asked(asker, &files[0]), told);
        assert_eq!(asked(asker, &files[1]), NOBODY);
    }
}

const CONTAINER: &str = "-pf";
const PROC: &str = "mount -t proc proc /proc";

#[test]
fn l12_a_holder_outside_of_the_container() -> Outcome {
    let check = "l12_a_holder_outside_of_the_container";
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let Some(World(mut inside)) = World::new(check, CONTAINER, scratch.path(), PROC) else {
        return Ok(());
    };
    assert_eq!(inside.pid(), 1, "it is no container: this checks nothing");
    let mut outside = Peer::with_handle("a", &path, "timeout=600000");
    outside.ok("lock a g");
    inside.handle("a", &path, "timeout=1000 query_status");
    let message = inside.refused_by_name("acquire a").message;
    assert!(message.ends_with(": held by another process"), "{message}");
    assert_eq!(inside.ok("observe a"), "a process outside this container <- none");
    // A table without a word is no proof that there is a holder.
    assert_eq!(inside.ok("status a"), NOBODY);
    outside.ok("drop_guard g");

    inside.ok("lock a g");
    assert_eq!(inside.ok("status a"), "exclusive this process (pid 1) <- none");
    let told = lock_file(&path).status()?.to_string();
    assert!(told.ends_with(" (locket-peer)") && !told.starts_with("pid 1 "), "{told}");
    outside.start_waiting("w", "lock a g", &path);
    let waiting = "exclusive a process outside this container";
    let told = format!("exclusive this process (pid 1) <- {waiting}");
    assert_eq!(inside.ok("status a"), told);
    inside.ok("drop_guard g");
    outside.wait_ok("w");
    Ok(())
}

/// The table of a container leaves out what was taken by a process that has ended.
#[test]
fn l12_heirs_inside_of_the_container() {
    let check = "l12_heirs_inside_of_the_container";
    let scratch = Scratch::new();
    let script = format!(
        "{PROC}; exec 9>$0/test.lock; flock 9; sleep 60 </dev/null >/dev/null 2>&1 & exec 9>&-"
    );
    let Some(World(mut inside)) = World::new(check, CONTAINER, scratch.path(), &script) else {
        return;
    };
    inside.handle("a", scratch.lock_path(), "timeout=1000 query_status");
    // The child of the shell has the shell's name until it becomes sleep.
    until("sleep has the lock", || {
        let told = inside.ok("status a");
        told.starts_with("exclusive pid ") && told.ends_with(" (sleep) <- none")
    });
    let message = inside.refused_by_name("acquire a").message;
    let (_, told) = message.rsplit_once(": ").expect("somebody holds it");
    assert!(told.starts_with("held by pid ") && told.ends_with(" (sleep)"), "{message}");
}

/// A container that sees its host's `/proc` has other numbers there.
#[test]
fn l12_numbers_are_those_of_proc() {
    let check = "l12_numbers_are_those_of_proc";
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let Some(World(mut inside)) = World::new(check, CONTAINER, scratch.path(), ":") else { return };
    let mut outside = Peer::with_handle("a", &path, "");
    outside.ok("lock a g");
    assert_eq!(asked(&mut inside, &path), exclusive(&outside));
    outside.ok("drop_guard g");
    inside.handle("a", &path, "");
    inside.ok("lock a g");
    let told = inside.ok("status a");
    let start = "exclusive this process (pid ";
    assert!(told.starts_with(start) && !told.starts_with(&format!("{start}1)")), "{told}");
}

#[test]
fn l12_processes_that_are_hidden() {
    let check = "l12_processes_that_are_hidden";
    if !has_mounted_root(check) {
        return;
    }
    let scratch = Scratch::sticky();
    let path = scratch.lock_path();
    let script = "mount -t proc -o hidepid=2 proc /proc";
    let Some(world) = World::new(check, "", scratch.path(), script) else { return };
    let mut holder = world.peer();
    holder.handle("a", &path, "");
    holder.ok("acquire a");
    let mut stranger = world.stranger();
    assert_eq!(asked(&mut stranger, &path), taken_by(&holder));
    stranger.handle("a", &path, "timeout=1000 query_status");
    let message = stranger.refused_by_name("acquire a").message;
    assert!(message.ends_with(": held by another process"), "{message}");
}

#[test]
fn l12_without_proc_nobody_is_known() {
    let check = "l12_without_proc_nobody_is_known";
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let script = "mount -t tmpfs none /proc";
    let Some(World(mut peer)) = World::new(check, "", scratch.path(), script) else { return };
    let mut holder = Peer::spawn();
    holder.ok(&format!("open_foreign f {}", word(&path)));
    holder.ok("lock_foreign f exclusive");
    peer.handle("a", &path, "timeout=1000 query_status");
    let message = peer.refused_by_name("acquire a").message;
    assert!(message.ends_with(": held by another process"), "{message}");
    assert_eq!(peer.ok("observe a"), "an unknown process <- none");
    let refusal = peer.refused("status a");
    assert_eq!(refusal.class, "ask");
    let start = format!("cannot look up the holders of {}: /proc/", path.display());
    assert!(refusal.message.starts_with(&start), "{refusal:?}");
}

/// Files that the table cannot tell apart are two locks all the same.
#[test]
fn l12_all_locks_of_subvolumes() -> Outcome {
    let check = "l12_all_locks_of_subvolumes";
    if !has_mounted_root(check) {
        return Ok(());
    }
    let scratch = Scratch::new();
    let Some(world) = World::new(check, "", scratch.path(), SUBVOLUMES) else { return Ok(()) };
    let files = ["one/test.lock", "other/test.lock"].map(|name| scratch.join(name));
    let mut holders = [world.peer(), world.peer()];
    for (holder, file) in holders.iter_mut().zip(&files) {
        holder.handle("a", file, "");
        holder.ok("acquire a");
    }
    let pids = holders.each_ref().map(Peer::pid);
    assert_listed(&files, pids)?;

    // One process holds both.
    let [one, other] = &mut holders;
    other.ok("release a");
    one.handle("b", &files[1], "");
    one.ok("acquire b");
    assert_listed(&files, [one.pid(); 2])
}

/// Each file is listed once, with its holder.
#[track_caller]
fn assert_listed(files: &[PathBuf], pids: [u32; 2]) -> Outcome {
    let locks = locket::system_locks()?;
    for (file, pid) in files.iter().zip(pids) {
        let of: Vec<_> = locks.iter().filter(|it| it.path.as_ref() == Some(file)).collect();
        let [lock] = of[..] else { panic!("one lock of {}: {of:?}", file.display()) };
        assert!(!lock.deleted);
        assert_eq!(lock.status.to_string(), format!("pid {pid} (locket-peer)"));
    }
    Ok(())
}
