//! The formal model, stepped along with the code: what the kernel or a ledger does is done in the
//! model too, inside the same critical section, and must get the same answer.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use locket_model::spec::{Answer, Op, State, World};

thread_local! {
    /// What the model and the code have done so far in this execution. Not one of loom's: all
    /// threads of an execution are one thread to the system, and other tests have others.
    static ORACLE: RefCell<Oracle> = RefCell::default();
}

#[derive(Default)]
struct Oracle {
    world: World,
    dead: BTreeSet<u32>,
    handles: BTreeMap<(u32, u32), usize>,
    trace: Vec<(Op, Answer)>,
    violation: Option<String>,
}

loom::thread_local! {
    /// The step that the next critical section of a ledger takes, and what it must answer.
    static ANNOUNCED: Cell<Option<Op>> = Cell::new(None);
    static ANSWER: Cell<Option<Answer>> = Cell::new(None);
}

fn with<R>(f: impl FnOnce(&mut Oracle) -> R) -> R {
    ORACLE.with_borrow_mut(f)
}

pub(crate) fn begin() {
    with(|oracle| *oracle = Oracle::default());
}

/// Takes a step in the model.
pub(crate) fn step(op: Op) -> Answer {
    with(|oracle| {
        if process_of(op).is_some_and(|process| oracle.dead.contains(&process)) {
            return Answer::Done;
        }
        let answer = oracle.world.apply(op);
        match op {
            Op::Crash { process } => drop(oracle.dead.insert(process)),
            Op::FirstHandle { process, path } => {
                *oracle.handles.entry((process, path)).or_default() += 1;
            }
            _ => {}
        }
        oracle.trace.push((op, answer));
        if let Answer::NotEnabled(why) = answer {
            blame(oracle, why);
        }
        answer
    })
}

/// Takes a step in the model, which must answer what the code did.
pub(crate) fn expect(op: Op, answer: Answer) {
    let expected = step(op);
    if expected != answer {
        violation(&format!("the code answered {answer:?}, the model {expected:?}, to {op:?}"));
    }
}

/// The next critical section of a ledger on this thread is this step.
pub(crate) fn announce(op: Op) {
    ANNOUNCED.with(|announced| announced.set(Some(op)));
}

/// At the end of a critical section: the step that was announced for it, if any.
pub(crate) fn step_announced() {
    // While loom tears an execution down, its thread-locals are gone.
    let announced = ANNOUNCED.try_with(Cell::take).ok().flatten();
    if let Some(op) = announced {
        let answer = step(op);
        ANSWER.with(|slot| slot.set(Some(answer)));
    }
}

/// What the model answered to the step that this thread announced last.
pub(crate) fn announced_answer() -> Option<Answer> {
    ANSWER.with(Cell::take)
}

pub(crate) fn is_dead(process: u32) -> bool {
    with(|oracle| oracle.dead.contains(&process))
}

/// Remembers the first thing that went wrong. The execution goes on, since a panic would unwind
/// through locks that loom still needs; [`finish`] reports it.
pub(crate) fn violation(why: &str) {
    with(|oracle| blame(oracle, why));
}

fn blame(oracle: &mut Oracle, why: &str) {
    if oracle.violation.is_some() {
        return; // The first thing to go wrong explains the rest.
    }
    let steps = oracle.trace.iter().map(|(op, answer)| format!("{op:?} -> {answer:?}"));
    let story = [format!("{why}; what happened:")].into_iter().chain(steps);
    oracle.violation = Some(story.collect::<Vec<_>>().join("\n  "));
}

/// A handle goes, perhaps the last.
pub(crate) fn handle_dropped(process: u32, path: u32) {
    let last = with(|oracle| {
        let handles = oracle.handles.entry((process, path)).or_default();
        *handles = handles.saturating_sub(1);
        *handles == 0
    });
    if last {
        step(Op::LastHandle { process, path });
    }
}

/// What the model says of a process's lock.
pub(crate) fn state(process: u32, path: u32) -> State {
    with(|oracle| oracle.world.state(process, path))
}

/// How many locks the model's system has granted to a process.
pub(crate) fn holds(process: u32) -> usize {
    with(|oracle| oracle.world.holds().iter().filter(|hold| hold.process == process).count())
}

/// What has happened so far.
pub(crate) fn trace() -> Vec<(Op, Answer)> {
    with(|oracle| oracle.trace.clone())
}

/// The end of an execution: the story of what went wrong, if anything did.
pub(crate) fn finish() -> Result<(), String> {
    with(|oracle| oracle.violation.take().map_or(Ok(()), Err))
}

fn process_of(op: Op) -> Option<u32> {
    match op {
        Op::Lock { hold } => Some(hold.process),
        Op::Record { process, .. }
        | Op::Take { process, .. }
        | Op::TakeGuard { process, .. }
        | Op::Lower { process, .. }
        | Op::Convert { process, .. }
        | Op::Restore { process, .. }
        | Op::Unlock { process, .. }
        | Op::Refuse { process, .. }
        | Op::FirstHandle { process, .. }
        | Op::LastHandle { process, .. }
        | Op::Crash { process } => Some(process),
        Op::SetFile { .. } => None,
    }
}
