//! What there is to be seen in the stories, if they are any good.

use locket_model::spec::{Hold, Mode, Outcome, State};

use super::reference::Reference;
use super::story::{Change, Deed, Spelling, Step, Told};

/// How many stories are looked at.
pub(crate) const STORIES: u32 = 400;

/// What it is; whether a step is one, by the worlds before and after it; how often in all the
/// stories it has to be one.
pub(crate) type Sight = (&'static str, fn(&Reference, Step, &Reference) -> bool, u32);

pub(crate) const IN_ONE_PROCESS: [Sight; 6] = [
    ("an acquisition is held", |_, _, after| says(after, Outcome::Held), 500),
    ("an acquisition times out", |_, _, after| says(after, Outcome::TimedOut), 300),
    ("a release finds nothing", |_, _, after| says(after, Outcome::NotLocked), 300),
    (
        "a release finds only a guard's hold",
        |before, step, after| {
            let Deed::Release { via } = step.deed else { return false };
            let state = before.state(step.process, via);
            says(after, Outcome::NotLocked) && state != State::Unlocked
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
        "the last handle takes released-error along",
        |before, step, after| {
            let Deed::DropHandle { via } = step.deed else { return false };
            let states = [before, after].map(|it| it.state(step.process, via));
            states == [State::ReleasedError, State::Unlocked]
        },
        30,
    ),
];

pub(crate) const OF_REPLACED_FILES: [Sight; 5] = [
    ("a guard's file is not current", |_, _, after| after.told == Told::Current(false), 20),
    (
        "a held file comes back",
        |before, step, after| {
            let is_named = |hold: &Hold| after.world.named(hold.path) == Some(hold.file);
            step.deed == Deed::Change(Change::MoveBack) && before.world.holds().iter().any(is_named)
        },
        2,
    ),
    (
        "two exclusive holds by one path, of which one is on a replaced file",
        |_, step, after| {
            let exclusive = |hold: &&Hold| hold.mode == Mode::Exclusive && hold.path == 0;
            let holds = after.world.holds().iter().filter(exclusive);
            matches!(step.deed, Deed::Acquire { .. }) && holds.count() > 1
        },
        10,
    ),
    (
        "the older of two kept holds is released, on a replaced file",
        |before, step, after| {
            let Deed::Release { via } = step.deed else { return false };
            let kept = |hold: &&Hold| hold.unguarded && hold.path == via.path();
            let mut kept = before.world.holds().iter().filter(kept);
            let files = (kept.next().map(|hold| hold.file), kept.next().map(|hold| hold.file));
            let are_two = files.1.is_some() && files.0 != files.1;
            are_two && says(after, Outcome::Released)
        },
        3,
    ),
    (
        "a hold by one path keeps another path out",
        |before, step, after| {
            let Deed::Acquire { via, .. } = step.deed else { return false };
            let by_it = |hold: &Hold| hold.path == via.path();
            says(after, Outcome::TimedOut) && !before.world.holds().iter().any(by_it)
        },
        50,
    ),
];

pub(crate) const IN_SEVERAL_PROCESSES: [Sight; 2] = [
    (
        "a holder is killed",
        |before, step, _| {
            let is_its = |hold: &Hold| hold.process == step.process;
            step.deed == Deed::Kill && before.world.holds().iter().any(is_its)
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

pub(crate) const OF_WAITERS: [Sight; 6] = [
    ("a call waits", |_, _, after| after.told == Told::Waits, 100),
    ("a waiter is let in", |_, _, after| !after.let_in.is_empty(), 20),
    ("two waiters are let in", |_, _, after| after.let_in.len() == 2, 2),
    (
        "a waiter is let in by a death",
        |_, step, after| step.deed == Deed::Kill && !after.let_in.is_empty(),
        5,
    ),
    (
        "a waiter is killed",
        |before, step, _| {
            let is_it = |process| process == step.process;
            step.deed == Deed::Kill && before.waiters.iter().any(|waiter| is_it(waiter.process))
        },
        10,
    ),
    (
        "a waiter finds another file",
        |before, _, after| {
            let moved =
                |of: u32, to| before.waiters.iter().any(|it| it.process == of && it.file != to);
            let there = after.let_in.iter().chain(&after.waiters);
            there.into_iter().any(|waiter| moved(waiter.process, waiter.file))
        },
        5,
    ),
];

fn says(after: &Reference, outcome: Outcome) -> bool {
    after.told == Told::Call(outcome)
}
