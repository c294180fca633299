//! A lock file that can be reached by a relative path only, because a directory above it is closed to the user (L10):
//! - `status` reports it, as text and as JSON;
//! - a nested `run` or `wait` notices the inherited lock, and does not wait for itself;
//! - `wait` and `lock` work as elsewhere.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use serde_json::Value;

use crate::running::LOCKET;
use crate::support::{PATIENCE, Scratch, is_container, is_root, skip};

/// A directory whose parent its user may not search. `sudo` can leave a user in such a directory.
struct ClosedDirectory {
    scratch: Scratch,
    /// A copy of the program, because the directory of the original may be closed too.
    locket: String,
}

impl ClosedDirectory {
    fn new(check: &str) -> Option<Self> {
        if !is_root() {
            skip(check, "root: no other user may become another user");
            return None;
        }
        let scratch = Scratch::new();
        let open = Permissions::from_mode(0o777);
        fs::create_dir_all(scratch.join("closed/open")).expect("the directory should be writable");
        fs::set_permissions(scratch.join("closed/open"), open.clone())
            .expect("it should be possible in the test directory");
        fs::set_permissions(scratch.path(), open)
            .expect("it should be possible in the test directory");
        let locket = scratch.join("locket");
        // Another process copies it. If this process had the copy open for writing, a child that another test starts could
        // inherit that descriptor, and `execve` would fail with ETXTBSY.
        let copied = Command::new("cp").arg(LOCKET).arg(&locket).status();
        assert!(copied.is_ok_and(|status| status.success()), "there should be room");
        let closed = Permissions::from_mode(0o700);
        fs::set_permissions(scratch.join("closed"), closed)
            .expect("it should be possible in the test directory");
        Some(Self { scratch, locket: locket.display().to_string() })
    }

    /// Runs a script there as another user. `$0` is locket.
    fn run(&self, script: &str) -> Output {
        let limit = PATIENCE.as_secs().to_string();
        let directory = self.scratch.join("closed/open");
        // The directory is entered before the user changes.
        let become_user =
            ["--reuid=1234", "--regid=1234", "--clear-groups", "sh", "-c", script, &self.locket];
        let mut command = Command::new("timeout");
        command.args(["-k", "1", &limit, "setpriv"]).args(become_user).current_dir(directory);
        command.output().expect("util-linux and coreutils should be there")
    }

    #[track_caller]
    fn assert_says(&self, script: &str, said: &[&str], code: i32) {
        let output = self.run(script);
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert_eq!(output.status.code(), Some(code), "{script}: {text}");
        for it in said {
            assert!(text.contains(it), "{script}: {text}");
        }
        if said.is_empty() {
            assert_eq!(text, "", "{script}");
        }
    }
}

#[test]
fn l10_status_works_below_a_closed_directory() {
    let check = "l10_status_works_below_a_closed_directory";
    let Some(directory) = ClosedDirectory::new(check) else { return };
    // By its absolute path it cannot be reached.
    let whole = directory.scratch.join("closed/open/a.lock");
    directory.assert_says(&format!("\"$0\" status {}", whole.display()), &["cannot query"], 66);
    directory.assert_says(r#""$0" status a.lock"#, &["a.lock: free (no such file)"], 1);
    directory.assert_says(r#""$0" run a.lock "$0" status a.lock"#, &["a.lock: held"], 0);
    let free = if is_container() { 71 } else { 1 };
    directory.assert_says(r#""$0" status ./a.lock"#, &["./a.lock: free"], free);
    let output = directory.run(r#""$0" run a.lock "$0" status --json a.lock"#);
    let json: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let lock = &json["locks"][0];
    assert_eq!((&lock["state"], &lock["exists"]), (&"held".into(), &true.into()), "{json}");
    assert!(lock["held"].as_array().is_some_and(|holders| !holders.is_empty()), "{json}");
}

#[test]
fn an_inherited_lock_below_a_closed_directory_is_not_waited_for() {
    let check = "an_inherited_lock_below_a_closed_directory_is_not_waited_for";
    let Some(directory) = ClosedDirectory::new(check) else { return };
    let said = ["is held by this process itself, through its inherited descriptor"];
    directory.assert_says(r#""$0" run a.lock "$0" run a.lock true"#, &said, 75);
    directory.assert_says(r#""$0" run a.lock "$0" run -w 1h ./a.lock true"#, &said, 75);
    directory.assert_says(r#""$0" run -s a.lock "$0" run a.lock true"#, &said, 75);
    directory.assert_says(r#""$0" run a.lock "$0" wait a.lock"#, &said, 75);
    // The script locks a descriptor of its own, which the inherited one excludes.
    let script = r#""$0" run a.lock sh -c 'exec 5<a.lock; "$0" lock 5' "$0""#;
    directory.assert_says(script, &said, 75);
    directory.assert_says(r#""$0" run -s a.lock "$0" run -s a.lock true"#, &[], 0);
}

#[test]
fn wait_waits_below_a_closed_directory() {
    let check = "wait_waits_below_a_closed_directory";
    let Some(directory) = ClosedDirectory::new(check) else { return };
    directory.assert_says(r#""$0" wait a.lock"#, &[], 0);
    directory.assert_says(r#": >a.lock; "$0" wait a.lock"#, &[], 0);
    let refused = ["a.lock is held by"];
    directory.assert_says(r#""$0" run -o a.lock "$0" wait -n a.lock"#, &refused, 75);
    // The file is deleted while the lock on it is held.
    let script = r#""$0" run -o a.lock sh -c '{ sleep 1; rm a.lock; } & "$0" wait -q a.lock' "$0""#;
    directory.assert_says(script, &[], 0);
}
