//! What must be true of every state and every step of the protocol.
//!
//! Each law has a name, which is the name of the checker in every conviction.

use std::collections::BTreeSet;

use crate::explorer::Broken;
use crate::protocol::{Action, Protocol, Step};
use crate::spec::{Answer, Hold, Mode, Op, Outcome, Stage, World};
use crate::state::{Descriptor, Place, Process, State, Thread};

/// The path of the model: there is one.
const PATH: u32 = 0;

/// The invariants.
pub(crate) fn check(protocol: &Protocol, state: &State) -> Result<(), Broken> {
    exclusion(state)?;
    for process in state.processes.iter() {
        ledger_within_kernel(process)?;
        let held = process.ledger.exclusive + process.ledger.shared;
        rule(held == 0 || !process.ledger.released_error, "L6 released-error", || {
            "released-error while something is held".into()
        })?;
        nothing_left_behind(protocol, process)?;
        let credit = usize::try_from(process.credit);
        rule(credit == Ok(process.ledger.kept.len()), "L5 one release wins", || {
            format!("{} kept holds, {:?} to release", process.ledger.kept.len(), process.credit)
        })?;
        process.threads.iter().try_for_each(deadline)?;
    }
    Ok(())
}

fn rule(holds: bool, law: &'static str, how: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken { law, how: how() }) }
}

/// What the process believes that it holds.
fn beliefs(process: &Process) -> impl Iterator<Item = (Mode, Descriptor)> {
    let kept = process.ledger.kept.iter().map(|kept| (kept.mode, kept.descriptor));
    let counted = |it: &&Thread| matches!(it.place, Place::Guarding | Place::TakeLate);
    let guards = process.threads.iter().filter(counted);
    let guards = guards.filter_map(|it| Some((it.call.mode, it.descriptor?)));
    // What the ledger calls shared already, the system's exclusive lock covers.
    let covers = |own: Descriptor| match own.lock {
        Some(Mode::Exclusive) => Descriptor { lock: Some(Mode::Shared), ..own },
        _ => Descriptor { lock: None, ..own },
    };
    let converted = process.threads.iter().filter(|it| it.place == Place::Convert);
    let converted = converted.filter_map(move |it| Some((it.call.mode, covers(it.descriptor?))));
    kept.chain(guards).chain(converted)
}

