//! What a test and a peer say to each other. A request is one line of JSON, and its answer is another. The tests and
//! the peer both mount this file.

use std::ffi::OsString;
use std::time::Duration;

use locket::{Action, ErrorKind, Mode, State};
use serde::{Deserialize, Serialize};

/// A request. The test chooses the names of handles, guards, foreign files, jobs and children.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Request<S = String> {
    /// Makes a handle. Its value is the absolute path.
    Handle(S, OsString, Vec<Setting>),
    /// Makes a handle with the path and the settings of another handle, and more settings.
    HandleOf(S, S, Vec<Setting>),
    DropHandle(S),

    /// Acquires the lock of the handle with a guard.
    Lock(S, S),
    TryLock(S, S),
    ReleaseGuard(S),
    DropGuard(S),
    ForgetGuard(S),
    InheritOnExec(S),
    #[cfg(unix)]
    InheritOnFork(S),
    /// Borrows the guard's descriptor. Its value is the number.
    #[cfg(unix)]
    Lend(S),
    Downgrade(S),
    IsCurrent(S),

    /// Acquires the lock of the handle without a guard.
    Acquire(S),
    TryAcquire(S),
    Release(S),
    State(S),
    /// Its value is `HELD <- WAITING`, each `none` or a list like `shared pid 7 (locket-peer), shared pid 8 (sh)`.
    Status(S),
    /// Waits, and is cancelled by the first call of its observer. Its value is the observer's status.
    Observe(S),

    /// Opens the file as a program without Locket does. The requests below call `flock(2)` or `LockFileEx`.
    OpenForeign(S, OsString),
    CloseForeign(S),
    LockForeign(S, #[serde(with = "ModeDef")] Mode),
    /// Its value is `false` if another open file holds the lock.
    TryForeign(S, #[serde(with = "ModeDef")] Mode),
    UnlockForeign(S),

    /// Starts a job: carries out a request on a new thread. Its value is the thread's id, on Linux.
    Start(S, Box<Self>),
    IsDone(S),
    /// Waits for the end of a job. The answer is the job's, times included.
    Wait(S),
    /// Ends the `Repeat` of a job after its current turn.
    Stop(S),
    /// Carries out the requests that many times, up to the first error, which is the answer. Its value is the number of
    /// turns.
    Repeat(u64, Vec<Self>),
    /// Carries out a request that may be refused.
    Attempt(Box<Self>),

    Pid,
    ChangeDirectory(OsString),
    /// Starts a program in the background. Its value is the process id.
    Spawn(Vec<OsString>),
    /// Delays the exit after the end of the input by that many milliseconds.
    Linger(u64),

    /// Forks a child, which inherits everything but the jobs. Its value is the process id. Not as a job.
    #[cfg(unix)]
    Fork(S),
    /// Makes a child by the bare system call, which does not run the handlers of `pthread_atfork`.
    #[cfg(target_os = "linux")]
    CloneChild(S),
    /// Carries out a request in a child. The answer is the child's, times included. Children may have children.
    #[cfg(unix)]
    Child(S, Box<Self>),
    #[cfg(unix)]
    KillChild(S),
    /// Closes the child's input, and waits for the child's end.
    #[cfg(unix)]
    EndChild(S),
    /// Changes the user and the group, irrevocably.
    #[cfg(unix)]
    Become(u32),
    /// Its value is the lowest descriptor that is not open.
    #[cfg(unix)]
    FreeDescriptor,
    /// Limits the number of descriptors. Its value is the previous limit.
    #[cfg(unix)]
    LimitFiles(u64),
    /// Closes the descriptor, which may be the library's.
    #[cfg(unix)]
    CloseDescriptor(i32),
    #[cfg(unix)]
    Umask(u32),

    /// From now on Ctrl-C and Ctrl-Break do not end the peer.
    #[cfg(windows)]
    IgnoreCtrlC,
    /// Its value tells whether one has come since.
    #[cfg(windows)]
    HasSeenCtrlC,
}

/// A setting of a handle. Times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Setting {
    Timeout(u64),
    NoTimeout,
    RetryPeriod(u64),
    Shared,
    FollowLinks(bool),
    #[cfg(unix)]
    FileMode(u32),
    KeepOpen(bool),
    UseSignals(bool),
    /// Queries the holders in a wait, so that the error of a timeout names them.
    QueryStatus,
}

/// When a request began, when it was done, and its result. All processes of the machine share the clock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) begun: Duration,
    pub(crate) done: Duration,
    pub(crate) outcome: Result<Value, Refusal>,
}

/// An answer, or the reason why the peer could not carry out the request: a name that does not exist, or a system call
/// outside the library that failed.
pub(crate) type Reply = Result<Answer, String>;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Value {
    Nothing,
    Flag(bool),
    Number(u64),
    Text(String),
    State(#[serde(with = "StateDef")] State),
}

/// An error of the library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    #[serde(with = "kind")]
    pub(crate) kind: ErrorKind,
    #[serde(with = "action")]
    pub(crate) action: Action,
    pub(crate) message: String,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Mode")]
enum ModeDef {
    Exclusive,
    Shared,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "State")]
enum StateDef {
    Unlocked,
    HeldExclusive,
    HeldShared(usize),
    ReleasedError,
}

/// Serializes an enum by the names of its variants. serde does not derive that for a type that is not exhaustive.
macro_rules! by_name {
    ($module:ident: $type:ident { $($variant:ident),* }) => {
        mod $module {
            use locket::$type;
            use serde::{Deserialize, Deserializer, Serializer, de::Error};

            #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
            pub(super) fn serialize<S: Serializer>(value: &$type, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&format!("{value:?}"))
            }

            pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<$type, D::Error> {
                match &*String::deserialize(from)? {
                    $(stringify!($variant) => Ok($type::$variant),)*
                    name => Err(D::Error::custom(format_args!("unknown variant {name}"))),
                }
            }
        }
    };
}

by_name!(kind: ErrorKind {
    WouldBlock, TimedOut, Cancelled, NotLocked, PermissionDenied, Unsupported, ResourceExhausted, InvalidPath, Deadlock,
    StaleHandle, Other
});
by_name!(action: Action { Open, Create, Lock, Downgrade, Verify, Query, List, Inherit, Unlock });
