//! A FUSE file system with one file. Its server can stop answering; a process that uses it then waits forever.
//!
//! The server implements the kernel's protocol (`include/uapi/linux/fuse.h`, `Documentation/filesystems/fuse.rst`), so
//! the tests need no library and no `fusermount`.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::{skip, until};

const SIZE: u64 = 0x10_0000;
/// `FUSE_READ`
const READ: u32 = 15;

pub(crate) struct SilentFs {
    mount_point: PathBuf,
    /// The server's thread has a second reference. It drops it when the file system is unmounted.
    _device: Arc<File>,
    state: Arc<Server>,
    server: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Server {
    is_silent: AtomicBool,
    /// Whether a process has asked for the contents of the file.
    was_read: AtomicBool,
}

impl SilentFs {
    /// Mounts the file system. A read of its file is never answered. Returns `None` if this system does not allow the
    /// mount.
    #[track_caller]
    pub(crate) fn mount(check: &str, mount_point: PathBuf) -> Option<Self> {
        fs::create_dir(&mount_point).expect("the test should own the directory");
        let device = match File::options().read(true).write(true).open("/dev/fuse") {
            Ok(device) => Arc::new(device),
            Err(error) => {
                skip(check, &format!("/dev/fuse: {error}"));
                return None;
            }
        };
        let options =
            format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", device.as_raw_fd());
        let [target, options] = [mount_point.as_os_str().as_bytes(), options.as_bytes()]
            .map(|text| CString::new(text).expect("the text has no NUL"));
        // SAFETY: the strings end with NULs, and the call reads no further.
        let result = unsafe {
            let kind = c"fuse".as_ptr();
            let options = options.as_ptr().cast();
            libc::mount(kind, target.as_ptr(), kind, libc::MS_NOSUID | libc::MS_NODEV, options)
        };
        if result != 0 {
            let error = std::io::Error::last_os_error();
            skip(check, &format!("a FUSE mount: {error}"));
            return None;
        }
        let state = Arc::new(Server::default());
        let server = thread::spawn({
            let (device, state) = (Arc::clone(&device), Arc::clone(&state));
            move || serve(&device, &state)
        });
        let server = Mutex::new(Some(server));
        Some(Self { mount_point, _device: device, state, server })
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.mount_point.join("file")
    }

