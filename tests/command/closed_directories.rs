//! A lock file that can be reached by a relative path only, because a directory above it is closed to the user (L10):
//! - `status` reports it, as text and as JSON;
//! - a nested `run` or `wait` notices the inherited lock, and does not wait for itself;
//! - `wait` and `lock` work as elsewhere.

use serde_json::Value;

use crate::lock_file::{LockFile, answer, said};
use crate::support::{PATIENCE, is_container, is_root, skip};

/// Runs a script as another user in a directory whose parent that user may not search. `sudo` can leave a user there. `$0` is
/// a copy of locket, because the directory of the original may be closed too.
#[track_caller]
fn run(lock: &LockFile, script: &str) -> assert_cmd::assert::Assert {
    let make = r#"[ -e closed ] || { mkdir -p closed/open && chmod 777 . closed/open &&
        chmod 700 closed && cp "$L" locket; }"#;
    lock.sh(make).code(0);
    let enter = r#"cd closed/open && exec timeout -k 1 "$0" setpriv --reuid=1234 --regid=1234 \
        --clear-groups sh -c "$1""#;
    let script = script.replace("$0", &lock.beside("locket"));
    let limit = PATIENCE.as_secs().to_string();
    lock.command("sh", &["-c", enter, &limit, &script]).assert()
}

fn may_run(check: &str) -> bool {
    if !is_root() {
        skip(check, "root: no other user may become another user");
    }
    is_root()
}

#[test]
fn l10_commands_work_below_a_closed_directory() {
    if !may_run("l10_commands_work_below_a_closed_directory") {
        return;
    }
    let itself = "is held by this process itself, through its inherited descriptor";
    let free = if is_container() { 71 } else { 1 };
    let lock = LockFile::new();
    // By its absolute path it cannot be reached.
    let absolute = format!("$0 status {}", lock.beside("closed/open/a.lock"));
    for (script, code, expected) in [
        (&absolute[..], 66, "cannot query"),
        ("$0 status a.lock", 1, "a.lock: free (no such file)"),
        ("$0 wait a.lock", 0, ""),
        ("$0 run a.lock $0 status a.lock", 0, "a.lock: held"),
        ("$0 status ./a.lock", free, "./a.lock: free"),
        // An inherited lock is not waited for.
        ("$0 run a.lock $0 run a.lock true", 75, itself),
        ("$0 run a.lock $0 run -w 1h ./a.lock true", 75, itself),
        ("$0 run -s a.lock $0 run a.lock true", 75, itself),
        ("$0 run a.lock $0 wait a.lock", 75, itself),
        // The script locks a descriptor of its own, which the inherited one excludes.
        ("$0 run a.lock sh -c 'exec 5<a.lock; $0 lock 5'", 75, itself),
        ("$0 run -s a.lock $0 run -s a.lock true", 0, ""),
        (": >a.lock; $0 wait a.lock", 0, ""),
        ("$0 run -o a.lock $0 wait -n a.lock", 75, "a.lock is held by"),
        // The file is deleted while the lock on it is held.
        ("$0 run -o a.lock sh -c '{ sleep 1; rm a.lock; } & $0 wait -q a.lock'", 0, ""),
    ] {
        let run = run(&lock, script);
        let text = answer(&run) + &said(&run);
        assert_eq!(run.get_output().status.code(), Some(code), "{script}: {text}");
        assert!(
            text.contains(expected) && text.is_empty() == expected.is_empty(),
            "{script}: {text}"
        );
    }
    let json = answer(&run(&lock, "$0 run a.lock $0 status --json a.lock"));
    let json: Value = serde_json::from_str(&json).expect("it is JSON");
    let lock = &json["locks"][0];
    assert_eq!((&lock["state"], &lock["exists"]), (&"held".into(), &true.into()), "{json}");
    assert!(lock["held"].as_array().is_some_and(|holders| !holders.is_empty()), "{json}");
}
