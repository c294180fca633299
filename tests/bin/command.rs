//! Carries out the requests.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use locket::{ErrorKind, Lock, LockError, LockStatus, Owner, lock_file};

use super::failure::{Failure, Outcome};
use super::foreign::Foreign;
#[cfg(unix)]
use super::forked::{self, Way};
use super::protocol::{Answer, Reply, Request, Setting, Value};
use super::world::{World, nothing};
use super::{clock, jobs, process};

pub(crate) fn answer(world: &Arc<World>, request: &Request) -> Reply {
    match request {
        // These answers have their own times already.
        Request::Wait(job) => jobs::wait(world, job),
        #[cfg(unix)]
        Request::Child(name, request) => forked::ask(world, name, request),
        _ => timed(|| run(world, request, &AtomicBool::new(false))),
    }
}

pub(crate) fn timed(work: impl FnOnce() -> Outcome) -> Reply {
    let begun = Duration::from_nanos(clock::now());
    let outcome = work();
    let done = Duration::from_nanos(clock::now());
    let outcome = match outcome {
        Ok(value) => Ok(value),
        Err(Failure::Refused(refusal)) => Err(refusal),
        Err(Failure::Peer(message)) => return Err(message),
    };
    Ok(Answer { begun, done, outcome })
}

#[allow(clippy::too_many_lines, reason = "there is one arm for each request")]
pub(crate) fn run(world: &Arc<World>, request: &Request, stop: &AtomicBool) -> Outcome {
    let lock = |name: &str| world.things().handle(name);
    match request {
        Request::Handle(name, path, settings) => {
            Ok(make_handle(world, name, lock_file(path), settings))
        }
        Request::HandleOf(name, of, settings) => Ok(make_handle(world, name, lock(of)?, settings)),
        Request::DropHandle(name) => {
            let handle = world.things().handles.remove(name);
            silent(handle.map(drop).ok_or_else(|| nothing("handle", name)))
        }

        Request::Lock(name, slot) => put_guard(world, slot, lock(name)?.lock()),
        Request::TryLock(name, slot) => put_guard(world, slot, lock(name)?.try_lock()),
        Request::ReleaseGuard(slot) => {
            let guard = world.things().take_guard(slot)?;
            silent(guard.release())
        }
        Request::DropGuard(slot) => {
            let guard = world.things().take_guard(slot)?;
            drop(guard);
            Ok(Value::Nothing)
        }
        Request::ForgetGuard(slot) => {
            std::mem::forget(world.things().take_guard(slot)?);
            Ok(Value::Nothing)
        }
        Request::InheritOnExec(slot) => {
            let guard = world.things().take_guard(slot)?;
            silent(guard.inherit_on_exec())
        }
        #[cfg(unix)]
        Request::InheritOnFork(slot) => {
            world.things().guard(slot)?.inherit_on_fork();
            Ok(Value::Nothing)
        }
        #[cfg(unix)]
        Request::Lend(slot) => {
            use std::os::fd::{AsFd, AsRawFd};
            number(world.things().guard(slot)?.as_fd().as_raw_fd())
        }
        Request::Downgrade(slot) => silent(world.things().guard(slot)?.downgrade()),
        Request::IsCurrent(slot) => Ok(Value::Flag(world.things().guard(slot)?.is_current()?)),

        Request::Acquire(name) => silent(lock(name)?.acquire()),
        Request::TryAcquire(name) => silent(lock(name)?.try_acquire()),
        Request::Release(name) => silent(lock(name)?.release()),
        Request::State(name) => Ok(Value::State(lock(name)?.state())),
        Request::Status(name) => Ok(Value::Text(format_status(&lock(name)?.status()?))),
        Request::Observe(name) => observe(lock(name)?),

        Request::OpenForeign(name, path) => {
            let foreign = Arc::new(Foreign::open(path)?);
            world.things().foreign.insert(name.clone(), foreign);
            Ok(Value::Nothing)
        }
        Request::CloseForeign(name) => {
            let foreign = world.things().foreign.remove(name);
            silent(foreign.map(drop).ok_or_else(|| nothing("foreign file", name)))
        }
        Request::LockForeign(name, mode) => {
            let foreign = world.things().foreign(name)?;
            silent(foreign.lock(*mode))
        }
        Request::TryForeign(name, mode) => {
            let foreign = world.things().foreign(name)?;
            Ok(Value::Flag(foreign.try_lock(*mode)?))
        }
        Request::UnlockForeign(name) => silent(world.things().foreign(name)?.unlock()),

        Request::Start(name, request) => jobs::start(world, name, request),
        Request::IsDone(name) => Ok(Value::Flag(world.things().job(name)?.is_done())),
        Request::Stop(name) => {
            world.things().job(name)?.stop();
            Ok(Value::Nothing)
        }
        Request::Repeat(turns, requests) => repeat(world, *turns, requests, stop),
        Request::Attempt(request) => match run(world, request, stop) {
            Err(Failure::Refused(_)) => Ok(Value::Nothing),
            outcome => outcome,
        },
        Request::Wait(_) => Err(Failure::of_peer("a job cannot wait for a job")),

        Request::Pid => number(std::process::id()),
        Request::ChangeDirectory(path) => silent(std::env::set_current_dir(path)),
        Request::Spawn(words) => process::spawn(words),
        Request::Linger(ms) => {
            world.things().linger_ms = *ms;
            Ok(Value::Nothing)
        }

        #[cfg(unix)]
        Request::Fork(name) => forked::fork(world, name, Way::Fork),
        #[cfg(target_os = "linux")]
        Request::CloneChild(name) => forked::fork(world, name, Way::Clone),
        #[cfg(unix)]
        Request::Child(..) => Err(Failure::of_peer("a job cannot ask a child")),
        #[cfg(unix)]
        Request::KillChild(name) => forked::kill(world, name),
        #[cfg(unix)]
        Request::EndChild(name) => forked::end(world, name),
        #[cfg(unix)]
        Request::Become(id) => silent(process::become_user(*id)),
        #[cfg(unix)]
        Request::FreeDescriptor => process::free_descriptor(),
        #[cfg(unix)]
        Request::LimitFiles(limit) => process::limit_files(*limit),
        #[cfg(unix)]
        Request::CloseDescriptor(number) => silent(process::close_descriptor(*number)),
        #[cfg(unix)]
        Request::Umask(mask) => {
            process::umask(*mask);
            Ok(Value::Nothing)
        }

        #[cfg(windows)]
        Request::IgnoreCtrlC => silent(process::ignore_ctrl_c()),
        #[cfg(windows)]
        Request::HasSeenCtrlC => Ok(Value::Flag(process::has_seen_ctrl_c())),
    }
}