/// L1, of what programs believe, per file: holders of two files that one path named may coexist.
fn exclusion(state: &State) -> Result<(), Broken> {
    for file in 0..state.files {
        let on_file = state.processes.iter().flat_map(beliefs).filter(|(_, own)| own.file == file);
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

/// What the ledger says is held, the system holds.
fn ledger_within_kernel(process: &Process) -> Result<(), Broken> {
    const LAW: &str = "ledger within kernel";
    for (mode, own) in beliefs(process) {
        rule(own.lock == Some(mode), LAW, || {
            format!("the ledger says {mode:?}, the system {:?}", own.lock)
        })?;
    }
    let ledger = &process.ledger;
    for (counted, mode) in [(ledger.exclusive, Mode::Exclusive), (ledger.shared, Mode::Shared)] {
        let held = beliefs(process).filter(|(held, _)| *held == mode).count();
        rule(usize::from(counted) == held, LAW, || {
            format!("the ledger counts {counted} {mode:?}, there are {held}")
        })?;
    }
    Ok(())
}

/// L13: one descriptor for each hold and each call in progress, a few idle ones while somebody may
/// want them, and no other.
fn nothing_left_behind(protocol: &Protocol, process: &Process) -> Result<(), Broken> {
    const LAW: &str = "L13 nothing left behind";
    let Process { handle, ledger, threads, lost, .. } = process;
    rule(lost.is_empty(), LAW, || "a descriptor that nobody will close".into())?;
    rule(ledger.spares.iter().all(|spare| spare.lock.is_none()), LAW, || {
        "a spare descriptor that is still locked".into()
    })?;
    rule(ledger.spares.len() <= protocol.spares, LAW, || "too many spares".into())?;
    let releasing = threads.iter().any(|it| {
        matches!(it.place, Place::Unlock | Place::Retire(_) | Place::Close(_) | Place::Refuse)
    });
    let wanted = *handle || releasing || ledger.exclusive + ledger.shared > 0;
    rule(wanted || ledger.spares.is_empty(), LAW, || "spares without a handle".into())?;
    let clean = |it: &Thread| it.place != Place::Idle || it.descriptor.is_none();
    rule(threads.iter().all(clean), LAW, || "a descriptor of a call that is over".into())
}

/// L3: nobody waits beyond its deadline, and who times out was refused at it or after.
fn deadline(it: &Thread) -> Result<(), Broken> {
    let waits = matches!(it.place, Place::Block | Place::Queued);
    rule(!(waits && it.ghost.late), "L3 one deadline", || "waits again after its deadline".into())?;
    let times_out =
        matches!(it.place, Place::Retire(Outcome::TimedOut) | Place::Close(Outcome::TimedOut));
    rule(!times_out || it.ghost.refused, "L3 last attempt", || {
        "times out without having tried at its deadline".into()
    })
}

/// L9, and the refinement: each step is one that the specification allows, or none to it.
pub(crate) fn check_step(
    protocol: &Protocol,
    from: &State,
    step: &Step,
    to: &State,
) -> Result<(), Broken> {
    let process = u32::try_from(step.process).unwrap_or(u32::MAX);
    let id = step.thread as u64;
    let it = &from.processes[step.process].threads[step.thread];
    if let Action::Holds(_) = step.action {
        rule(it.ghost.named, "L9 identity", || {
            "holds a file that the path did not name since the grant".into()
        })?;
    }
    let next = &to.processes[step.process].threads[step.thread];
    let decides_to_wait = next.place == Place::Block && it.place != Place::Block;
    let named = it.descriptor.is_some_and(|own| from.names == Some(own.file));
    rule(!decides_to_wait || named, "L9 no sleep in vain", || {
        "decides to wait for a file that the path does not name".into()
    })?;
    if !protocol.refinement {
        return Ok(());
    }
    let path = PATH;
    let lock = |file: u8, mode| {
        let (kept, stage) = (it.call.kept, Stage::Granted);
        let file = file.into();
        Op::Lock { hold: Hold { process, id, path, file, mode, kept, stage, named: false } }
    };
    let was_locked = it.descriptor.is_some_and(|own| own.lock.is_some());
    let (op, expected) = match step.action {
        Action::Calls(..) => (Op::FirstHandle { process, path }, Answer::Done),
        Action::Opens(file, true) => (Op::Name { path, file: Some(file.into()) }, Answer::Done),
        Action::Gets(file, mode) | Action::Wakes(file, mode) => (lock(file, mode), Answer::Granted),
        Action::Refused(file, mode, _) => (lock(file, mode), Answer::Contended),
        Action::Holds(_) => (Op::Record { process, id }, Answer::Ended(Outcome::Held)),
        Action::Takes => (Op::Take { process, path }, Answer::Taken(0)),
        Action::FindsNothing => (Op::Take { process, path }, Answer::Ended(Outcome::NotLocked)),
        Action::TakesGuard => (Op::TakeGuard { process, id }, Answer::Taken(0)),
        Action::Lowers => (Op::Lower { process, id }, Answer::Done),
        Action::Converts(_) => (Op::Convert { process, id }, Answer::Done),
        Action::ConvertRefused => (Op::Restore { process, id }, Answer::Ended(Outcome::Failed)),
        Action::Unlocks(_) => (Op::Unlock { process, id }, Answer::Done),
        Action::Closes(_) if was_locked => (Op::Unlock { process, id }, Answer::Done),
        Action::TellsRefusal => (Op::Refuse { process, path }, Answer::Ended(Outcome::Refused)),
        Action::DropsHandle => (Op::LastHandle { process, path }, Answer::Done),
        Action::Crashes => (Op::Crash { process }, Answer::Done),
        Action::Renames(file) => (Op::Name { path, file: file.map(Into::into) }, Answer::Done),
        _ => {
            return rule(world(from).is_like(&world(to)), "refinement", || {
                "a step that should change nothing changed something".into()
            });
        }
    };
    let mut allowed = world(from);
    if step.action == Action::FindsNothing || step.action == Action::Takes {
        allowed.apply(Op::FirstHandle { process, path });
    }
    let answer = match allowed.apply(op) {
        Answer::Taken(_) => Answer::Taken(0), // whichever
        answer => answer,
    };
    rule(answer == expected, "refinement", || {
        format!("{op:?}: the specification answers {answer:?}, the protocol {expected:?}")
    })?;
    rule(allowed.is_like(&world(to)), "refinement", || {
        format!("{op:?}: the specification's world is then another")
    })
}

/// What a state of the protocol is to the specification.
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
        let hold = |id, own: Descriptor, mode, kept, stage, named| {
            let (path, file) = (PATH, own.file.into());
            Hold { process, id, path, file, mode, kept, stage, named }
        };
        let kept = (100..).zip(it.ledger.kept.iter());
        world.holds.extend(
            kept.map(|(id, kept)| {
                hold(id, kept.descriptor, kept.mode, true, Stage::Recorded, true)
            }),
        );
        for (id, thread) in (0..).zip(it.threads.iter()) {
            let Some(own) = thread.descriptor else { continue };
            let (reached, is_named) = match (thread.place, own.lock) {
                (Place::Guarding, _) => (Stage::Recorded, true),
                (Place::Convert, _) => (Stage::Lowered, true),
                (_, None) => continue,
                (Place::Unlock | Place::Close(_) | Place::Retire(_), _) => (Stage::Taken, true),
                _ => (Stage::Granted, thread.ghost.named),
            };
            let mode = own.lock.unwrap_or(thread.call.mode);
            world.holds.push(hold(id, own, mode, thread.call.kept, reached, is_named));
        }
    }
    world
}
