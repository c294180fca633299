//! `locket status`: the holders and the waiters of locks, as a table or as JSON.

mod query;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anstyle::{AnsiColor, Style};
use locket::{Coverage, Owner, OwnerKind, Process};
use serde_json::{Value, json};

use crate::args::StatusOptions;
use crate::duration::HumanDuration;
use crate::escape::{escape, is_shown};
use crate::exit::{self, Failure};
use crate::output::{print, print_coloured, print_failure, print_message};
use crate::platform::{CommandLines, Platform};
use crate::processes::{in_container, is_stopped};
use crate::status::query::{QueriedLock, State};
use crate::system::System;

const HELD: Style = AnsiColor::Yellow.on_default().bold();
const UNKNOWN: Style = Style::new();
const FREE: Style = AnsiColor::Green.on_default().bold();

/// The number of characters of a command line in the table. `--json` has all of it.
const COMMAND_WIDTH_MAX: usize = 60;

type Row = [String; 6];

/// Prints the state of each lock. The failure of one file leaves the others in the answer.
pub(crate) fn status(options: &StatusOptions) -> Result<i32, Failure> {
    let mut failed = None;
    let mut locks = Vec::new();
    if options.all {
        locks = QueriedLock::all()?;
    }
    for file in &options.files {
        match QueriedLock::of_file(file) {
            Ok(lock) => locks.push(lock),
            Err(failure) => failed = failed.or(Some(print_failure(&failure))),
        }
    }
    if options.json {
        print(&json_of(&locks, &command_lines_of(&locks)))?;
    } else if !options.quiet {
        print_coloured(&table_of(&locks, &command_lines_of(&locks)))?;
    }
    if options.all && !options.quiet && in_container() {
        print_message(
            "this is a container (PID namespace): locks of processes outside of it are not listed",
        );
    }
    let code = match locks.iter().map(QueriedLock::state).max() {
        Some(State::Held) => exit::HELD,
        Some(State::Unknown) => exit::OS_ERROR,
        Some(State::Free) | None => exit::FREE,
    };
    Ok(failed.unwrap_or(code))
}

/// Returns the command lines of all processes in the answer.
fn command_lines_of(locks: &[QueriedLock]) -> CommandLines {
    let statuses = locks.iter().map(|lock| &lock.status);
    let owners = statuses.flat_map(|status| status.holders.iter().chain(&status.waiters));
    let pid = |owner: &Owner| match &owner.kind {
        OwnerKind::Process(process) => Some(process.pid),
        _ => None,
    };
    let pids: BTreeSet<u32> = owners.filter_map(pid).collect();
    System::command_lines(&pids.into_iter().collect::<Vec<_>>())
}

/// Returns the answer for people.
fn table_of(locks: &[QueriedLock], commands: &CommandLines) -> String {
    locks.iter().map(|lock| heading(lock) + &owners_table(lock, commands)).collect()
}

fn heading(lock: &QueriedLock) -> String {
    let path = escape(&lock.shown.to_string_lossy());
    let missing = if lock.exists { "" } else { " (no such file)" };
    let (state, style) = match (lock.state(), lock.status.coverage) {
        (State::Held, _) => ("held", HELD),
        (State::Free, _) => ("free", FREE),
        (State::Unknown, Coverage::PidNamespace) => {
            ("free as far as this container can tell", UNKNOWN)
        }
        (State::Unknown, Coverage::Host) => ("free as far as this host can tell", UNKNOWN),
        (State::Unknown, _) => ("unknown", UNKNOWN),
    };
    format!("{path}: {style}{state}{style:#}{missing}\n")
}

fn owners_table(lock: &QueriedLock, commands: &CommandLines) -> String {
    let held = lock.status.holders.iter().map(|owner| row("held", owner, commands));
    let waiting = lock.status.waiters.iter().map(|owner| row("waiting", owner, commands));
    let mut rows = vec![["", "MODE", "PID", "USER", "RUNNING", "COMMAND"].map(String::from)];
    rows.extend(held.chain(waiting));
    if rows.len() == 1 {
        return String::new();
    }
    let widths = widths(&rows);
    rows.iter().map(|row| line(row, widths)).collect()
}

