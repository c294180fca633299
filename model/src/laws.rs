//! The laws: what must hold in every state and every step of the protocol.
//!
//! Each law has a name. A violation reports that name.

use std::collections::BTreeSet;

use crate::explorer::BrokenLaw;
use crate::protocol::{Action, Protocol, Step};
use crate::spec::{Answer, Hold, Mode, Op, Outcome, Stage, World};
use crate::state::{OpenFile, Pc, Process, State, Thread};

/// The only path of the model.
const PATH: u32 = 0;

/// Checks the invariants of a state.
pub(crate) fn check(protocol: &Protocol, state: &State) -> Result<(), BrokenLaw> {
    exclusion(state)?;
    for process in state.processes.iter() {
        ledger_within_kernel(process)?;
        let held = process.ledger.exclusive + process.ledger.shared;
        rule(held == 0 || !process.ledger.released_error, "L6 released-error", || {
            "released-error with a hold in the ledger".into()
        })?;
        nothing_left_behind(protocol, process)?;
        let balance = usize::try_from(process.balance);
        rule(balance == Ok(process.ledger.unguarded.len()), "L5 release once", || {
            format!(
                "the ledger has {} unguarded holds, {:?} are not released",
                process.ledger.unguarded.len(),
                process.balance
            )
        })?;
        process.threads.iter().try_for_each(deadline)?;
    }
    Ok(())
}

fn rule(holds: bool, law: &'static str, detail: impl FnOnce() -> String) -> Result<(), BrokenLaw> {
    if holds { Ok(()) } else { Err(BrokenLaw { law, detail: detail() }) }
}

/// Returns the holds that the process relies on, with the mode that the ledger records.
fn recorded_holds(process: &Process) -> impl Iterator<Item = (Mode, OpenFile)> {
    let unguarded =
        process.ledger.unguarded.iter().map(|unguarded| (unguarded.mode, unguarded.open_file));
    let counted = |it: &&Thread| matches!(it.pc, Pc::HoldsGuard | Pc::TakeAfterUnlock);
    let guards = process.threads.iter().filter(counted);
    let guards = guards.filter_map(|it| Some((it.call.mode, it.open_file?)));
    // The kernel's exclusive lock covers a hold that the ledger already records as shared.
    let covers = |open: OpenFile| match open.lock {
        Some(Mode::Exclusive) => OpenFile { lock: Some(Mode::Shared), ..open },
        _ => OpenFile { lock: None, ..open },
    };
    let converted = process.threads.iter().filter(|it| it.pc == Pc::Convert);
    let converted = converted.filter_map(move |it| Some((it.call.mode, covers(it.open_file?))));
    unguarded.chain(guards).chain(converted)
}

/// Checks L1 on the recorded holds of each file. Holds of two files of one path may coexist.
fn exclusion(state: &State) -> Result<(), BrokenLaw> {
    for file in 0..state.files {
        let on_file =
            state.processes.iter().flat_map(recorded_holds).filter(|(_, open)| open.file == file);
        let (exclusive, shared) =
            on_file.fold((0, 0), |(exclusive, shared), (mode, _)| match mode {
                Mode::Exclusive => (exclusive + 1, shared),
                Mode::Shared => (exclusive, shared + 1),
            });
        rule(exclusive == 0 || exclusive + shared == 1, "L1 exclusion", || {
            format!("{exclusive} exclusive and {shared} shared holds of one file")
        })?;
    }
    Ok(())
}

/// Checks that the kernel has a lock for every hold in the ledger.
fn ledger_within_kernel(process: &Process) -> Result<(), BrokenLaw> {
    const LAW: &str = "ledger within kernel";
    for (mode, open) in recorded_holds(process) {
        rule(open.lock == Some(mode), LAW, || {
            format!("the ledger records {mode:?}, the kernel {:?}", open.lock)
        })?;
    }
    let ledger = &process.ledger;
    for (counted, mode) in [(ledger.exclusive, Mode::Exclusive), (ledger.shared, Mode::Shared)] {
        let held = recorded_holds(process).filter(|(held, _)| *held == mode).count();
        rule(usize::from(counted) == held, LAW, || {
            format!("the ledger counts {counted} {mode:?} holds, there are {held}")
        })?;
    }
    Ok(())
}