fn silent<E>(result: Result<(), E>) -> Outcome
where
    Failure: From<E>,
{
    Ok(result.map(|()| Value::Nothing)?)
}

pub(crate) fn number(number: impl TryInto<u64>) -> Outcome {
    number.try_into().map(Value::Number).map_err(|_| Failure::of_peer("a negative number"))
}

fn make_handle(world: &World, name: &str, lock: Lock, settings: &[Setting]) -> Value {
    let lock = settings.iter().fold(lock, |lock, &setting| with(lock, setting));
    let path = lock.path().display().to_string();
    world.things().handles.insert(name.into(), lock);
    Value::Text(path)
}

fn with(lock: Lock, setting: Setting) -> Lock {
    match setting {
        Setting::Timeout(ms) => lock.timeout(Duration::from_millis(ms)),
        Setting::NoTimeout => lock.timeout(None),
        Setting::RetryPeriod(ms) => lock.retry_period(Duration::from_millis(ms)),
        Setting::Shared => lock.shared(),
        Setting::FollowLinks(follow) => lock.follow_links(follow),
        #[cfg(unix)]
        Setting::FileMode(mode) => locket::unix::LockExt::mode(lock, mode),
        Setting::KeepOpen(keep) => lock.keep_open(keep),
        Setting::UseSignals(using) => lock.use_signals(using),
        Setting::QueryStatus => lock.observe_every(Duration::from_millis(20)).on_wait(|wait| {
            let _ = wait.status();
            ControlFlow::Continue(())
        }),
    }
}

fn put_guard(world: &World, slot: &str, guard: Result<locket::Guard, LockError>) -> Outcome {
    // A guard that was in the slot is dropped after the mutex is unlocked.
    let _before = world.things().guards.insert(slot.into(), guard?);
    Ok(Value::Nothing)
}

/// Returns the status that an observer gets at the beginning of a wait. The observer then cancels the wait.
fn observe(lock: Lock) -> Outcome {
    let (sender, observations) = mpsc::channel();
    let lock = lock.on_wait(move |wait| {
        // The receiver lives until the wait has ended.
        let _ = sender.send(wait.status());
        ControlFlow::Break(())
    });
    match lock.lock() {
        Err(error) if error.kind() == ErrorKind::Cancelled => {}
        Err(error) => return Err(error.into()),
        Ok(_) => return Err(Failure::of_peer("the lock is free, so there is no wait to observe")),
    }
    let status =
        observations.recv().map_err(|_| Failure::of_peer("the observer was not called"))??;
    Ok(Value::Text(format_status(&status)))
}

fn format_status(status: &LockStatus) -> String {
    format!("{} <- {}", format_owners(&status.holders), format_owners(&status.waiters))
}

fn format_owners(owners: &[Owner]) -> String {
    if owners.is_empty() {
        return "none".into();
    }
    let owner = |owner: &Owner| match owner.mode {
        Some(mode) => format!("{mode} {}", owner.kind),
        None => owner.kind.to_string(),
    };
    owners.iter().map(owner).collect::<Vec<_>>().join(", ")
}

fn repeat(world: &Arc<World>, turns: u64, requests: &[Request], stop: &AtomicBool) -> Outcome {
    for turn in 0..turns {
        if stop.load(Ordering::Relaxed) {
            return Ok(Value::Number(turn));
        }
        for request in requests {
            run(world, request, stop)?;
        }
    }
    Ok(Value::Number(turns))
}
