//! The specification: every operation in every state of one path in one process.

use locket_model::{Answer, Mode, Op, Outcome, State, World};

const HERE: u32 = 1;
const ELSEWHERE: u32 = 2;
const PATH: u32 = 1;

/// Returns each state with its name, built by the calls that lead to it.
fn states() -> Vec<(&'static str, World)> {
    let new = World::default().step(Op::FirstHandle { process: HERE, path: PATH }).0;
    let hold =
        |world: &World, id, mode, unguarded| world.acquire(HERE, PATH, id, mode, unguarded).0;
    let shared = hold(&new, 1, Mode::Shared, true);
    vec![
        ("unlocked", new.clone()),
        ("unlocked, held elsewhere", new.acquire(ELSEWHERE, PATH, 9, Mode::Exclusive, true).0),
        ("unlocked, shared elsewhere", new.acquire(ELSEWHERE, PATH, 9, Mode::Shared, true).0),
        ("exclusive unguarded", hold(&new, 1, Mode::Exclusive, true)),
        ("exclusive guard", hold(&new, 1, Mode::Exclusive, false)),
        ("shared unguarded", shared.clone()),
        ("shared unguarded + guard", hold(&shared, 2, Mode::Shared, false)),
        ("released-error", new.release(HERE, PATH, false).0),
    ]
}

type Call = fn(&World) -> (World, String);

fn operations() -> Vec<(&'static str, Call)> {
    fn outcome(done: (World, Outcome)) -> (World, String) {
        (done.0, format!("{:?}", done.1))
    }
    fn guard(world: &World, refused: bool) -> (World, String) {
        let guard = world.holds().iter().find(|hold| hold.process == HERE && !hold.unguarded);
        let ended = guard.and_then(|guard| world.release_guard(HERE, guard.id, refused));
        ended.map_or((world.clone(), "-".into()), outcome)
    }
    fn downgraded(world: &World, refused: bool) -> (World, String) {
        let guard = world.holds().iter().find(|hold| hold.process == HERE && !hold.unguarded);
        match guard.and_then(|guard| world.downgrade(HERE, guard.id, refused)) {
            Some(next) => (next, if refused { "Failed" } else { "Done" }.into()),
            None => (world.clone(), "-".into()),
        }
    }
    vec![
        ("acquire exclusive", |world| outcome(world.acquire(HERE, PATH, 3, Mode::Exclusive, true))),
        ("acquire shared", |world| outcome(world.acquire(HERE, PATH, 3, Mode::Shared, true))),
        ("release", |world| outcome(world.release(HERE, PATH, false))),
        ("release, refused", |world| outcome(world.release(HERE, PATH, true))),
        ("end guard", |world| guard(world, false)),
        ("end guard, refused", |world| guard(world, true)),
        ("downgrade guard", |world| downgraded(world, false)),
        ("downgrade, refused", |world| downgraded(world, true)),
        ("file replaced", |world| {
            let (world, answer) = world.step(Op::SetFile { path: PATH, file: Some(7) });
            (world, format!("{answer:?}"))
        }),
        ("last handle", |world| {
            let (world, answer) = world.step(Op::LastHandle { process: HERE, path: PATH });
            (world, format!("{answer:?}"))
        }),
        ("crash", |world| {
            let (world, answer) = world.step(Op::Crash { process: HERE });
            (world, format!("{answer:?}"))
        }),
    ]
}

/// Compares the table with `transitions.txt`. To regenerate the file, copy the table that
/// `cargo test -p locket-model spec::every_transition -- --nocapture` prints.
#[test]
fn every_transition_is_as_in_the_table() {
    let mut table = String::new();
    for (state, world) in states() {
        for (operation, call) in operations() {
            let (next, outcome) = call(&world);
            let after = next.state(HERE, PATH);
            let row = format!("{state:26} | {operation:18} | {outcome:9} | {after:?}\n");
            table.push_str(&row);
        }
    }
    println!("{table}");
    let expected = include_str!("transitions.txt");
    for (row, expected) in table.lines().zip(expected.lines()) {
        assert_eq!(row, expected);
    }
    assert_eq!(table.lines().count(), expected.lines().count());
}

/// Checks exclusion between processes: by file, and until the process of the hold ends.
#[test]
fn a_hold_excludes_by_file_and_ends_with_its_process() {
    let world = World::default();
    let (world, outcome) = world.acquire(HERE, PATH, 1, Mode::Exclusive, false);
    assert_eq!(outcome, Outcome::Held);
    assert_eq!(world.acquire(ELSEWHERE, PATH, 1, Mode::Shared, false).1, Outcome::TimedOut);

    let file = world.named(PATH);
    let alias = world.step(Op::SetFile { path: 2, file }).0;
    assert_eq!(alias.acquire(HERE, 2, 2, Mode::Exclusive, true).1, Outcome::TimedOut);
    assert_eq!(alias.state(HERE, 2), State::Unlocked, "an alias has a state of its own");

    let replaced = world.step(Op::SetFile { path: PATH, file: None }).0;
    assert_eq!(replaced.acquire(ELSEWHERE, PATH, 1, Mode::Exclusive, false).1, Outcome::Held);

    let crashed = world.step(Op::Crash { process: HERE }).0;
    assert_eq!(crashed.acquire(ELSEWHERE, PATH, 1, Mode::Exclusive, false).1, Outcome::Held);
}

