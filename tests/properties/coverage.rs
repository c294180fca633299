//! The events that the random sequences must contain.

use locket_model::spec::{Hold, Mode, Outcome, State};

use super::ops::{Change, Op, Response, Spelling, Step};
use super::reference::Reference;

/// The number of sequences that are counted.
pub(crate) const SEQUENCES: u32 = 400;

/// The event; whether a step is one, by the states before and after it; the least number of such steps in all sequences.
pub(crate) type Coverage = (&'static str, fn(&Reference, Step, &Reference) -> bool, u32);

pub(crate) const IN_ONE_PROCESS: [Coverage; 6] = [
    ("an acquisition is held", |_, _, after| returned(after, Outcome::Held), 500),
    ("an acquisition times out", |_, _, after| returned(after, Outcome::TimedOut), 300),
    ("a release finds nothing", |_, _, after| returned(after, Outcome::NotLocked), 300),
    (
        "a release finds only a guard's hold",
        |before, step, after| {
            let Op::Release { via } = step.op else { return false };
            let state = before.state(step.process, via);
            returned(after, Outcome::NotLocked) && state != State::Unlocked
        },
        100,
    ),
    (
        "three shared holds by one path",
        |_, _, after| {
            let state = |&via: &Spelling| after.state(1, via);
            Spelling::ALL.iter().any(|via| matches!(state(via), State::HeldShared(3..)))
        },
        50,
    ),
    (
        "released-error ends with the last handle",
        |before, step, after| {
            let Op::DropHandle { via } = step.op else { return false };
            let states = [before, after].map(|it| it.state(step.process, via));
            states == [State::ReleasedError, State::Unlocked]
        },
        30,
    ),
];

pub(crate) const OF_REPLACED_FILES: [Coverage; 5] = [
    ("a guard's file is not current", |_, _, after| after.response == Response::Current(false), 20),
    (
        "a held file is moved back",
        |before, step, after| {
            let is_named = |hold: &Hold| after.world.named(hold.path) == Some(hold.file);
            step.op == Op::Change(Change::MoveBack) && before.world.holds().iter().any(is_named)
        },
        2,
    ),
    (
        "two exclusive holds by one path, of which one is on a replaced file",
        |_, step, after| {
            let exclusive = |hold: &&Hold| hold.mode == Mode::Exclusive && hold.path == 0;
            let holds = after.world.holds().iter().filter(exclusive);
            matches!(step.op, Op::Acquire { .. }) && holds.count() > 1
        },
        10,
    ),
    (
        "the older of two unguarded holds is released, on a replaced file",
        |before, step, after| {
            let Op::Release { via } = step.op else { return false };
            let is_unguarded = |hold: &&Hold| hold.unguarded && hold.path == via.path();
            let mut unguarded = before.world.holds().iter().filter(is_unguarded);
            let files =
                (unguarded.next().map(|hold| hold.file), unguarded.next().map(|hold| hold.file));
            let are_two = files.1.is_some() && files.0 != files.1;
            are_two && returned(after, Outcome::Released)
        },
        3,
    ),
    (
        "a hold by one path excludes another path",
        |before, step, after| {
            let Op::Acquire { via, .. } = step.op else { return false };
            let by_it = |hold: &Hold| hold.path == via.path();
            returned(after, Outcome::TimedOut) && !before.world.holds().iter().any(by_it)
        },
        50,
    ),
];

pub(crate) const IN_SEVERAL_PROCESSES: [Coverage; 2] = [
    (
        "a holder is killed",
        |before, step, _| {
            let is_its = |hold: &Hold| hold.process == step.process;
            step.op == Op::Kill && before.world.holds().iter().any(is_its)
        },
        30,
    ),
    (
        "shared holds of three processes",
        |_, _, after| {
            let holds = |process| after.world.holds().iter().any(|hold| hold.process == process);
            (1..=3).all(holds)
        },
        30,
    ),
];

pub(crate) const OF_WAITERS: [Coverage; 6] = [
    ("a call waits", |_, _, after| after.response == Response::Waits, 100),
    ("a waiter is admitted", |_, _, after| !after.admitted.is_empty(), 20),
    ("two waiters are admitted", |_, _, after| after.admitted.len() == 2, 2),
    (
        "a waiter is admitted by the death of the holder",
        |_, step, after| step.op == Op::Kill && !after.admitted.is_empty(),
        5,
    ),
    (
        "a waiter is killed",
        |before, step, _| {
            let is_it = |process| process == step.process;
            step.op == Op::Kill && before.waiters.iter().any(|waiter| is_it(waiter.process))
        },
        10,
    ),
    (
        "a waiter moves to another file",
        |before, _, after| {
            let moved =
                |of: u32, to| before.waiters.iter().any(|it| it.process == of && it.file != to);
            let there = after.admitted.iter().chain(&after.waiters);
            there.into_iter().any(|waiter| moved(waiter.process, waiter.file))
        },
        5,
    ),
];

fn returned(after: &Reference, outcome: Outcome) -> bool {
    after.response == Response::Call(outcome)
}
