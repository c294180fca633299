//! The protocol as a [`System`]: its steps, with the laws that must hold of them.

use crate::explorer::{Broken, System};
use crate::laws;
use crate::protocol::{Action, Client, Protocol, Step};
use crate::spec::Outcome;
use crate::state::{Patience, Place, Process, State, Thread};

impl System for Protocol {
    type State = State;
    type Step = Step;

    fn start(&self) -> State {
        self.first_state()
    }

    fn steps(&self, state: &State) -> Vec<(Step, State)> {
        self.next_states(state)
    }

    fn canonical(&self, mut state: State) -> State {
        if self.symmetry && matches!(self.client, Client::Any { .. }) {
            for process in state.processes.iter_mut() {
                process.threads.sort_unstable();
            }
            state.processes.sort_unstable();
        }
        state
    }

    fn check(&self, state: &State) -> Result<(), Broken> {
        laws::check(self, state)
    }

    fn check_step(&self, from: &State, step: &Step, to: &State) -> Result<(), Broken> {
        laws::check_step(self, from, step, to)
    }
}

impl Protocol {
    /// The marked thread wants the lock, and has not seen its deadline pass.
    #[must_use]
    pub fn waits(state: &State) -> bool {
        let wants = |it: &Thread| match it.place {
            Place::Open
            | Place::Try
            | Place::Look
            | Place::Block
            | Place::Queued
            | Place::Reopen => !it.overdue,
            Place::Check | Place::Record => true,
            _ => false,
        };
        Self::watched(state).is_some_and(|it| it.call.patience != Patience::Once && wants(it))
    }

    /// [`waits`](Self::waits), and the path has been the same since the marked thread called.
    #[must_use]
    pub fn waits_undisturbed(state: &State) -> bool {
        Self::waits(state) && Self::watched(state).is_some_and(|it| it.ghost.undisturbed)
    }

    /// The marked thread has got a hold.
    #[must_use]
    pub fn has_arrived(state: &State) -> bool {
        let holds =
            |it: &Thread| matches!(it.place, Place::Guarding | Place::Convert | Place::Owing);
        Self::watched(state).is_some_and(holds)
    }

    /// A step that everybody may be relied on to take: no new call, no crash, no change of the path,
    /// no passing of a deadline.
    #[must_use]
    pub fn is_expected(_: &State, step: &Step) -> bool {
        !matches!(
            step.action,
            Action::Calls(..)
                | Action::Interrupted
                | Action::Refused(_, _, true)
                | Action::UnlockRefused
                | Action::ConvertRefused
                | Action::DropsHandle
                | Action::Crashes
                | Action::Renames(_)
        )
    }

    /// [`is_expected`](Self::is_expected), and not the end of a hold of a file that the path does not
    /// name: whoever holds that may do so for ever.
    #[must_use]
    pub fn is_expected_at_the_path(from: &State, step: &Step) -> bool {
        let Process { ledger, threads, .. } = &from.processes[step.process];
        let ended = match step.action {
            Action::TakesGuard => threads[step.thread].descriptor,
            Action::Takes => ledger.kept.first().map(|kept| kept.descriptor),
            _ => None,
        };
        Self::is_expected(from, step) && ended.is_none_or(|own| Some(own.file) == from.names)
    }

    /// What the call returns, if this step ends one.
    #[must_use]
    pub fn outcome(from: &State, step: &Step) -> Option<Outcome> {
        let place = from.processes[step.process].threads[step.thread].place;
        match (step.action, place) {
            (Action::Holds(_), _) => Some(Outcome::Held),
            (Action::FindsNothing, _) => Some(Outcome::NotLocked),
            (Action::TellsRefusal, _) => Some(Outcome::Refused),
            (Action::ConvertRefused, _) => Some(Outcome::Failed),
            (Action::Returns(outcome), _) | (Action::Spares, Place::Retire(outcome)) => {
                Some(outcome)
            }
            (Action::Closes(_), Place::Close(outcome)) if outcome != Outcome::Refused => {
                Some(outcome)
            }
            _ => None,
        }
    }

    /// The marked thread.
    #[must_use]
    pub fn watched(state: &State) -> Option<&Thread> {
        let mut threads = state.processes.iter().flat_map(|process| process.threads.iter());
        threads.find(|it| it.ghost.watched)
    }
}
