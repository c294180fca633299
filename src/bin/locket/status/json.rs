//! The answer for programs. `locket status --help` describes it: whoever reads it relies on that.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use locket::{Coverage, Owner, OwnerKind};
use serde_json::{Value, json};

use crate::escape::is_shown;
use crate::other::is_stopped;

use super::CommandLines;
use super::subject::{State, Subject};

pub(super) fn of(subjects: &[Subject], commands: &CommandLines) -> String {
    let locks: Vec<Value> = subjects.iter().map(|subject| lock(subject, commands)).collect();
    let text = format!("{:#}\n", json!({ "locks": locks }));
    // JSON escapes the control characters up to 0x1f. Others change what a screen shows as well. Its lines end with 0x0a.
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || is_shown(c) {
            plain.push(c);
        } else {
            plain.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    plain
}

fn lock(subject: &Subject, commands: &CommandLines) -> Value {
    let claims = |claims: &[Owner]| claims.iter().map(|it| owner(it, commands)).collect::<Vec<_>>();
    json!({
        "path": subject.path.as_deref().map(|path| path.to_string_lossy()),
        "path_bytes": subject.path.as_deref().filter(|path| path.to_str().is_none()).map(bytes),
        "exists": subject.exists,
        "state": match subject.state() {
            State::Held => "held",
            State::Unknown => "unknown",
            State::Free => "free",
        },
        "coverage": match subject.holders.coverage {
            Coverage::Complete => "complete",
            Coverage::Host => "host",
            Coverage::PidNamespace => "container",
            Coverage::Partial => "partial",
            _ => "unknown",
        },
        "held": claims(&subject.holders.holders),
        "waiting": claims(&subject.holders.waiters),
    })
}

fn owner(owner: &Owner, commands: &CommandLines) -> Value {
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
