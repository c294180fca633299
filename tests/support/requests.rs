//! The requests as methods. A peer and its forked children have them.

use std::borrow::Borrow;
use std::ffi::OsStr;

use locket::{ErrorKind, Mode, State};

use super::protocol::{Answer, Refusal, Request, Setting, Value};

/// Requests that must succeed, and have no value.
macro_rules! without_value {
    ($($method:ident($($name:ident: $type:ty),*) = $variant:ident;)*) => {
        $(
            #[track_caller]
            fn $method(&mut self, $($name: $type),*) {
                self.ok(Request::$variant($($name),*));
            }
        )*
    };
}

/// Requests that must succeed, and their values.
macro_rules! with_value {
    ($($method:ident($($name:ident: $type:ty),*) = $variant:ident -> $kind:ident($result:ty);)*) => {
        $(
            #[track_caller]
            fn $method(&mut self, $($name: $type),*) -> $result {
                match self.ok(Request::$variant($($name),*)) {
                    Value::$kind(value) => value,
                    value => panic!("unexpected value: {value:?}"),
                }
            }
        )*
    };
}

pub(crate) trait Requests {
    /// Sends a request and waits for the answer. Returns `None` if the peer was killed before it answered.
    #[track_caller]
    fn tries_to<'a>(&mut self, request: impl Borrow<Request<&'a str>>) -> Option<Answer>;

    /// Sends a request and waits for the answer.
    #[track_caller]
    fn ask<'a>(&mut self, request: impl Borrow<Request<&'a str>>) -> Answer {
        let request = request.borrow();
        self.tries_to(request).unwrap_or_else(|| panic!("the peer exited during {request:?}"))
    }

    /// Sends a request that must succeed and returns its value.
    #[track_caller]
    fn ok<'a>(&mut self, request: impl Borrow<Request<&'a str>>) -> Value {
        let request = request.borrow();
        let outcome = self.ask(request).outcome;
        outcome.unwrap_or_else(|refusal| panic!("{request:?} failed: {refusal:?}"))
    }

    /// Sends a request that must fail and returns its error.
    #[track_caller]
    fn refuses<'a>(&mut self, request: impl Borrow<Request<&'a str>>) -> Refusal {
        let request = request.borrow();
        match self.ask(request).outcome {
            Ok(value) => panic!("{request:?} should have failed: {value:?}"),
            Err(refusal) => refusal,
        }
    }

    without_value! {
        drop_handle(handle: &str) = DropHandle;
        lock(handle: &str, guard: &str) = Lock;
        try_lock(handle: &str, guard: &str) = TryLock;
        release_guard(guard: &str) = ReleaseGuard;
        drop_guard(guard: &str) = DropGuard;
        forget_guard(guard: &str) = ForgetGuard;
        inherit_on_exec(guard: &str) = InheritOnExec;
        downgrade(guard: &str) = Downgrade;
        acquire(handle: &str) = Acquire;
        try_acquire(handle: &str) = TryAcquire;
        release(handle: &str) = Release;
        close_foreign(file: &str) = CloseForeign;
        lock_foreign(file: &str, mode: Mode) = LockForeign;
        unlock_foreign(file: &str) = UnlockForeign;
        stop(job: &str) = Stop;
        linger(milliseconds: u64) = Linger;
    }

    #[cfg(unix)]
    without_value! {
        kill_child(child: &str) = KillChild;
        end_child(child: &str) = EndChild;
        inherit_on_fork(guard: &str) = InheritOnFork;
        lend(guard: &str) = Lend;
        become_user(id: u32) = Become;
        close_descriptor(number: i32) = CloseDescriptor;
        umask(mask: u32) = Umask;
    }

    with_value! {
        is_current(guard: &str) = IsCurrent -> Flag(bool);
        state(handle: &str) = State -> State(State);
        status(handle: &str) = Status -> Text(String);
        observe(handle: &str) = Observe -> Text(String);
        try_foreign(file: &str, mode: Mode) = TryForeign -> Flag(bool);
        is_done(job: &str) = IsDone -> Flag(bool);
    }

    #[cfg(unix)]
    with_value! {
        limit_files(limit: u64) = LimitFiles -> Number(u64);
    }

    /// Forks a child and returns its process id.
    #[cfg(unix)]
    #[track_caller]
    fn fork(&mut self, child: &str) -> u32 {
        self.ok(Request::Fork(child)).number()
    }

    /// Makes a handle and returns its absolute path.
    #[track_caller]
    fn handle(&mut self, name: &str, path: impl AsRef<OsStr>, settings: &[Setting]) -> String {
        match self.ok(Request::Handle(name, path.as_ref().into(), settings.to_vec())) {
            Value::Text(path) => path,
            value => panic!("unexpected value: {value:?}"),
        }
    }

    #[track_caller]
    fn open_foreign(&mut self, name: &str, path: impl AsRef<OsStr>) {
        self.ok(Request::OpenForeign(name, path.as_ref().into()));
    }

    #[track_caller]
    fn change_directory(&mut self, path: impl AsRef<OsStr>) {
        self.ok(Request::ChangeDirectory(path.as_ref().into()));
    }

    /// Starts a program in the background and returns its process id.
    #[track_caller]
    fn start_program(&mut self, words: &[impl AsRef<OsStr>]) -> u32 {
        let words = words.iter().map(|word| word.as_ref().into()).collect();
        self.ok(Request::Spawn(words)).number()
    }

    /// Starts a job and returns its thread's id, on Linux.
    #[track_caller]
    fn start(&mut self, job: &str, request: Request<&str>) -> u32 {
        self.ok(Request::Start(job, Box::new(request))).number()
    }

    /// Carries out the requests that many times and returns the number of turns.
    #[track_caller]
    fn repeat<const N: usize>(&mut self, turns: u64, requests: [Request<&str>; N]) -> u64 {
        self.ok(repeat(turns, requests)).number()
    }

    /// Waits for the end of a job and returns its answer.
    #[track_caller]
    fn wait(&mut self, job: &str) -> Answer {
        self.ask(Request::Wait(job))
    }

    /// Waits for the end of a job that must succeed and returns its value.
    #[track_caller]
    fn wait_ok(&mut self, job: &str) -> Value {
        self.ok(Request::Wait(job))
    }

    #[cfg(unix)]
    #[track_caller]
    fn free_descriptor(&mut self) -> u64 {
        self.ok(Request::FreeDescriptor).number()
    }

    /// Returns whether the handle can acquire the lock now. Releases it again.
    #[track_caller]
    fn finds_free(&mut self, handle: &str) -> bool {
        match self.ask(Request::TryLock(handle, "probe")).outcome {
            Ok(_) => {
                self.release_guard("probe");
                true
            }
            Err(refusal) if refusal.kind == ErrorKind::WouldBlock => false,
            Err(refusal) => panic!("neither free nor held: {refusal:?}"),
        }
    }

    /// The child with this name carries out the requests to the result.
    #[cfg(unix)]
    fn child<'a>(&'a mut self, name: &'a str) -> Child<'a, Self>
    where
        Self: Sized,
    {
        Child { parent: self, name }
    }
}

