//! The strategy: the steps that may come next. Proptest shrinks towards the first of a list.

use locket_model::spec::{Mode, Process};
use proptest::prelude::any;
use proptest::sample::select;
use proptest::strategy::{BoxedStrategy, Just, Strategy, Union};

use super::ops::{Change, End, HoldKind, Op, Spelling, Step, Timeout};
use super::reference::Reference;

pub(crate) fn step(state: &Reference) -> BoxedStrategy<Step> {
    let mut choices = vec![
        (10, by_any_process(state, acquire().boxed())),
        (5, by_any_process(state, spelling().prop_map(|via| Op::Release { via }).boxed())),
    ];
    let guards: Vec<_> = state.guards.keys().copied().collect();
    if !guards.is_empty() {
        choices.push((6, (select(guards), guard()).prop_map(guard_step).boxed()));
    }
    let handles: Vec<_> = state.handles.iter().copied().collect();
    if !handles.is_empty() && state.waiters.is_empty() {
        let drop = |(process, via)| Step { process, op: Op::DropHandle { via } };
        choices.push((3, select(handles).prop_map(drop).boxed()));
    }
    let changes: Vec<_> =
        Change::ALL.iter().copied().filter(|&change| state.disk.allows(change)).collect();
    if cfg!(unix) && !changes.is_empty() {
        let change_step = |change| Step { process: 1, op: Op::Change(change) };
        choices.push((4, select(changes).prop_map(change_step).boxed()));
    }
    if state.setting.peers {
        choices.push((2, by_any_process(state, Just(Op::Kill).boxed())));
        // Only where the test can see that a process waits.
        let is_held = !state.world.holds().is_empty();
        if cfg!(target_os = "linux") && is_held && state.waiters.len() < 2 {
            choices.push((8, by_any_process(state, wait().boxed())));
        }
    }
    Union::new_weighted(choices).boxed()
}

fn by_any_process(state: &Reference, op: BoxedStrategy<Op>) -> BoxedStrategy<Step> {
    let process = 1..=state.setting.processes();
    (process, op).prop_map(|(process, op)| Step { process, op }).boxed()
}

fn acquire() -> impl Strategy<Value = Op> {
    let timeout = select(&[Timeout::Try, Timeout::Zero, Timeout::Millisecond][..]);
    (spelling(), mode(), kind(), timeout).prop_map(|(via, mode, kind, timeout)| Op::Acquire {
        via,
        mode,
        kind,
        timeout,
    })
}

fn wait() -> impl Strategy<Value = Op> {
    (spelling(), mode(), kind(), any::<bool>()).prop_map(|(via, mode, kind, timed)| Op::Wait {
        via,
        mode,
        kind,
        timed,
    })
}

/// Returns the end of a guard, or `None` for `is_current`.
fn guard() -> impl Strategy<Value = Option<End>> {
    let asks = (2, Just(None).boxed());
    let ends = (3, select(&[Some(End::Drop), Some(End::Release), Some(End::Leak)][..]).boxed());
    Union::new_weighted(vec![asks, ends])
}

fn guard_step(((process, slot), end): ((Process, char), Option<End>)) -> Step {
    let op = end.map_or(Op::IsCurrent { slot }, |end| Op::EndGuard { slot, end });
    Step { process, op }
}

/// Returns a spelling. The plain one is the most frequent.
fn spelling() -> impl Strategy<Value = Spelling> {
    let plain = (2, Just(Spelling::Plain).boxed());
    Union::new_weighted(vec![plain, (3, select(Spelling::ALL).boxed())])
}

fn mode() -> impl Strategy<Value = Mode> {
    select(&[Mode::Exclusive, Mode::Shared][..])
}

fn kind() -> impl Strategy<Value = HoldKind> {
    select(&[HoldKind::Unguarded, HoldKind::Guard('a'), HoldKind::Guard('b')][..])
}
