//! The protocol as a [`System`]: its steps and its laws.

use crate::explorer::{BrokenLaw, System};
use crate::laws;
use crate::protocol::{Action, Client, Protocol, Step};
use crate::spec::Outcome;
use crate::state::{Pc, Process, State, Thread, Wait};

impl System for Protocol {
    type State = State;
    type Step = Step;

    fn initial(&self) -> State {
        self.initial_state()
    }

    fn successors(&self, state: &State) -> Vec<(Step, State)> {
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

    fn check(&self, state: &State) -> Result<(), BrokenLaw> {
        laws::check(self, state)
    }

    fn check_step(&self, from: &State, step: &Step, to: &State) -> Result<(), BrokenLaw> {
        laws::check_step(self, from, step, to)
    }
}

impl Protocol {
    /// Returns whether the tracked thread waits for the lock and has not seen its deadline pass.
    #[must_use]
    pub fn waits(state: &State) -> bool {
        let wants = |it: &Thread| match it.pc {
            Pc::Open | Pc::Try | Pc::VerifyBeforeWait | Pc::Block | Pc::Queued | Pc::Reopen => {
                !it.saw_deadline
            }
            Pc::Verify | Pc::Record => true,
            _ => false,
        };
        Self::tracked(state).is_some_and(|it| it.call.wait != Wait::Try && wants(it))
    }

    /// Returns whether [`waits`](Self::waits) holds and the path has not changed since the call.
    #[must_use]
    pub fn waits_with_path_unchanged(state: &State) -> bool {
        Self::waits(state) && Self::tracked(state).is_some_and(|it| it.ghost.path_unchanged)
    }

    /// Returns whether the tracked thread has a hold.
    #[must_use]
    pub fn has_hold(state: &State) -> bool {
        let holds =
            |it: &Thread| matches!(it.pc, Pc::HoldsGuard | Pc::Convert | Pc::HoldsUnguarded);
        Self::tracked(state).is_some_and(holds)
    }

    /// Returns whether the step continues a call or ends a hold. Excluded are a new call, a deadline, a
    /// refused unlock or downgrade, a dropped handle, a crash and a change of the path.
    #[must_use]
    pub fn is_continuation(_: &State, step: &Step) -> bool {
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

    /// Returns whether [`is_continuation`](Self::is_continuation) holds and the step does not end a hold of a file that
    /// the path no longer names. Such a hold may last forever.
    #[must_use]
    pub fn is_continuation_on_current_file(from: &State, step: &Step) -> bool {
        let Process { ledger, threads, .. } = &from.processes[step.process];
        let ended = match step.action {
            Action::TakesGuard => threads[step.thread].open_file,
            Action::Takes => ledger.unguarded.first().map(|unguarded| unguarded.open_file),
            _ => None,
        };
        Self::is_continuation(from, step) && ended.is_none_or(|open| Some(open.file) == from.names)
    }

    /// Returns the outcome of the call that this step ends, if it ends one.
    #[must_use]
    pub fn outcome(from: &State, step: &Step) -> Option<Outcome> {
        let pc = from.processes[step.process].threads[step.thread].pc;
        match (step.action, pc) {
            (Action::Records(_), _) => Some(Outcome::Held),
            (Action::FindsNothing, _) => Some(Outcome::NotLocked),
            (Action::RecordsRefusal, _) => Some(Outcome::Refused),
            (Action::ConvertRefused, _) => Some(Outcome::Failed),
            (Action::Returns(outcome), _) | (Action::KeepsIdle, Pc::StoreIdle(outcome)) => {
                Some(outcome)
            }
            (Action::Closes(_), Pc::Close(outcome)) if outcome != Outcome::Refused => Some(outcome),
            _ => None,
        }
    }

    /// Returns the tracked thread.
    #[must_use]
    pub fn tracked(state: &State) -> Option<&Thread> {
        let mut threads = state.processes.iter().flat_map(|process| process.threads.iter());
        threads.find(|it| it.ghost.tracked)
    }
}
