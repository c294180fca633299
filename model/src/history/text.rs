//! The text form of one event.

use std::fmt;
use std::str::FromStr;

use super::{Attempt, Call, History, Kill, Return, Wait};
use crate::spec::{Mode, Outcome};

pub(super) enum Event {
    Call(Call),
    Kill(Kill),
}

pub(super) fn parse_line(line: &str) -> Option<Event> {
    let fields: Vec<&str> = line.split(' ').collect();
    let (attempt, ends) = match *fields.as_slice() {
        ["kill", process, after, before, "killed"] => {
            let (process, after, before) = (number(process)?, number(after)?, number(before)?);
            return Some(Event::Kill(Kill { process, after, before }));
        }
        ["acquire", _, _, _, _, file, mode, wait, ref ends @ ..] => {
            let file = if file == "-" { None } else { Some(number(file)?) };
            let modes = [Mode::Exclusive, Mode::Shared];
            let mode = modes.into_iter().find(|&it| mode_word(it) == mode)?;
            let wait = match wait {
                "try" => Wait::Try,
                "forever" => Wait::Forever,
                _ => Wait::Until(number(wait.strip_prefix("until=")?)?),
            };
            (Attempt::Acquire { file, mode, wait }, ends)
        }
        ["release", _, _, _, _, ref ends @ ..] => (Attempt::Release, ends),
        _ => return None,
    };
    let &[called, at, outcome] = ends else { return None };
    let returned = match (at, outcome) {
        ("-", "begun") => None,
        _ => Some(Return {
            at: number(at)?,
            outcome: OUTCOMES.into_iter().find(|&it| outcome_word(it) == outcome)?,
        }),
    };
    let guard = match fields[4] {
        "unguarded" => None,
        kind => Some(number(kind.strip_prefix("guard=")?)?),
    };
    let (process, thread, path) = (number(fields[1])?, number(fields[2])?, number(fields[3])?);
    let called = number(called)?;
    Some(Event::Call(Call { process, thread, path, guard, attempt, called, returned }))
}

/// Parses digits without a needless zero, so that every event has one spelling.
fn number<T: FromStr>(text: &str) -> Option<T> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let shortest = text == "0" || !text.starts_with('0');
    if digits && shortest { text.parse().ok() } else { None }
}

const OUTCOMES: [Outcome; 6] = [
    Outcome::Held,
    Outcome::TimedOut,
    Outcome::Failed,
    Outcome::Released,
    Outcome::NotLocked,
    Outcome::Refused,
];

const fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Held => "held",
        Outcome::TimedOut => "timed-out",
        Outcome::Failed => "failed",
        Outcome::Released => "released",
        Outcome::NotLocked => "not-locked",
        Outcome::Refused => "refused",
    }
}

const fn mode_word(mode: Mode) -> &'static str {
    match mode {
        Mode::Exclusive => "exclusive",
        Mode::Shared => "shared",
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { process, thread, path, guard, attempt, called, returned } = self;
        let verb = if *attempt == Attempt::Release { "release" } else { "acquire" };
        write!(f, "{verb} {process} {thread} {path} ")?;
        match guard {
            Some(guard) => write!(f, "guard={guard}")?,
            None => f.write_str("unguarded")?,
        }
        if let Attempt::Acquire { file, mode, wait } = attempt {
            match file {
                Some(file) => write!(f, " {file}")?,
                None => f.write_str(" -")?,
            }
            write!(f, " {}", mode_word(*mode))?;
            match wait {
                Wait::Try => f.write_str(" try")?,
                Wait::Forever => f.write_str(" forever")?,
                Wait::Until(deadline) => write!(f, " until={deadline}")?,
            }
        }
        let Some(Return { at, outcome }) = returned else {
            return write!(f, " {called} - begun");
        };
        write!(f, " {called} {at} {}", outcome_word(*outcome))
    }
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kill {} {} {} killed", self.process, self.after, self.before)
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.calls.iter().try_for_each(|call| writeln!(f, "{call}"))?;
        self.kills.iter().try_for_each(|kill| writeln!(f, "{kill}"))
    }
}
