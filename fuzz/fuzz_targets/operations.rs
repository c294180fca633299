//! Each byte is an operation on one of two handles of a file. The library must give the answers of the
//! specification.
#![no_main]

use libfuzzer_sys::fuzz_target;
use locket::{ErrorKind, Guard, Lock, LockError, State};
use locket_model::spec::{self, Mode, Outcome, World};

const PROCESS: u32 = 0;
const PATH: u32 = 0;

fuzz_target!(|operations: &[u8]| {
    let dir = tempfile::tempdir().expect("a directory can be created");
    let exclusive = Lock::new(dir.path().join("lock"));
    let shared = exclusive.clone().shared();
    let (mut world, mut guards) = (World::default(), Vec::<(u64, Guard)>::new());
    for (id, operation) in (0..).zip(operations) {
        let (handle, mode) = match operation & 1 {
            0 => (&exclusive, Mode::Exclusive),
            _ => (&shared, Mode::Shared),
        };
        let (next, expected, outcome) = match operation >> 1 & 3 {
            0 => {
                let (next, expected) = world.acquire(PROCESS, PATH, id, mode, true);
                (next, expected, acquired(&handle.try_acquire()))
            }
            1 => {
                let (next, expected) = world.acquire(PROCESS, PATH, id, mode, false);
                let guard = handle.try_lock();
                let outcome = acquired(&guard);
                guards.extend(guard.ok().map(|guard| (id, guard)));
                (next, expected, outcome)
            }
            2 => {
                let (next, expected) = world.release(PROCESS, PATH, false);
                (next, expected, released(&handle.release()))
            }
            _ => {
                if guards.is_empty() {
                    continue;
                }
                let (id, guard) = guards.remove(usize::from(operation >> 3) % guards.len());
                let (next, expected) =
                    world.release_guard(PROCESS, id, false).expect("the model has this hold");
                (next, expected, released(&guard.release()))
            }
        };
        assert_eq!(outcome, expected);
        assert_eq!(state(handle.state()), next.state(PROCESS, PATH));
        world = next;
    }
    while exclusive.release().is_ok() {}
});

fn acquired<T>(result: &Result<T, LockError>) -> Outcome {
    match result {
        Ok(_) => Outcome::Held,
        Err(error) if error.is_contended() => Outcome::TimedOut,
        Err(_) => Outcome::Failed,
    }
}

fn released(result: &Result<(), LockError>) -> Outcome {
    match result {
        Ok(()) => Outcome::Released,
        Err(error) if error.kind() == ErrorKind::NotLocked => Outcome::NotLocked,
        Err(_) => Outcome::Refused,
    }
}

fn state(state: State) -> spec::State {
    match state {
        State::Unlocked => spec::State::Unlocked,
        State::HeldExclusive => spec::State::HeldExclusive,
        State::HeldShared(holds) => spec::State::HeldShared(holds),
        State::ReleasedError => spec::State::ReleasedError,
    }
}
