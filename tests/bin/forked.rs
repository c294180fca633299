//! Children of `fork(2)`: each is a peer of its own, which inherits everything its parent has and
//! is spoken to through its parent.
#![allow(unsafe_code)]

use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::exit;
use std::sync::Arc;
use std::{mem, thread};

use super::refusal::{Refusal, Reply};
use super::world::{World, nothing};

pub(crate) struct Child {
    pid: libc::pid_t,
    stream: BufReader<UnixStream>,
}

/// How a child is made.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    Fork,
    /// By the system call alone, past the handlers of `pthread_atfork`.
    #[cfg(target_os = "linux")]
    Clone,
}

impl Way {
    /// # Safety
    ///
    /// As `fork(2)`.
    unsafe fn make_child(self) -> libc::pid_t {
        match self {
            // SAFETY: the caller's.
            Self::Fork => unsafe { libc::fork() },
            #[cfg(target_os = "linux")]
            Self::Clone => {
                let [no_stack, none] = [0, 0];
                // SAFETY: the caller's. Without `CLONE_VM` the child has a copy of the memory, the stack included.
                let pid = unsafe {
                    libc::syscall(libc::SYS_clone, libc::SIGCHLD, no_stack, none, none, none)
                };
                libc::pid_t::try_from(pid).unwrap_or(-1)
            }
        }
    }
}

/// Answers with the child's process id.
pub(crate) fn fork(world: &Arc<World>, name: &str, way: Way) -> Reply {
    // Elsewhere the main thread is reading our input, and its child's would stay locked for ever.
    if thread::current().name() != Some("main") {
        return Err(Refusal::usage("a job cannot fork"));
    }
    let (ours, theirs) = UnixStream::pair()?;
    // In the middle of nobody's change: the child goes on with a copy.
    let mut things = world.things();
    // SAFETY: the child goes on in the image that it inherits, whose allocator survives a fork.
    // What the peer itself locks is ours at this moment: its things, and its input and output.
    match unsafe { way.make_child() } {
        -1 => Err(io::Error::last_os_error().into()),
        0 => {
            drop(ours);
            things.children.clear();
            // Their threads are the parent's.
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
            Ok(pid.to_string())
        }
    }
}

/// The stream to the parent takes the place of input and output.
fn become_child(stream: &UnixStream) -> io::Result<()> {
    for standard in [0, 1] {
        // SAFETY: both descriptors are open, and nothing holds on to the one that is replaced.
        if unsafe { libc::dup2(stream.as_raw_fd(), standard) } == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// The child's own answer.
pub(crate) fn ask(world: &World, name: &str, words: &[&str]) -> Result<String, Refusal> {
    let mut child = take(world, name)?;
    let answer = child.ask(words);
    world.things().children.insert(name.into(), child);
    Ok(answer?)
}

/// `kill -9`, and its end.
pub(crate) fn kill(world: &World, name: &str) -> Reply {
    let child = take(world, name)?;
    // SAFETY: no memory is involved, and nobody has waited for the child: its id is still its own.
    if unsafe { libc::kill(child.pid, libc::SIGKILL) } == -1 {
        return Err(io::Error::last_os_error().into());
    }
    child.bury()
}

/// The end of its input, and so its own.
pub(crate) fn end(world: &World, name: &str) -> Reply {
    take(world, name)?.bury()
}

fn take(world: &World, name: &str) -> Result<Child, Refusal> {
    world.things().children.remove(name).ok_or_else(|| nothing("child", name))
}

impl Child {
    fn ask(&mut self, words: &[&str]) -> io::Result<String> {
        self.stream.get_mut().write_all((words.join(" ") + "\n").as_bytes())?;
        let mut answer = String::new();
        match self.stream.read_line(&mut answer)? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the child is gone")),
            _ => Ok(answer.trim_end().into()),
        }
    }

    fn bury(self) -> Reply {
        drop(self.stream);
        // SAFETY: no memory is involved.
        match unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), 0) } {
            -1 => Err(io::Error::last_os_error().into()),
            _ => Ok(String::new()),
        }
    }
}
