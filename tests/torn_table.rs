//! L12: a table of locks that changes while it is read never makes a held lock look free.
//!
//! The kernel shows `/proc/locks` in parts of about 4 KiB. Where locks come and go, a pass over a long table misses
//! locks that are held all the time. The test reads the table once per look by itself, to see that this happens here.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use crate::support::{Outcome, PATIENCE, Peer, Scratch};

/// Locks that come and go, in two threads.
const CHURNING: usize = 600;
const LOOKS: usize = 2_000;
/// Passes of the test's own that missed the lock: so many show that the looks had something to stumble over.
const TORN: usize = 5;

/// Takes and frees its locks in an order without a pattern, and now and then frees half of them at once, as long as it is
/// to.
fn churn(files: &[File], goes_on: &AtomicBool, mut state: u64) {
    let mut held = vec![true; files.len()];
    for file in files {
        fs4::FileExt::lock(file).expect("each file has its own lock");
    }
    while goes_on.load(Ordering::Relaxed) {
        // A linear congruential generator: its upper bits are random enough.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = usize::try_from(state >> 33).unwrap_or_default() % files.len();
        let (file, is_held) = (&files[at], &mut held[at]);
        let done = if *is_held { fs4::FileExt::unlock(file) } else { fs4::FileExt::lock(file) };
        done.expect("each file has its own lock");
        *is_held = !*is_held;
        if state >> 54 == 0 {
            for (file, is_held) in files.iter().zip(&mut held).step_by(2) {
                fs4::FileExt::unlock(file).expect("the descriptor is open");
                *is_held = false;
            }
        }
    }
}

#[test]
fn l12_a_lock_that_is_held_all_the_time_is_never_free() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    // The kernel adds locks in front: the first one moves the most.
    let mut holder = Peer::with_handle("a", &path, "");
    holder.ok("acquire a");
    let entry = format!(":{} 0 EOF", fs::metadata(&path)?.ino());
    let files: Vec<File> = (0..CHURNING)
        .map(|at| File::create(scratch.join(&format!("{at}.lock"))))
        .collect::<Result<_, _>>()?;
    let goes_on = AtomicBool::new(true);
    thread::scope(|scope| {
        for (at, files) in files.chunks(CHURNING / 2).enumerate() {
            let goes_on = &goes_on;
            scope.spawn(move || churn(files, goes_on, at as u64));
        }
        let looked = look(&scratch, &entry);
        goes_on.store(false, Ordering::Relaxed);
        looked
    })
}

/// Looks at the lock again and again, and at the table itself in between.
fn look(scratch: &Scratch, entry: &str) -> Outcome {
    let (mut looks, mut torn, mut unknown) = (0, 0, 0);
    let start = Instant::now();
    while looks < LOOKS || torn < TORN {
        match scratch.lock().status()?.is_held() {
            Some(true) => {}
            Some(false) => return Err(format!("look {looks} found a held lock free").into()),
            None => unknown += 1,
        }
        torn += usize::from(!fs::read_to_string("/proc/locks")?.contains(entry));
        looks += 1;
        if start.elapsed() > PATIENCE * 5 {
            return Err(
                format!("{torn} torn passes of {looks}: too few to have shown anything").into()
            );
        }
    }
    // Where much is not known, "free" is not said either.
    println!("{looks} looks: {unknown} unknown; {torn} single passes missed the lock");
    if unknown * 20 > looks {
        Err(format!("{unknown} of {looks} looks ended without an answer").into())
    } else {
        Ok(())
    }
}