fn row(state: &str, owner: &Owner, commands: &CommandLines) -> Row {
    let unknown = || "-".to_string();
    let mode = owner.mode.map_or_else(unknown, |mode| mode.to_string());
    let [pid, user, running, command] = match &owner.kind {
        OwnerKind::Process(process) => [
            process.pid.to_string(),
            process.user.as_deref().map_or_else(unknown, escape),
            running(process).unwrap_or_else(unknown),
            command(process, commands).unwrap_or_else(unknown) + stopped(process),
        ],
        OwnerKind::Exited { pid, .. } => [
            pid.to_string(),
            unknown(),
            unknown(),
            "(exited, other processes still hold the lock)".into(),
        ],
        OwnerKind::TakenBy { pid, .. } => [
            pid.to_string(),
            unknown(),
            unknown(),
            "(acquired the lock, cannot be inspected by this user)".into(),
        ],
        kind => [unknown(), unknown(), unknown(), format!("({kind})")],
    };
    [state.into(), mode, pid, user, running, command]
}

fn running(process: &Process) -> Option<String> {
    let since = SystemTime::now().duration_since(process.started?).ok()?;
    Some(HumanDuration(since).to_string())
}

fn stopped(process: &Process) -> &'static str {
    if is_stopped(process.pid) { " (stopped)" } else { "" }
}

/// Returns the command line of a process, or its name in brackets, as ps(1) does, if there is none or it cannot be read.
fn command(process: &Process, commands: &CommandLines) -> Option<String> {
    let words = commands.get(&process.pid).map(Vec::as_slice).unwrap_or_default();
    if words.is_empty() {
        return process.name.as_ref().map(|name| format!("[{}]", escape(name)));
    }
    let line = escape(&words.join(&OsString::from(" ")).to_string_lossy());
    let cut = line.char_indices().nth(COMMAND_WIDTH_MAX).map(|(at, _)| at);
    Some(cut.map_or_else(|| line.clone(), |at| format!("{}…", &line[..at])))
}

fn widths(rows: &[Row]) -> [usize; 6] {
    std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    })
}

fn line(row: &Row, widths: [usize; 6]) -> String {
    let [state, mode, pid, user, running, command] = row;
    let [w0, w1, w2, w3, w4, _] = widths;
    format!("  {state:w0$}  {mode:w1$}  {pid:>w2$}  {user:w3$}  {running:>w4$}  {command}\n")
}

/// Returns the answer for programs. Its fields are a contract, which `locket status --help` describes.
fn json_of(locks: &[QueriedLock], commands: &CommandLines) -> String {
    let locks: Vec<Value> = locks.iter().map(|lock| json_lock(lock, commands)).collect();
    let text = format!("{:#}\n", json!({ "locks": locks }));
    // JSON escapes the control characters up to 0x1f. Others change what a terminal shows too. The lines end with 0x0a.
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || is_shown(c) {
            escaped.push(c);
        } else {
            escaped.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    escaped
}

fn json_lock(lock: &QueriedLock, commands: &CommandLines) -> Value {
    let owners =
        |owners: &[Owner]| owners.iter().map(|it| json_owner(it, commands)).collect::<Vec<_>>();
    json!({
        "path": lock.path.as_deref().map(|path| path.to_string_lossy()),
        "path_bytes": lock.path.as_deref().filter(|path| path.to_str().is_none()).map(bytes),
        "exists": lock.exists,
        "state": match lock.state() {
            State::Held => "held",
            State::Unknown => "unknown",
            State::Free => "free",
        },
        "coverage": match lock.status.coverage {
            Coverage::Complete => "complete",
            Coverage::Host => "host",
            Coverage::PidNamespace => "container",
            Coverage::Partial => "partial",
            _ => "unknown",
        },
        "held": owners(&lock.status.holders),
        "waiting": owners(&lock.status.waiters),
    })
}

fn json_owner(owner: &Owner, commands: &CommandLines) -> Value {
    let by = match &owner.kind {
        OwnerKind::Process(_) => "process",
        OwnerKind::Exited { .. } => "ended",
        OwnerKind::TakenBy { .. } => "taker",
        OwnerKind::OtherPidNamespace => "outside",
        OwnerKind::OtherHost => "other host",
        _ => "unknown",
    };
    let process = match &owner.kind {
        OwnerKind::Process(process) => Some(process),
        _ => None,
    };
    let pid = match &owner.kind {
        OwnerKind::Process(process) => Some(process.pid),
        OwnerKind::Exited { pid, .. } | OwnerKind::TakenBy { pid, .. } => Some(*pid),
        _ => None,
    };
    let command = process.and_then(|it| commands.get(&it.pid));
    json!({
        "mode": owner.mode.map(|mode| mode.to_string()),
        "by": by,
        "pid": pid,
        "stopped": process.map(|it| is_stopped(it.pid)),
        "name": process.and_then(|it| it.name.as_ref()),
        "command": command.map(|it| it.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>()),
        "user": process.and_then(|it| it.user.as_ref()),
        "started": process.and_then(|it| it.started).and_then(seconds),
    })
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

fn seconds(time: SystemTime) -> Option<u64> {
    time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}
