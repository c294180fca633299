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

    const CODE: Functions<Self::Registry, Self::Ledger, Self::Hold>;
}

/// The functions under test, of a registry `R`, a ledger `L` and a hold `H`.
pub(crate) struct Functions<R, L, H> {
    pub(crate) registry: fn() -> R,
    /// Locks the registry and unlocks it again.
    pub(crate) touch: fn(&R),
    /// Closes all idle files.
    pub(crate) close_all: fn(&R),
    pub(crate) ledger: fn(&R, LockPath) -> Arc<L>,
    pub(crate) acquire: fn(&Arc<L>, &Options) -> Result<H, LockError>,
    pub(crate) add_unguarded: fn(&Arc<L>, H),
    pub(crate) add: fn(&L, &H),
    pub(crate) release_unguarded: fn(&Arc<L>) -> Result<(), LockError>,
    pub(crate) release_guarded: fn(&Arc<L>, H) -> Result<(), LockError>,
    pub(crate) downgrade: fn(&L, &mut H) -> Result<(), LockError>,
    pub(crate) state: fn(&L) -> State,
}

/// Implements [`Subject`] in a module that contains the files under test.
#[macro_export]
macro_rules! subject {
    () => {
        pub(crate) struct Code;

        impl $crate::subject::Subject for Code {
            type Registry = registry::Registry;
            type Ledger = ledger::Ledger;
            type Hold = ledger::Hold;

            const CODE: $crate::subject::Functions<Self::Registry, Self::Ledger, Self::Hold> =
                $crate::subject::Functions {
                    registry: || {
                        registry::Registry($crate::sync::Mutex::new(registry::Ledgers::new()))
                    },
                    touch: |registry| drop(registry.0.lock()),
                    close_all: |registry| _ = registry.close_idle(),
                    ledger: |registry, path| registry.ledger(path),
                    acquire: |ledger, options| {
                        acquire::acquire(ledger, options, &$crate::observer::Observer::NONE)
                    },
                    add_unguarded: |ledger, hold| ledger::Ledger::add_unguarded(ledger, hold),
                    add: |ledger, hold| ledger.add(hold),
                    release_unguarded: |ledger| release::release_unguarded(ledger),
                    release_guarded: |ledger, hold| release::release_guarded(ledger, hold),
                    downgrade: |ledger, hold| release::downgrade(ledger, hold),
                    state: |ledger| {
                        use locket_model::spec::State;
                        match ledger.state() {
                            ledger::State::Unlocked => State::Unlocked,
                            ledger::State::HeldExclusive => State::HeldExclusive,
                            ledger::State::HeldShared(holds) => State::HeldShared(holds),
                            ledger::State::ReleasedError => State::ReleasedError,
                        }
                    },
                };
        }
    };
}