/// Checks L13: one open file for each hold and each call in progress, a bounded number of idle ones
/// while a handle, a hold or a release exists, and no other.
fn nothing_left_behind(protocol: &Protocol, process: &Process) -> Result<(), BrokenLaw> {
    const LAW: &str = "L13 nothing left behind";
    let Process { handle, ledger, threads, leaked, .. } = process;
    rule(leaked.is_empty(), LAW, || "an open file without an owner".into())?;
    rule(ledger.idle.iter().all(|idle| idle.lock.is_none()), LAW, || {
        "an idle open file is locked".into()
    })?;
    rule(ledger.idle.len() <= protocol.max_idle, LAW, || "too many idle open files".into())?;
    let releasing = threads.iter().any(|it| {
        matches!(it.pc, Pc::Unlock | Pc::StoreIdle(_) | Pc::Close(_) | Pc::RecordRefusal)
    });
    let wanted = *handle || releasing || ledger.exclusive + ledger.shared > 0;
    rule(wanted || ledger.idle.is_empty(), LAW, || "idle open files without a handle".into())?;
    let clean = |it: &Thread| it.pc != Pc::Idle || it.open_file.is_none();
    rule(threads.iter().all(clean), LAW, || "an idle thread owns an open file".into())
}

/// Checks L3: no wait after the deadline, and no timeout without a failed try at or after it.
fn deadline(it: &Thread) -> Result<(), BrokenLaw> {
    let waits = matches!(it.pc, Pc::Block | Pc::Queued);
    rule(!(waits && it.ghost.deadline_passed), "L3 one deadline", || {
        "waits after its deadline".into()
    })?;
    let times_out =
        matches!(it.pc, Pc::StoreIdle(Outcome::TimedOut) | Pc::Close(Outcome::TimedOut));
    rule(!times_out || it.ghost.refused, "L3 last attempt", || {
        "times out without a failed try at its deadline".into()
    })
}

