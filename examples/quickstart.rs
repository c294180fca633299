//! Two ways to hold a lock. Run it twice at the same time: the second process waits for the first.
//!
//! ```sh
//! cargo run --example quickstart & cargo run --example quickstart; wait
//! ```
//!
//! The environment variable `LOCKET_EXAMPLE_PATH` names another lock file than `./my_app.lock`.

use std::env;
use std::process::{self, ExitCode};
use std::thread;
use std::time::Duration;

use locket::{LockError, lock_file};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), LockError> {
    let path = env::var_os("LOCKET_EXAMPLE_PATH").unwrap_or_else(|| "./my_app.lock".into());

    // In Python: with locket.lock_file(path, timeout=5):
    //                perform_action()
    let lock = lock_file(path).timeout(Duration::from_secs(5));
    say(&format!("waiting for {}", lock.path().display()));
    {
        let _held = lock.lock()?;
        perform_action("under a guard");
    } // The guard releases the lock here, and also if perform_action panics.

    // In Python: lock.acquire()
    //            perform_action()
    //            lock.release()
    lock.acquire()?;
    perform_action("between acquire and release");
    lock.release()?;

    say("done");
    Ok(())
}

/// The critical section: no other process runs it at the same time.
fn perform_action(how: &str) {
    say(&format!("locked, {how}"));
    thread::sleep(Duration::from_millis(700));
    say("unlocking");
}

fn say(what: &str) {
    println!("[{}] {what}", process::id());
}
