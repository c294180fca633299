//! The answer for people.

use std::ffi::OsString;
use std::time::SystemTime;

use anstyle::{AnsiColor, Style};
use locket::{Coverage, Owner, OwnerKind, Process};

use crate::escape::escape;
use crate::other::is_stopped;
use crate::span::Span;

use super::CommandLines;
use super::subject::{State, Subject};

const HELD: Style = AnsiColor::Yellow.on_default().bold();
const UNKNOWN: Style = Style::new();
const FREE: Style = AnsiColor::Green.on_default().bold();

/// Of a command, in characters: what is longer is for `--json`.
const WIDEST: usize = 60;

type Row = [String; 6];

pub(super) fn of(subjects: &[Subject], commands: &CommandLines) -> String {
    subjects.iter().map(|subject| heading(subject) + &table(subject, commands)).collect()
}

fn heading(subject: &Subject) -> String {
    let path = escape(&subject.shown.to_string_lossy());
    let missing = if subject.exists { "" } else { " (no such file)" };
    let (state, style) = match (subject.state(), subject.holders.coverage) {
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

fn table(subject: &Subject, commands: &CommandLines) -> String {
    let held = subject.holders.holders.iter().map(|owner| row("held", owner, commands));
    let waiting = subject.holders.waiters.iter().map(|owner| row("waiting", owner, commands));
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
        OwnerKind::Exited { pid, .. } => {
            [pid.to_string(), unknown(), unknown(), "(ended, and left the lock to others)".into()]
        }
        OwnerKind::TakenBy { pid, .. } => [
            pid.to_string(),
            unknown(),
            unknown(),
            "(took the lock; this user may not look into it)".into(),
        ],
        by => [unknown(), unknown(), unknown(), format!("({by})")],
    };
    [state.into(), mode, pid, user, running, command]
}

fn running(process: &Process) -> Option<String> {
    let since = SystemTime::now().duration_since(process.started?).ok()?;
    Some(Span(since).to_string())
}

fn stopped(process: &Process) -> &'static str {
    if is_stopped(process.pid) { " (stopped)" } else { "" }
}

/// A process without a command line, or one that cannot be read, is called as ps(1) does it.
fn command(process: &Process, commands: &CommandLines) -> Option<String> {
    let words = commands.get(&process.pid).map(Vec::as_slice).unwrap_or_default();
    if words.is_empty() {
        return process.name.as_ref().map(|name| format!("[{}]", escape(name)));
    }
    let line = escape(&words.join(&OsString::from(" ")).to_string_lossy());
    let cut = line.char_indices().nth(WIDEST).map(|(at, _)| at);
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