/// Checks L9 and the refinement: each step is a step of the specification or changes nothing there.
pub(crate) fn check_step(
    protocol: &Protocol,
    from: &State,
    step: &Step,
    to: &State,
) -> Result<(), BrokenLaw> {
    let process = u32::try_from(step.process).unwrap_or(u32::MAX);
    let id = step.thread as u64;
    let it = &from.processes[step.process].threads[step.thread];
    if let Action::Records(_) = step.action {
        rule(it.ghost.named, "L9 identity", || {
            "records a hold on a file that the path has not named since the grant".into()
        })?;
    }
    let next = &to.processes[step.process].threads[step.thread];
    let decides_to_wait = next.pc == Pc::Block && it.pc != Pc::Block;
    let named = it.open_file.is_some_and(|open| from.names == Some(open.file));
    rule(!decides_to_wait || named, "L9 no wait on a replaced file", || {
        "begins to wait for a file that the path does not name".into()
    })?;
    if !protocol.refinement {
        return Ok(());
    }
    let path = PATH;
    let lock = |file: u8, mode| {
        let (unguarded, stage) = (it.call.unguarded, Stage::Granted);
        let file = file.into();
        Op::Lock { hold: Hold { process, id, path, file, mode, unguarded, stage, named: false } }
    };
    let was_locked = it.open_file.is_some_and(|open| open.lock.is_some());
    let (op, expected) = match step.action {
        Action::Calls(..) => (Op::FirstHandle { process, path }, Answer::Done),
        Action::Opens(file, true) => (Op::SetFile { path, file: Some(file.into()) }, Answer::Done),
        Action::Locks(file, mode) | Action::Wakes(file, mode) => {
            (lock(file, mode), Answer::Granted)
        }
        Action::Refused(file, mode, _) => (lock(file, mode), Answer::Contended),
        Action::Records(_) => (Op::Record { process, id }, Answer::Returned(Outcome::Held)),
        Action::Takes => (Op::Take { process, path }, Answer::Taken(0)),
        Action::FindsNothing => (Op::Take { process, path }, Answer::Returned(Outcome::NotLocked)),
        Action::TakesGuard => (Op::TakeGuard { process, id }, Answer::Taken(0)),
        Action::Lowers => (Op::Lower { process, id }, Answer::Done),
        Action::Converts(_) => (Op::Convert { process, id }, Answer::Done),
        Action::ConvertRefused => (Op::Restore { process, id }, Answer::Returned(Outcome::Failed)),
        Action::Unlocks(_) => (Op::Unlock { process, id }, Answer::Done),
        Action::Closes(_) if was_locked => (Op::Unlock { process, id }, Answer::Done),
        Action::RecordsRefusal => {
            (Op::Refuse { process, path }, Answer::Returned(Outcome::Refused))
        }
        Action::DropsHandle => (Op::LastHandle { process, path }, Answer::Done),
        Action::Crashes => (Op::Crash { process }, Answer::Done),
        Action::Renames(file) => (Op::SetFile { path, file: file.map(Into::into) }, Answer::Done),
        _ => {
            return rule(world(from).is_equivalent(&world(to)), "refinement", || {
                "a step outside the specification changes the world".into()
            });
        }
    };
    let mut allowed = world(from);
    if step.action == Action::FindsNothing || step.action == Action::Takes {
        allowed.apply(Op::FirstHandle { process, path });
    }
    let answer = match allowed.apply(op) {
        Answer::Taken(_) => Answer::Taken(0), // any hold
        answer => answer,
    };
    rule(answer == expected, "refinement", || {
        format!("{op:?}: the specification answers {answer:?}, the protocol {expected:?}")
    })?;
    rule(allowed.is_equivalent(&world(to)), "refinement", || {
        format!("{op:?}: the worlds differ after the step")
    })
}

/// Maps a state of the protocol to a world of the specification (the refinement mapping).
fn world(state: &State) -> World {
    let mut world = World {
        holds: Vec::with_capacity(8),
        names: state.names.iter().map(|&file| (PATH, file.into())).collect(),
        handles: BTreeSet::new(),
        released_error: BTreeSet::new(),
    };
    for (process, it) in (0..).zip(state.processes.iter()) {
        if it.handle {
            world.handles.insert((process, PATH));
        }
        if it.ledger.released_error {
            world.released_error.insert((process, PATH));
        }
        let hold = |id, open: OpenFile, mode, unguarded, stage, named| {
            let (path, file) = (PATH, open.file.into());
            Hold { process, id, path, file, mode, unguarded, stage, named }
        };
        let unguarded = (100..).zip(it.ledger.unguarded.iter());
        world.holds.extend(unguarded.map(|(id, unguarded)| {
            hold(id, unguarded.open_file, unguarded.mode, true, Stage::Recorded, true)
        }));
        for (id, thread) in (0..).zip(it.threads.iter()) {
            let Some(open) = thread.open_file else { continue };
            let (reached, is_named) = match (thread.pc, open.lock) {
                (Pc::HoldsGuard, _) => (Stage::Recorded, true),
                (Pc::Convert, _) => (Stage::Lowered, true),
                (_, None) => continue,
                (Pc::Unlock | Pc::Close(_) | Pc::StoreIdle(_), _) => (Stage::Taken, true),
                _ => (Stage::Granted, thread.ghost.named),
            };
            let mode = open.lock.unwrap_or(thread.call.mode);
            world.holds.push(hold(id, open, mode, thread.call.unguarded, reached, is_named));
        }
    }
    world
}
