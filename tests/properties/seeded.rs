//! Seeded bugs, which the checker must find: a wrong specification beside the correct lock. The comparison cannot tell that
//! from a wrong lock beside the correct specification.

use super::reference::Setting;

#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "some bugs need Linux"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WrongSpec {
    AcquireChmods,
    AcquireTruncates,
    AliasesShareState,
    GuardIsAlwaysCurrent,
    KilledProcessKeepsLock,
    KilledWaiterFreesTheLock,
    LinksDoNotExclude,
    MovedFileIsNotFoundAgain,
    NoIdleDescriptor,
    NoReleasedError,
    ReadersExcludeEachOther,
    ReleaseDoesNotUnlock,
    ReleaseEndsGuards,
    ReleaseUnlinks,
    ReleasedErrorOutlivesHandles,
    ReplacedFileExcludes,
    SharedIsExclusive,
    ThirdReaderIsNotCounted,
    TimeoutsAreLonger,
    WaitersAreAdmittedOneByOne,
    WaitersLockTheOldFile,
    WaitersNeverAdmitted,
}

/// A bug; the most steps that its shortest trace may have; the message that it must end with.
type Expected = (WrongSpec, usize, &'static str);

/// Bugs that one process shows, on every platform.
const EVERYWHERE: &[Expected] = &[
    (WrongSpec::AcquireChmods, 1, "the mode is"),
    (WrongSpec::NoReleasedError, 1, "is ReleasedError, and should be Unlocked"),
    (WrongSpec::ReadersExcludeEachOther, 2, "should be: Call(TimedOut)"),
    (WrongSpec::ReleaseDoesNotUnlock, 2, "is Unlocked, and should be HeldExclusive"),
    (WrongSpec::ReleaseEndsGuards, 2, "should be: Call(Released)"),
    (WrongSpec::ReleasedErrorOutlivesHandles, 2, "is Unlocked, and should be ReleasedError"),
    (WrongSpec::SharedIsExclusive, 1, "is HeldShared(1), and should be HeldExclusive"),
    (WrongSpec::ThirdReaderIsNotCounted, 3, "is HeldShared(3), and should be HeldShared(2)"),
    (WrongSpec::TimeoutsAreLonger, 2, "timed out after"),
];

/// Bugs that need files that other programs change, or several names of a file.
const WITH_CHANGED_FILES: &[Expected] = &[
    (WrongSpec::AcquireTruncates, 3, "and should be \"\""),
    (WrongSpec::AliasesShareState, 1, "is Unlocked, and should be HeldExclusive"),
    (WrongSpec::GuardIsAlwaysCurrent, 3, "should be: Current(true)"),
    (WrongSpec::LinksDoNotExclude, 2, "should be: Call(Held)"),
    (WrongSpec::MovedFileIsNotFoundAgain, 4, "should be: Current(false)"),
    (WrongSpec::ReleaseUnlinks, 2, "the directory"),
    (WrongSpec::ReplacedFileExcludes, 3, "should be: Call(TimedOut)"),
];

const OF_DESCRIPTORS: &[Expected] = &[(WrongSpec::NoIdleDescriptor, 3, "descriptors open")];

const OF_PROCESSES: &[Expected] =
    &[(WrongSpec::KilledProcessKeepsLock, 2, "sees None, and should see Some(Exclusive)")];

const OF_WAITERS: &[Expected] = &[
    (WrongSpec::KilledWaiterFreesTheLock, 3, "is HeldExclusive, and should be Unlocked"),
    (WrongSpec::WaitersAreAdmittedOneByOne, 4, "should still wait"),
    (WrongSpec::WaitersLockTheOldFile, 4, "is HeldExclusive, and should be Unlocked"),
    (WrongSpec::WaitersNeverAdmitted, 3, "should still wait"),
];

/// Returns the bugs that this platform can show in the setting.
pub(crate) fn expected(setting: Setting) -> Vec<Expected> {
    let (unix, linux) = (cfg!(unix), cfg!(target_os = "linux"));
    let tables = if setting.peers {
        vec![(true, OF_PROCESSES), (linux, OF_WAITERS)]
    } else {
        vec![(true, EVERYWHERE), (unix, WITH_CHANGED_FILES), (linux, OF_DESCRIPTORS)]
    };
    tables.into_iter().filter(|(here, _)| *here).flat_map(|(_, table)| table).copied().collect()
}
