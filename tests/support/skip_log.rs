//! The checks that the programs of one test run have skipped. The programs are separate processes. They write to a file
//! that the last program, `summary.rs`, reads and removes.

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;

/// The environment variable with the path of the log. A test that starts its own program again sets it.
pub(crate) const VARIABLE: &str = "LOCKET_SKIP_LOG";

#[derive(Clone, Debug)]
pub(crate) struct SkipLog(pub(crate) PathBuf);

impl SkipLog {
    /// Returns the log of this run. A run is identified by the process that started this one, which is `cargo test`.
    /// Returns `None` if the system does not tell which process that is.
    pub(crate) fn of_this_run() -> Option<Self> {
        if let Some(path) = env::var_os(VARIABLE) {
            return Some(Self(path.into()));
        }
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("skipped");
        Some(Self(directory.join(parent()?)))
    }

    /// Adds a skipped check and the requirement that was missing.
    pub(crate) fn add(&self, check: &str, missing: &str) -> io::Result<()> {
        self.0.parent().map_or(Ok(()), fs::create_dir_all)?;
        let mut file = OpenOptions::new().create(true).append(true).open(&self.0)?;
        // One write for each line: programs that run at the same time must not mix their lines.
        file.write_all(format!("{missing}\t{check}\n").as_bytes())
    }

    /// Returns the summary of the run, and removes the log.
    pub(crate) fn take(&self) -> io::Result<String> {
        let text = match fs::read_to_string(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            text => text?,
        };
        if !text.is_empty() {
            fs::remove_file(&self.0)?;
        }
        Ok(summary(&text))
    }
}

/// Returns a summary such as `3 checks skipped: root, strace`. A check that was skipped twice counts once.
fn summary(text: &str) -> String {
    let records: BTreeSet<(&str, &str)> =
        text.lines().filter_map(|line| line.split_once('\t')).collect();
    let missing: BTreeSet<&str> = records.iter().map(|(missing, _)| *missing).collect();
    let checks: BTreeSet<&str> = records.iter().map(|(_, check)| *check).collect();
    match checks.len() {
        0 => "0 checks skipped".into(),
        1 => format!("1 check skipped: {}", list(&missing)),
        count => format!("{count} checks skipped: {}", list(&missing)),
    }
}

fn list(words: &BTreeSet<&str>) -> String {
    words.iter().copied().collect::<Vec<_>>().join(", ")
}

/// Returns a name for the process that started this one. The process id alone is not unique: the system reuses ids.
#[cfg(unix)]
fn parent() -> Option<String> {
    let pid = std::os::unix::process::parent_id();
    // The start time is field 22 (proc_pid_stat(5)), counted from the parenthesis that ends field 2. Without /proc the
    // name is the process id alone.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let started = match stat.rsplit_once(')') {
        Some((_, fields)) => fields.split_whitespace().nth(19)?,
        None => "",
    };
    Some(format!("{pid}-{started}"))
}

#[cfg(not(unix))]
fn parent() -> Option<String> {
    None
}