/// Between the two steps of a call, every hold in the ledger is locked in the kernel.
#[test]
fn a_call_is_two_steps() {
    let held = World::default().acquire(HERE, PATH, 1, Mode::Exclusive, true).0;
    let (taken, answer) = held.step(Op::Take { process: HERE, path: PATH });
    assert_eq!(answer, Answer::Taken(1));
    assert_eq!(taken.state(HERE, PATH), State::Unlocked);
    assert_eq!(taken.release(HERE, PATH, false).1, Outcome::NotLocked, "one release wins");
    let other = taken.acquire(ELSEWHERE, PATH, 1, Mode::Exclusive, true).1;
    assert_eq!(other, Outcome::TimedOut, "the kernel still holds it");
    let freed = taken.step(Op::Unlock { process: HERE, id: 1 }).0;
    assert_eq!(freed.acquire(ELSEWHERE, PATH, 1, Mode::Exclusive, true).1, Outcome::Held);
}

/// A downgrade admits readers only after the kernel's step.
#[test]
fn a_downgrade_is_two_steps() {
    let held = World::default().acquire(HERE, PATH, 1, Mode::Exclusive, false).0;
    let (lowered, answer) = held.step(Op::Lower { process: HERE, id: 1 });
    assert_eq!(answer, Answer::Done);
    assert_eq!(lowered.state(HERE, PATH), State::HeldShared(1));
    let other = lowered.acquire(ELSEWHERE, PATH, 1, Mode::Shared, true).1;
    assert_eq!(other, Outcome::TimedOut, "the kernel's lock is still exclusive");
    let restored = lowered.step(Op::Restore { process: HERE, id: 1 }).0;
    assert_eq!(restored, held);
    let shared = lowered.step(Op::Convert { process: HERE, id: 1 }).0;
    assert_eq!(shared.acquire(ELSEWHERE, PATH, 1, Mode::Shared, true).1, Outcome::Held);
    assert_eq!(shared.acquire(ELSEWHERE, PATH, 1, Mode::Exclusive, true).1, Outcome::TimedOut);
    assert_eq!(shared.release_guard(HERE, 1, false).map(|it| it.1), Some(Outcome::Released));
}

/// A hold can be recorded only on a file that the path named at some moment since the grant.
#[test]
fn a_hold_on_a_file_that_the_path_never_named_cannot_be_recorded() {
    let (world, _) = World::default().acquire(HERE, PATH, 1, Mode::Exclusive, true);
    let mut hold = world.holds()[0];
    (hold.process, hold.id) = (ELSEWHERE, 1);
    let replaced = world.step(Op::Crash { process: HERE }).0;
    let replaced = replaced.step(Op::SetFile { path: PATH, file: Some(8) }).0;
    let (granted, answer) = replaced.step(Op::Lock { hold });
    assert_eq!(answer, Answer::Granted, "an open file of the old file can be locked");
    let record = Op::Record { process: ELSEWHERE, id: 1 };
    assert!(
        matches!(granted.step(record).1, Answer::NotEnabled(_)),
        "the hold cannot be recorded for the path"
    );
    let back = granted.step(Op::SetFile { path: PATH, file: Some(hold.file) }).0;
    assert_eq!(back.step(record).1, Answer::Returned(Outcome::Held));
}

/// A step that is not enabled is reported and changes nothing.
#[test]
fn a_step_that_is_not_enabled_changes_nothing() {
    let world = World::default().acquire(HERE, PATH, 1, Mode::Exclusive, true).0;
    for op in [
        Op::Lock { hold: world.holds()[0] },
        Op::Record { process: HERE, id: 1 },
        Op::Record { process: HERE, id: 2 },
        Op::TakeGuard { process: HERE, id: 1 },
        Op::Lower { process: HERE, id: 1 },
        Op::Convert { process: HERE, id: 1 },
        Op::Restore { process: HERE, id: 1 },
        Op::Unlock { process: HERE, id: 1 },
        Op::Unlock { process: ELSEWHERE, id: 1 },
    ] {
        let (next, answer) = world.step(op);
        assert!(matches!(answer, Answer::NotEnabled(_)), "{op:?} answered {answer:?}");
        assert_eq!(next, world, "{op:?}");
    }
}
