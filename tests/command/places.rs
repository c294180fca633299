//! A lock file that only a relative path leads to: below a directory that is closed to the user (L10).
//! - `status` tells of it, to people and as JSON;
//! - a nested `run` or `wait` sees the lock that it has inherited, and does not wait for itself;
//! - `wait` and `lock` do what they do elsewhere.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use serde_json::Value;

use crate::running::LOCKET;
use crate::support::{PATIENCE, Scratch, is_container, is_root, skip};

/// A directory of a user that may not enter the one above it, as `sudo` leaves one behind.
struct Place {
    scratch: Scratch,
    /// The command's own program is in a directory that may be closed as well.
    locket: String,
}

impl Place {
    fn new(check: &str) -> Option<Self> {
        if !is_root() {
            skip(check, "root: no other user may become another user");
            return None;
        }
        let scratch = Scratch::new();
        let open = Permissions::from_mode(0o777);
        fs::create_dir_all(scratch.join("closed/open")).expect("the directory is ours");
        fs::set_permissions(scratch.join("closed/open"), open.clone()).expect("it is ours");
        fs::set_permissions(scratch.path(), open).expect("it is ours");
        let locket = scratch.join("locket");
        // By another process: what another test starts meanwhile would have the copy open for writing (`ETXTBSY`).
        let copied = Command::new("cp").arg(LOCKET).arg(&locket).status();
        assert!(copied.is_ok_and(|status| status.success()), "there should be room");
        let closed = Permissions::from_mode(0o700);
        fs::set_permissions(scratch.join("closed"), closed).expect("it is ours");
        Some(Self { scratch, locket: locket.display().to_string() })
    }

    /// What comes of a script in which `$0` is locket, run there by another user.
    fn run(&self, script: &str) -> Output {
        let limit = PATIENCE.as_secs().to_string();
        let directory = self.scratch.join("closed/open");
        // The directory is entered before the user is another one.
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
fn l10_status_tells_of_a_lock_below_a_closed_directory() {
    let check = "l10_status_tells_of_a_lock_below_a_closed_directory";
    let Some(place) = Place::new(check) else { return };
    // The counter-proof: by its whole path it is closed.
    let whole = place.scratch.join("closed/open/a.lock");
    place.assert_says(&format!("\"$0\" status {}", whole.display()), &["cannot query"], 66);
    place.assert_says(r#""$0" status a.lock"#, &["a.lock: free (no such file)"], 1);
    place.assert_says(r#""$0" run a.lock "$0" status a.lock"#, &["a.lock: held"], 0);
    let free = if is_container() { 71 } else { 1 };
    place.assert_says(r#""$0" status ./a.lock"#, &["./a.lock: free"], free);
    let output = place.run(r#""$0" run a.lock "$0" status --json a.lock"#);
    let json: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let lock = &json["locks"][0];
    assert_eq!((&lock["state"], &lock["exists"]), (&"held".into(), &true.into()), "{json}");
    assert!(lock["held"].as_array().is_some_and(|holders| !holders.is_empty()), "{json}");
}

#[test]
fn an_inherited_lock_below_a_closed_directory_is_not_waited_for() {
    let check = "an_inherited_lock_below_a_closed_directory_is_not_waited_for";
    let Some(place) = Place::new(check) else { return };
    let said = ["is held by this process itself, through its inherited descriptor"];
    place.assert_says(r#""$0" run a.lock "$0" run a.lock true"#, &said, 75);
    place.assert_says(r#""$0" run a.lock "$0" run -w 1h ./a.lock true"#, &said, 75);
    place.assert_says(r#""$0" run -s a.lock "$0" run a.lock true"#, &said, 75);
    place.assert_says(r#""$0" run a.lock "$0" wait a.lock"#, &said, 75);
    // A descriptor of the script's own, which the inherited one keeps out.
    let script = r#""$0" run a.lock sh -c 'exec 5<a.lock; "$0" lock 5' "$0""#;
    place.assert_says(script, &said, 75);
    place.assert_says(r#""$0" run -s a.lock "$0" run -s a.lock true"#, &[], 0);
}

#[test]
fn wait_waits_below_a_closed_directory() {
    let check = "wait_waits_below_a_closed_directory";
    let Some(place) = Place::new(check) else { return };
    place.assert_says(r#""$0" wait a.lock"#, &[], 0);
    place.assert_says(r#": >a.lock; "$0" wait a.lock"#, &[], 0);
    let refused = ["a.lock is held by"];
    place.assert_says(r#""$0" run -o a.lock "$0" wait -n a.lock"#, &refused, 75);
    // Deleted, while its holder stays.
    let script = r#""$0" run -o a.lock sh -c '{ sleep 1; rm a.lock; } & "$0" wait -q a.lock' "$0""#;
    place.assert_says(script, &[], 0);
}
