//! What may happen next. What comes first in a list is what a story is shrunk to.

use locket_model::spec::{Mode, Process};
use proptest::prelude::any;
use proptest::sample::select;
use proptest::strategy::{BoxedStrategy, Just, Strategy, Union};

use super::reference::Reference;
use super::story::{Change, Deed, End, Keep, Patience, Spelling, Step};

pub(crate) fn step(state: &Reference) -> BoxedStrategy<Step> {
    let mut choices = vec![
        (10, by_somebody(state, acquire().boxed())),
        (5, by_somebody(state, spelling().prop_map(|via| Deed::Release { via }).boxed())),
    ];
    let guards: Vec<_> = state.guards.keys().copied().collect();
    if !guards.is_empty() {
        choices.push((6, (select(guards), guard()).prop_map(about_guard).boxed()));
    }
    let handles: Vec<_> = state.handles.iter().copied().collect();
    if !handles.is_empty() && state.waiters.is_empty() {
        let drop = |(process, via)| Step { process, deed: Deed::DropHandle { via } };
        choices.push((3, select(handles).prop_map(drop).boxed()));
    }
    let changes: Vec<_> =
        Change::ALL.iter().copied().filter(|&change| state.disk.allows(change)).collect();
    if cfg!(unix) && !changes.is_empty() {
        let befall = |change| Step { process: 1, deed: Deed::Change(change) };
        choices.push((4, select(changes).prop_map(befall).boxed()));
    }
    if state.setting.peers {
        choices.push((2, by_somebody(state, Just(Deed::Kill).boxed())));
        // Only where one can see that it waits.
        let is_held = !state.world.holds().is_empty();
        if cfg!(target_os = "linux") && is_held && state.waiters.len() < 2 {
            choices.push((8, by_somebody(state, wait().boxed())));
        }
    }
    Union::new_weighted(choices).boxed()
}

fn by_somebody(state: &Reference, deed: BoxedStrategy<Deed>) -> BoxedStrategy<Step> {
    let process = 1..=state.setting.processes();
    (process, deed).prop_map(|(process, deed)| Step { process, deed }).boxed()
}

fn acquire() -> impl Strategy<Value = Deed> {
    let patience = select(&[Patience::Try, Patience::Zero, Patience::Millisecond][..]);
    (spelling(), mode(), keep(), patience).prop_map(|(via, mode, keep, patience)| Deed::Acquire {
        via,
        mode,
        keep,
        patience,
    })
}

fn wait() -> impl Strategy<Value = Deed> {
    (spelling(), mode(), keep(), any::<bool>()).prop_map(|(via, mode, keep, timed)| Deed::Wait {
        via,
        mode,
        keep,
        timed,
    })
}

/// The end of a guard, or `None` to ask it.
fn guard() -> impl Strategy<Value = Option<End>> {
    let asks = (2, Just(None).boxed());
    let ends = (3, select(&[Some(End::Drop), Some(End::Release), Some(End::Leak)][..]).boxed());
    Union::new_weighted(vec![asks, ends])
}

fn about_guard(((process, slot), end): ((Process, char), Option<End>)) -> Step {
    let deed = end.map_or(Deed::IsCurrent { slot }, |end| Deed::EndGuard { slot, end });
    Step { process, deed }
}

/// The first one is the one that most stories are about.
fn spelling() -> impl Strategy<Value = Spelling> {
    let plain = (2, Just(Spelling::Plain).boxed());
    Union::new_weighted(vec![plain, (3, select(Spelling::ALL).boxed())])
}

fn mode() -> impl Strategy<Value = Mode> {
    select(&[Mode::Exclusive, Mode::Shared][..])
}

fn keep() -> impl Strategy<Value = Keep> {
    select(&[Keep::Kept, Keep::Guard('a'), Keep::Guard('b')][..])
}
