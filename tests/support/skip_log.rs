//! What the programs of one test run have skipped. They are separate processes, so they write it to a file that
//! the last of them, `summary.rs`, reads and removes.

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;

/// A test that starts its own program again names the log of the run in this variable.
pub(crate) const VARIABLE: &str = "LOCKET_SKIP_LOG";

#[derive(Clone, Debug)]
pub(crate) struct SkipLog(pub(crate) PathBuf);

impl SkipLog {
    /// Returns the log of the run that this process belongs to: of the process that has started it, which is
    /// `cargo test`. `None` where the system does not tell which process that is.
    pub(crate) fn of_this_run() -> Option<Self> {
        if let Some(path) = env::var_os(VARIABLE) {
            return Some(Self(path.into()));
        }
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("skipped");
        Some(Self(directory.join(parent()?)))
    }

    /// Adds a check, and what it needs and did not find.
    pub(crate) fn add(&self, check: &str, lacking: &str) -> io::Result<()> {
        self.0.parent().map_or(Ok(()), fs::create_dir_all)?;
        let mut file = OpenOptions::new().create(true).append(true).open(&self.0)?;
        // One write: programs that run at the same time do not tear each other's lines.
        file.write_all(format!("{lacking}\t{check}\n").as_bytes())
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

/// `3 checks skipped: root, strace`. A check that was skipped twice counts once.
fn summary(text: &str) -> String {
    let records: BTreeSet<(&str, &str)> =
        text.lines().filter_map(|line| line.split_once('\t')).collect();
    let lacking: BTreeSet<&str> = records.iter().map(|(lacking, _)| *lacking).collect();
    let checks: BTreeSet<&str> = records.iter().map(|(_, check)| *check).collect();
    match checks.len() {
        0 => "0 checks skipped".into(),
        1 => format!("1 check skipped: {}", list(&lacking)),
        count => format!("{count} checks skipped: {}", list(&lacking)),
    }
}

fn list(words: &BTreeSet<&str>) -> String {
    words.iter().copied().collect::<Vec<_>>().join(", ")
}

/// Returns a name of the process that has started this one. Its number alone will not do: numbers are used again.
#[cfg(unix)]
fn parent() -> Option<String> {
    let pid = std::os::unix::process::parent_id();
    // proc_pid_stat(5): field 22, counted from the parenthesis that ends the second. Where there is no /proc, the
    // number has to do.
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
