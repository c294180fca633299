//! The code under test: as shipped, or a copy with a bug.

use locket_model::spec::State;

use crate::error::LockError;
use crate::options::Options;
use crate::os::LockPath;
use crate::sync::Arc;

pub(crate) trait Subject: 'static {
    type Registry: Send + Sync;
    type Ledger: Send + Sync;
    type Hold: Send;

    fn registry() -> Self::Registry;
    /// Locks the registry and unlocks it again.
    fn touch(registry: &Self::Registry);
    /// Closes all idle files.
    fn close_all(registry: &Self::Registry);
    fn ledger(registry: &Self::Registry, path: LockPath) -> Arc<Self::Ledger>;
    fn acquire(ledger: &Arc<Self::Ledger>, options: &Options) -> Result<Self::Hold, LockError>;
    fn add_unguarded(ledger: &Arc<Self::Ledger>, hold: Self::Hold);
    fn add(ledger: &Self::Ledger, hold: &Self::Hold);
    fn release_unguarded(ledger: &Arc<Self::Ledger>) -> Result<(), LockError>;
    fn release_guarded(ledger: &Arc<Self::Ledger>, hold: Self::Hold) -> Result<(), LockError>;
    fn downgrade(ledger: &Self::Ledger, hold: &mut Self::Hold) -> Result<(), LockError>;
    fn state(ledger: &Self::Ledger) -> State;
}

/// Implements [`Subject`] in a module that contains the files under test.
#[macro_export]
macro_rules! subject {
    () => {
        pub(crate) struct Code;

        const _: () = {
            use $crate::error::LockError;
            use $crate::observer::Observer;
            use $crate::options::Options;
            use $crate::os::LockPath;
            use $crate::sync::{Arc, Mutex};

            use ledger::{Hold, Ledger};
            use locket_model::spec::State;
            use registry::{Ledgers, Registry};

            impl $crate::subject::Subject for Code {
                type Registry = Registry;
                type Ledger = Ledger;
                type Hold = Hold;

                fn registry() -> Registry {
                    Registry(Mutex::new(Ledgers::new()))
                }

                fn touch(registry: &Registry) {
                    drop(registry.0.lock());
                }

                fn close_all(registry: &Registry) {
                    registry.close_idle();
                }

                fn ledger(registry: &Registry, path: LockPath) -> Arc<Ledger> {
                    registry.ledger(path)
                }

                fn acquire(ledger: &Arc<Ledger>, options: &Options) -> Result<Hold, LockError> {
                    acquire::acquire(ledger, options, &Observer::NONE)
                }

                fn add_unguarded(ledger: &Arc<Ledger>, hold: Hold) {
                    Ledger::add_unguarded(ledger, hold);
                }

                fn add(ledger: &Ledger, hold: &Hold) {
                    ledger.add(hold);
                }

                fn release_unguarded(ledger: &Arc<Ledger>) -> Result<(), LockError> {
                    release::release_unguarded(ledger)
                }

                fn release_guarded(ledger: &Arc<Ledger>, hold: Hold) -> Result<(), LockError> {
                    release::release_guarded(ledger, hold)
                }

                fn downgrade(ledger: &Ledger, hold: &mut Hold) -> Result<(), LockError> {
                    release::downgrade(ledger, hold)
                }

                fn state(ledger: &Ledger) -> State {
                    match ledger.state() {
                        ledger::State::Unlocked => State::Unlocked,
                        ledger::State::HeldExclusive => State::HeldExclusive,
                        ledger::State::HeldShared(holds) => State::HeldShared(holds),
                        ledger::State::ReleasedError => State::ReleasedError,
                    }
                }
            }
        };
    };
}
