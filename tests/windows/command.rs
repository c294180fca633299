//! The command on Windows, where the system does not report lock holders:
//! - `locket status` says that the holders are unknown, and not that the lock is free;
//! - `locket wait` and a refused `locket run` report a holder without a name.

use std::path::Path;

use crate::support::{Outcome, PATIENCE, Scratch};

/// Runs locket. Returns the exit code and the output, standard error included.
fn locket(arguments: &[&str], path: &Path) -> Result<(Option<i32>, String), std::io::Error> {
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_locket-command"));
    let output = command.args(arguments).arg(path).timeout(PATIENCE).output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8_lossy(&said).into_owned()))
}

#[test]
fn l12_status_does_not_guess() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let (code, said) = locket(&["status"], &path)?;
    assert_eq!(code, Some(71), "{said}");
    assert!(said.contains("lock holders are not available on this platform"), "{said}");
    assert!(!path.exists());
    Ok(())
}

#[test]
fn wait_reports_whether_the_lock_is_free() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    assert_eq!(locket(&["wait", "-n"], &path)?, (Some(0), String::new()));
    assert!(!path.exists());
    let held = scratch.lock().lock()?;
    let refused = |text: &str| (Some(75), format!("locket: {}{text}\n", path.display()));
    assert_eq!(locket(&["wait", "-n"], &path)?, refused(" is held by another process"));
    let late = refused(" was not free within 150ms: held by another process");
    assert_eq!(locket(&["wait", "-w", "150ms"], &path)?, late);
    held.release()?;
    assert_eq!(locket(&["wait"], &path)?, (Some(0), String::new()));
    Ok(())
}