/// A forked child of a peer, or of a child.
#[cfg(unix)]
pub(crate) struct Child<'a, P> {
    parent: &'a mut P,
    name: &'a str,
}

#[cfg(unix)]
impl<P: Requests> Requests for Child<'_, P> {
    #[track_caller]
    fn tries_to<'a>(&mut self, request: impl Borrow<Request<&'a str>>) -> Option<Answer> {
        self.parent.tries_to(in_child(&[self.name], request.borrow().clone()))
    }
}

/// Returns the request to the child, or to the child's child, and so on; without names, to the peer itself.
#[cfg(unix)]
pub(crate) fn in_child<'a>(names: &[&'a str], request: Request<&'a str>) -> Request<&'a str> {
    names.iter().rfold(request, |request, name| Request::Child(name, Box::new(request)))
}

pub(crate) fn repeat<const N: usize>(turns: u64, requests: [Request<&str>; N]) -> Request<&str> {
    Request::Repeat(turns, requests.into())
}

pub(crate) fn attempt(request: Request<&str>) -> Request<&str> {
    Request::Attempt(Box::new(request))
}

impl Value {
    /// Returns the number that the value is.
    #[track_caller]
    pub(crate) fn number<T: TryFrom<u64>>(&self) -> T {
        match self {
            Self::Number(number) => T::try_from(*number).ok(),
            _ => None,
        }
        .unwrap_or_else(|| panic!("unexpected value: {self:?}"))
    }
}
