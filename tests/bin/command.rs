//! Runs the peer's commands and formats their answers.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use locket::{ErrorKind, Lock, LockError, LockStatus, Owner, State};

use super::foreign::{Ask, Foreign};
#[cfg(unix)]
use super::forked::{self, Way};
use super::refusal::{Refusal, Reply};
use super::world::{World, nothing};
use super::{clock, handle, jobs, process, words};

/// Runs the command on one line. Returns when it began, when it finished, and its result.
pub(crate) fn answer(world: &Arc<World>, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let elsewhere = match words[..] {
        ["wait", job] => Some(jobs::wait(world, job)),
        #[cfg(unix)]
        ["child", name, ref words @ ..] => Some(forked::ask(world, name, words)),
        _ => None,
    };
    match elsewhere {
        // The answer has its own times already.
        Some(Ok(answer)) => answer,
        Some(Err(refusal)) => timed(|| Err(refusal)),
        None => timed(|| run(world, &words, &AtomicBool::new(false))),
    }
}

pub(crate) fn timed(command: impl FnOnce() -> Reply) -> String {
    let begun = clock::now();
    let reply = command();
    let done = clock::now();
    let outcome = match reply {
        Ok(value) => format!("ok {value}"),
        Err(refusal) => refusal.to_string(),
    };
    // An answer is one line, also if a path contains a line break.
    format!("{begun} {done} {}", outcome.trim_end().replace(['\n', '\r'], " "))
}

pub(crate) fn run(world: &Arc<World>, words: &[&str], stop: &AtomicBool) -> Reply {
    let lock = |name: &str| world.things().handle(name);
    let silent = |result: Result<(), LockError>| Ok(result.map(|()| String::new())?);
    match *words {
        ["handle", name, ref words @ ..] => {
            let lock = handle::make(world, words)?;
            let path = lock.path().display().to_string();
            world.things().handles.insert(name.into(), lock);
            Ok(path)
        }
        ["drop_handle", name] => {
            let handle = world.things().handles.remove(name);
            handle.map(|_| String::new()).ok_or_else(|| nothing("handle", name))
        }

        ["lock", name, slot] => put_guard(world, slot, &lock(name)?, Lock::lock),
        ["try_lock", name, slot] => put_guard(world, slot, &lock(name)?, Lock::try_lock),
        ["is_current", slot] => {
            let things = world.things();
            let guard = things.guards.get(slot).ok_or_else(|| nothing("guard", slot))?;
            Ok(guard.is_current()?.to_string())
        }
        ["downgrade", slot] => {
            let mut things = world.things();
            let guard = things.guards.get_mut(slot).ok_or_else(|| nothing("guard", slot))?;
            silent(guard.downgrade())
        }
        ["drop_guard", slot] => {
            let guard = world.things().take_guard(slot)?;
            drop(guard);
            Ok(String::new())
        }
        ["release_guard", slot] => {
            let guard = world.things().take_guard(slot)?;
            silent(guard.release())
        }
        ["forget_guard", slot] => {
            std::mem::forget(world.things().take_guard(slot)?);
            Ok(String::new())
        }
        ["inherit_on_exec_guard", slot] => {
            let guard = world.things().take_guard(slot)?;
            silent(guard.inherit_on_exec())
        }

        ["acquire", name] => silent(lock(name)?.acquire()),
        ["try_acquire", name] => silent(lock(name)?.try_acquire()),
        ["release", name] => silent(lock(name)?.release()),
        ["state", name] => Ok(state(lock(name)?.state())),
        ["status", name] => {
            let status = lock(name)?.status()?;
            Ok(format_status(&status))
        }
        ["observe", name] => observe(lock(name)?),

        ["open_foreign", name, path] => {
            let foreign = Arc::new(Foreign::open(words::path(path)?)?);
            world.things().foreign.insert(name.into(), foreign);
            Ok(String::new())
        }
        ["close_foreign", name] => {
            let foreign = world.things().foreign.remove(name);
            foreign.map(|_| String::new()).ok_or_else(|| nothing("foreign file", name))
        }
        ["lock_foreign", name, mode] => {
            let foreign = world.things().foreign(name)?;
            foreign.lock(ask(mode)?)?;
            Ok(String::new())
        }
        ["try_foreign", name, mode] => {
            let foreign = world.things().foreign(name)?;
            Ok(if foreign.try_lock(ask(mode)?)? { "granted" } else { "held" }.into())
        }
        ["unlock_foreign", name] => {
            let foreign = world.things().foreign(name)?;
            foreign.unlock()?;
            Ok(String::new())
        }

        ["start", name, ref words @ ..] => jobs::start(world, name, words),
        ["poll", name] => jobs::poll(world, name),
        ["stop", name] => jobs::stop(world, name),
        ["attempt", ref words @ ..] => {
            let reply = run(world, words, stop);
            Ok(reply.map_or_else(|refusal| refusal.to_string(), |value| format!("ok {value}")))
        }
        ["repeat", turns, ref words @ ..] => repeat(world, turns, words, stop),

        ["pid"] => Ok(std::process::id().to_string()),
        ["chdir", path] => process::chdir(path),
        ["spawn", program, ref arguments @ ..] => process::spawn(program, arguments),
        ["linger", ms] => {
            world.things().linger_ms = words::parse(ms)?;
            Ok(String::new())
        }

        _ => run_platform_command(world, words),
    }
}