    /// Stops the server. From now on it answers nothing and reads nothing. It must not read either: after the server has
    /// read a request, a process waits for the answer even when it is killed.
    pub(crate) fn fall_silent(&self) {
        self.state.is_silent.store(true, Ordering::SeqCst);
        let server = self.server.lock().expect("no thread panics with the mutex").take();
        server.map(JoinHandle::join).transpose().expect("the server does not panic");
    }
}

/// Ends the connection. Calls that wait for an answer then fail.
impl Drop for SilentFs {
    fn drop(&mut self) {
        let target =
            CString::new(self.mount_point.as_os_str().as_bytes()).expect("a path has no NUL");
        // SAFETY: the string ends with a NUL, and the call reads no further.
        unsafe { libc::umount2(target.as_ptr(), libc::MNT_FORCE | libc::MNT_DETACH) };
    }
}

fn serve(mut device: &File, state: &Server) {
    let mut request = vec![0; 0x4_0000];
    while !state.is_silent.load(Ordering::SeqCst) {
        if !is_readable(device) {
            continue;
        }
        match device.read(&mut request) {
            Ok(40..) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => continue,
            // Unmounted.
            _ => return,
        }
        let opcode = u32::from_ne_bytes([request[4], request[5], request[6], request[7]]);
        let node = u64::from_ne_bytes(request[16..24].try_into().expect("eight bytes"));
        state.was_read.fetch_or(opcode == READ, Ordering::SeqCst);
        let Some(answer) = answer(opcode, node) else { continue };
        let (error, body) = answer.map_or_else(|error| (-error, vec![]), |body| (0, body));
        let length = u32::try_from(16 + body.len()).expect("answers are short");
        let mut message = [length.to_ne_bytes(), error.to_ne_bytes()].concat();
        message.extend(&request[8..16]); // The number of the request.
        message.extend(body);
        // The write fails if the request was interrupted.
        let _ = device.write(&message);
    }
}

/// Waits 10 ms at most.
fn is_readable(device: &File) -> bool {
    let mut polled = libc::pollfd { fd: device.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: the call reads and writes one entry.
    unsafe { libc::poll(&raw mut polled, 1, 10) > 0 }
}

/// Returns the answer to a request, or `None` for a request that has no answer or must not get one.
fn answer(opcode: u32, node: u64) -> Option<Result<Vec<u8>, i32>> {
    const ROOT: u64 = 1;
    const FILE: u64 = 2;
    Some(match opcode {
        // FUSE_FORGET, FUSE_INTERRUPT, FUSE_BATCH_FORGET
        2 | READ | 36 | 42 => return None,
        // FUSE_LOOKUP: `struct fuse_entry_out`, valid for no time.
        1 => Ok([numbers(&[FILE, 0, 0, 0, 0]), attributes(FILE)].concat()),
        // FUSE_GETATTR: `struct fuse_attr_out`
        3 => Ok([numbers(&[0, 0]), attributes(if node == ROOT { ROOT } else { FILE })].concat()),
        // FUSE_OPEN, FUSE_OPENDIR
        14 | 27 => Ok(numbers(&[0, 0])),
        // FUSE_RELEASE, FUSE_RELEASEDIR
        18 | 29 => Ok(vec![]),
        // FUSE_INIT: `struct fuse_init_out`, protocol 7.31
        26 => {
            let version: [u32; 4] = [7, 31, 0, 0];
            let mut body: Vec<u8> = version.into_iter().flat_map(u32::to_ne_bytes).collect();
            body.resize(64, 0);
            body[20..24].copy_from_slice(&4096_u32.to_ne_bytes()); // The longest write.
            Ok(body)
        }
        _ => Err(libc::ENOSYS),
    })
}

fn numbers(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_ne_bytes()).collect()
}

/// `struct fuse_attr`
fn attributes(node: u64) -> Vec<u8> {
    let mode = if node == 1 { libc::S_IFDIR | 0o755 } else { libc::S_IFREG | 0o666 };
    let mut body = numbers(&[node, SIZE, SIZE / 512, 0, 0, 0]);
    let rest: [u32; 10] = [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0];
    body.extend(rest.into_iter().flat_map(u32::to_ne_bytes));
    body
}

/// A process that holds a lock, and whose command line cannot be read.
///
/// A read of `/proc/PID/mem` holds the process's memory map locked for reading (`mmap_lock`) while it waits for a page of a
/// silent file system. A change of the map waits for that read, and a read of `/proc/PID/cmdline` waits behind the
/// change. (On kernels before 4.17 it was enough to map a page of the file system over the arguments: CVE-2018-1120.)
pub(crate) struct Unreadable {
    pid: libc::pid_t,
}

impl Unreadable {
    /// Starts the process. It holds the lock of the file at the path when this function returns.
    #[track_caller]
    pub(crate) fn holding(path: &Path, silent: &SilentFs) -> Self {
        let [path, page] = [path, &silent.file()]
            .map(|path| CString::new(path.as_os_str().as_bytes()).expect("a path has no NUL"));
        let (mut ours, theirs) = UnixStream::pair().expect("there should be free descriptors");
        // SAFETY: the child makes system calls only.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "fork failed");
        if pid == 0 {
            hold(&path, &page, theirs.as_raw_fd());
        }
        let this = Self { pid };
        drop(theirs);
        let mut address = [0; 8];
        ours.read_exact(&mut address).expect("the child should map the page and hold the lock");
        let memory =
            File::open(format!("/proc/{pid}/mem")).expect("the process is a child of the test");
        // The thread ends when the file system is unmounted.
        thread::spawn(move || memory.read_at(&mut [0], u64::from_ne_bytes(address)));
        until("the page is asked for", || silent.state.was_read.load(Ordering::SeqCst));
        ours.write_all(&[0]).expect("the child should read");
        let stat = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        until("the child waits for its memory map", || stat().contains(") D "));
        this
    }

    pub(crate) fn pid(&self) -> libc::pid_t {
        self.pid
    }
}

impl Drop for Unreadable {
    fn drop(&mut self) {
        // SAFETY: the process is a child of the test and is reaped only here.
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            libc::waitpid(self.pid, std::ptr::null_mut(), 0);
        }
    }
}

/// Runs the child, with system calls only. It writes the address of the page when it holds the lock, and changes its
/// memory map when it reads a byte.
fn hold(path: &CStr, page: &CStr, parent: RawFd) -> ! {
    let map = |flags, file| {
        let (anywhere, read) = (std::ptr::null_mut(), libc::PROT_READ);
        // SAFETY: the call makes a new mapping and replaces none.
        unsafe { libc::mmap(anywhere, 4096, read, libc::MAP_PRIVATE | flags, file, 0) }
    };
    // SAFETY: the strings end with NULs, and the buffers have the lengths that are passed.
    unsafe {
        libc::alarm(300);
        let lock = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CREAT, 0o666);
        let mapped = map(0, libc::open(page.as_ptr(), libc::O_RDONLY));
        if mapped == libc::MAP_FAILED || libc::flock(lock, libc::LOCK_EX) != 0 {
            libc::_exit(1);
        }
        let address = (mapped.addr() as u64).to_ne_bytes();
        libc::write(parent, address.as_ptr().cast(), address.len());
        let mut byte = 0_u8;
        // The other descriptors belong to the test.
        libc::dup2(parent, 0);
        libc::dup2(lock, 1);
        libc::syscall(libc::SYS_close_range, 2, u32::MAX, 0);
        libc::read(0, (&raw mut byte).cast(), 1);
        map(libc::MAP_ANONYMOUS, -1);
        loop {
            libc::pause();
        }
    }
}
