//! Children of `fork(2)`. Each child is a peer that inherits the state of its parent. Requests to the child go
//! through the parent.
#![allow(unsafe_code)]

use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::exit;
use std::sync::Arc;
use std::{mem, thread};

use super::command::number;
use super::failure::{Failure, Outcome};
use super::protocol::{Reply, Request, Value};
use super::world::{World, nothing};

pub(crate) struct Child {
    pid: libc::pid_t,
    stream: BufReader<UnixStream>,
}

/// How a child is made.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    Fork,
    /// The bare system call, which does not run the handlers of `pthread_atfork`.
    #[cfg(target_os = "linux")]
    Clone,
}

impl Way {
    /// # Safety
    ///
    /// As `fork(2)`.
    unsafe fn make_child(self) -> libc::pid_t {
        match self {
            // SAFETY: the caller keeps the conditions of `fork(2)`.
            Self::Fork => unsafe { libc::fork() },
            #[cfg(target_os = "linux")]
            Self::Clone => {
                let [no_stack, none] = [0, 0];
                // SAFETY: as above. Without `CLONE_VM` the child has a copy of the memory, including the stack.
                let pid = unsafe {
                    libc::syscall(libc::SYS_clone, libc::SIGCHLD, no_stack, none, none, none)
                };
                libc::pid_t::try_from(pid).unwrap_or(-1)
            }
        }
    }
}

/// Forks a child and answers with its process id.
pub(crate) fn fork(world: &Arc<World>, name: &str, way: Way) -> Outcome {
    // In another thread the main thread would be reading stdin at that moment, and the child's stdin would stay
    // locked forever.
    if thread::current().name() != Some("main") {
        return Err(Failure::of_peer("a job cannot fork"));
    }
    let (ours, theirs) = UnixStream::pair()?;
    // No other thread may be changing the things during the fork: the child continues with a copy.
    let mut things = world.things();
    // SAFETY: the child continues in the process image that it inherits, whose allocator survives a fork. This thread
    // holds everything that the peer locks: its things, its input and its output.
    match unsafe { way.make_child() } {
        -1 => Err(io::Error::last_os_error().into()),
        0 => {
            drop(ours);
            things.children.clear();
            // The threads of the jobs exist in the parent only.
            mem::forget(mem::take(&mut things.jobs));
            drop(things);
            if become_child(&theirs).is_ok() {
                drop(theirs);
                super::serve(world);
            }
            exit(1)
        }
        pid => {
            things.children.insert(name.into(), Child { pid, stream: BufReader::new(ours) });
            number(pid)
        }
    }
}

/// Makes the stream to the parent the child's standard input and output.
fn become_child(stream: &UnixStream) -> io::Result<()> {
    for standard in [0, 1] {
        // SAFETY: both descriptors are open, and nothing owns the one that is replaced.
        if unsafe { libc::dup2(stream.as_raw_fd(), standard) } == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Passes a request to the child and returns the child's answer.
pub(crate) fn ask(world: &World, name: &str, request: &Request) -> Reply {
    let child = world.things().children.remove(name);
    let mut child = child.ok_or_else(|| format!("there is no child `{name}`"))?;
    let answer = child.ask(request);
    world.things().children.insert(name.into(), child);
    answer.map_err(|error| error.to_string())?
}

/// Kills the child with SIGKILL and reaps it.
pub(crate) fn kill(world: &World, name: &str) -> Outcome {
    let child = take(world, name)?;
    // SAFETY: no memory is involved. The child is not reaped yet, so its id is still valid.
    if unsafe { libc::kill(child.pid, libc::SIGKILL) } == -1 {
        return Err(io::Error::last_os_error().into());
    }
    child.reap()
}

/// Closes the child's input, which ends the child, and reaps it.
pub(crate) fn end(world: &World, name: &str) -> Outcome {
    take(world, name)?.reap()
}

fn take(world: &World, name: &str) -> Result<Child, Failure> {
    world.things().children.remove(name).ok_or_else(|| nothing("child", name))
}

impl Child {
    fn ask(&mut self, request: &Request) -> io::Result<Reply> {
        let line = serde_json::to_string(request)? + "\n";
        self.stream.get_mut().write_all(line.as_bytes())?;
        let mut answer = String::new();
        match self.stream.read_line(&mut answer)? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the child is gone")),
            _ => Ok(serde_json::from_str(&answer)?),
        }
    }

    fn reap(self) -> Outcome {
        drop(self.stream);
        // SAFETY: no memory is involved.
        match unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), 0) } {
            -1 => Err(io::Error::last_os_error().into()),
            _ => Ok(Value::Nothing),
        }
    }
}