/// Runs a command that not every platform has.
#[cfg_attr(not(unix), allow(unused_variables, reason = "not every platform has such a command"))]
fn run_platform_command(world: &Arc<World>, words: &[&str]) -> Reply {
    match *words {
        #[cfg(unix)]
        ["fork", name] => forked::fork(world, name, Way::Fork),
        #[cfg(target_os = "linux")]
        ["clone", name] => forked::fork(world, name, Way::Clone),
        #[cfg(unix)]
        ["inherit_on_fork_guard", slot] => {
            let things = world.things();
            let guard = things.guards.get(slot).ok_or_else(|| nothing("guard", slot))?;
            guard.inherit_on_fork();
            Ok(String::new())
        }
        #[cfg(unix)]
        ["lend_guard", slot] => {
            use std::os::fd::{AsFd, AsRawFd};
            let things = world.things();
            let guard = things.guards.get(slot).ok_or_else(|| nothing("guard", slot))?;
            Ok(guard.as_fd().as_raw_fd().to_string())
        }
        #[cfg(unix)]
        ["kill_child", name] => forked::kill(world, name),
        #[cfg(unix)]
        ["end_child", name] => forked::end(world, name),
        #[cfg(unix)]
        ["become", id] => process::become_user(id),
        #[cfg(unix)]
        ["limit_files", limit] => process::limit_files(limit),
        #[cfg(unix)]
        ["free_descriptor"] => process::free_descriptor(),
        #[cfg(unix)]
        ["umask", mask] => process::umask(mask),
        #[cfg(unix)]
        ["close_descriptor", number] => process::close_descriptor(number),

        #[cfg(windows)]
        ["ctrl_c", verb] => process::ctrl_c(verb),

        _ => Err(Refusal::usage(format_args!("unknown command `{}`", words.join(" ")))),
    }
}

/// Returns the status that an observer gets at the beginning of a wait. The observer then cancels the wait.
fn observe(lock: Lock) -> Reply {
    let (sender, observations) = mpsc::channel();
    let lock = lock.on_wait(move |wait| {
        // The receiver lives until the wait has ended.
        let _ = sender.send(wait.status());
        ControlFlow::Break(())
    });
    match lock.lock() {
        Err(error) if error.kind() == ErrorKind::Cancelled => {}
        Err(error) => return Err(error.into()),
        Ok(_) => return Err(Refusal::usage("the lock is free, so there is no wait to observe")),
    }
    let status =
        observations.recv().map_err(|_| Refusal::usage("the observer was not called"))??;
    Ok(format_status(&status))
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

fn put_guard(
    world: &World,
    slot: &str,
    lock: &Lock,
    acquire: impl FnOnce(&Lock) -> Result<locket::Guard, LockError>,
) -> Reply {
    let guard = acquire(lock)?;
    // A guard that was in the slot is dropped after the mutex is unlocked.
    let _before = world.things().guards.insert(slot.into(), guard);
    Ok(String::new())
}

/// Runs `repeat TURNS COMMAND ; COMMAND ...` and answers with the number of turns made. `stop` ends it after fewer
/// turns. The first error ends it and is the answer.
fn repeat(world: &Arc<World>, turns: &str, words: &[&str], stop: &AtomicBool) -> Reply {
    let turns: u64 = words::parse(turns)?;
    let commands: Vec<&[&str]> = words.split(|&word| word == ";").collect();
    for turn in 0..turns {
        if stop.load(Ordering::Relaxed) {
            return Ok(turn.to_string());
        }
        for command in &commands {
            run(world, command, stop)?;
        }
    }
    Ok(turns.to_string())
}

fn ask(mode: &str) -> Result<Ask, Refusal> {
    match mode {
        "exclusive" => Ok(Ask::Exclusive),
        "shared" => Ok(Ask::Shared),
        _ => Err(Refusal::usage(format_args!("`{mode}` is not a mode"))),
    }
}

fn state(state: State) -> String {
    match state {
        State::Unlocked => "unlocked".into(),
        State::HeldExclusive => "exclusive".into(),
        State::HeldShared(count) => format!("shared {count}"),
        State::ReleasedError => "released_error".into(),
    }
}
