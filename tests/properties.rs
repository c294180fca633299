//! Stories made up by proptest, told to the real lock and to the specification (`locket-model`),
//! which have to agree after every step: on what a call says, on the state, on the exclusion that
//! a plain `flock` finds, on the files and on the descriptors. A failure is a story of a few steps.
//!
//! - L1 exclusion, over handles, spellings of the path and processes; L2 a try; L3 never early.
//! - L4 a waiter is let in when the holder releases or dies; L7 the dead hold nothing.
//! - L5 a release ends no guard's hold; L6 released-error, which goes with the last handle.
//! - L8 contents, permissions and names of the files are as they were.
//! - L9 a file that is unlinked, renamed away or replaced, and a guard that tells.
//! - L10 handles of one absolute path share a state, aliases have states of their own.
//! - L12 contention and nothing else is contention; L13 no descriptor is left behind; L14 `flock`.
//!
//! `PROPTEST_CASES` sets how many stories are told. A failure names the seed that tells it again.
#![allow(clippy::panic, reason = "that is how a test fails")]

mod properties {
    pub(crate) mod check;
    mod choosing;
    mod disk;
    mod here;
    mod peers;
    mod place;
    pub(crate) mod reference;
    pub(crate) mod seeded;
    pub(crate) mod sights;
    mod story;
    mod subject;
}
mod support;

use properties::check::{Conviction, acquit, convict, look_at};
use properties::reference::Setting;
use properties::seeded::{BrokenLock, WrongSpec};
use properties::sights::{self, Sight};
use proptest::test_runner::{Config, RngSeed};

#[test]
fn one_process_is_as_specified() {
    let regressions =
        concat!(env!("CARGO_MANIFEST_DIR"), "/properties/one_process.proptest-regressions");
    acquit(Setting::HERE, as_many_as_there_is_time_for(500), regressions);
}

#[test]
fn several_processes_are_as_specified() {
    let regressions =
        concat!(env!("CARGO_MANIFEST_DIR"), "/properties/several_processes.proptest-regressions");
    acquit(Setting::PEERS, as_many_as_there_is_time_for(60), regressions);
}

/// Under Wine a system call takes ten times as long, and a process as much again.
fn as_many_as_there_is_time_for(stories: u32) -> u32 {
    if cfg!(windows) { stories / 3 } else { stories }
}

/// Nothing of this may be missing from the stories.
#[test]
fn the_stories_have_everything_in_them() {
    let mut here = sights::IN_ONE_PROCESS.to_vec();
    let mut peers = sights::IN_SEVERAL_PROCESSES.to_vec();
    if cfg!(unix) {
        here.extend(sights::OF_REPLACED_FILES);
    }
    if cfg!(target_os = "linux") {
        peers.extend(sights::OF_WAITERS);
    }
    see(Setting::HERE, &here);
    see(Setting::PEERS, &peers);
}

fn see(setting: Setting, sights: &[Sight]) {
    let mut seen = vec![0; sights.len()];
    look_at(setting, &fixed(sights::STORIES), |before, step, after| {
        for (count, (_, is_seen, _)) in seen.iter_mut().zip(sights) {
            *count += u32::from(is_seen(before, step, after));
        }
    });
    for (count, (what, _, least)) in seen.into_iter().zip(sights) {
        eprintln!("{what}: {count}");
        assert!(count >= *least, "{what}: {count} times only");
    }
}

fn fixed(cases: u32) -> Config {
    Config {
        cases,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..Config::default()
    }
}

/// A bug, and the story that has to be found: at most so many steps, and this complaint.
type Charge<T> = (T, usize, &'static str);

fn convict_all(charges: &[(Setting, usize, &str)]) {
    for &(setting, most_steps, complaint) in charges {
        let Some(Conviction { report, steps }) = convict(setting, &fixed(2_000)) else {
            panic!("acquitted: {setting:?}");
        };
        eprintln!("{setting:?}\n{report}\n");
        assert!(steps <= most_steps, "a story of {steps} steps is too long");
        assert!(report.contains(complaint), "another complaint was due: {complaint}");
    }
}

fn wrong_specs(base: Setting, charges: &[Charge<WrongSpec>]) {
    let setting = |wrong| Setting { wrong_spec: Some(wrong), ..base };
    convict_all(&charges.iter().map(|&(bug, n, text)| (setting(bug), n, text)).collect::<Vec<_>>());
}

fn broken_locks(base: Setting, charges: &[Charge<BrokenLock>]) {
    let setting = |bug| Setting { broken_lock: Some(bug), ..base };
    convict_all(&charges.iter().map(|&(bug, n, text)| (setting(bug), n, text)).collect::<Vec<_>>());
}

#[test]
fn wrong_specifications_are_convicted() {
    wrong_specs(
        Setting::HERE,
        &[
            (WrongSpec::ForgetsReleasedError, 1, "is ReleasedError, and should be Unlocked"),
            (WrongSpec::ErrorOutlivesHandles, 2, "is Unlocked, and should be ReleasedError"),
            (WrongSpec::SharedIsExclusive, 1, "is HeldShared(1), and should be HeldExclusive"),
            (WrongSpec::ReleaseEndsGuards, 2, "should be: released"),
        ],
    );
    #[cfg(unix)]
    wrong_specs(
        Setting::HERE,
        &[
            (WrongSpec::ReplacedFileExcludes, 3, "should be: timed out"),
            (WrongSpec::AliasesShareState, 1, "is Unlocked, and should be HeldExclusive"),
        ],
    );
}

#[test]
fn wrong_specifications_of_processes_are_convicted() {
    wrong_specs(Setting::PEERS, &[(WrongSpec::TheDeadHoldOn, 2, "says free")]);
    #[cfg(target_os = "linux")]
    wrong_specs(
        Setting::PEERS,
        &[
            (WrongSpec::WaitersStayOut, 3, "should still wait"),
            (WrongSpec::WaitersTakeTheOldFile, 4, "is HeldExclusive, and should be Unlocked"),
        ],
    );
}

#[test]
fn broken_locks_are_convicted() {
    broken_locks(
        Setting::HERE,
        &[
            (BrokenLock::ForgetsToUnlock, 2, "is HeldExclusive, and should be Unlocked"),
            (BrokenLock::ReleaseEndsGuards, 2, "is Unlocked, and should be HeldExclusive"),
            (BrokenLock::SharedTimesOut, 2, "should be: held"),
            (BrokenLock::GivesUpEarly, 2, "timed out after"),
            (BrokenLock::ForgetsReleasedError, 1, "is Unlocked, and should be ReleasedError"),
            (BrokenLock::Chmods, 1, "the mode is"),
        ],
    );
    #[cfg(unix)]
    broken_locks(
        Setting::HERE,
        &[
            (BrokenLock::Truncates, 3, "the contents is \"\""),
            (BrokenLock::DeletesOnRelease, 2, "the directory"),
            (BrokenLock::TrustsItsDescriptor, 3, "should be: held"),
            (BrokenLock::IsAlwaysCurrent, 3, "should be: replaced"),
        ],
    );
    #[cfg(target_os = "linux")]
    broken_locks(Setting::HERE, &[(BrokenLock::LeaksDescriptors, 3, "descriptors open")]);
}

#[test]
fn a_death_that_is_none_is_convicted() {
    let complaint = "says exclusive, it should be free";
    broken_locks(Setting::PEERS, &[(BrokenLock::SurvivesDeath, 2, complaint)]);
}
