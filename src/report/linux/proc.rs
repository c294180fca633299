//! Reading `/proc`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use rustix::io::Errno;

/// Reads a file of `/proc`, with reads as large as the kernel answers them: between two reads a table
/// may change. Names in it have any encoding; what is parsed here is ASCII.
pub(super) fn read_text(path: impl AsRef<Path>) -> io::Result<String> {
    let mut bytes = Vec::with_capacity(0x2000);
    // `take` keeps the standard library from asking for the size of the file, which is 0.
    File::open(path)?.take(u64::MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns the entries of a directory of `/proc` that are numbers, in order.
pub(super) fn numbers_in(directory: &str) -> io::Result<Vec<u32>> {
    let mut numbers = vec![];
    for entry in fs::read_dir(directory)? {
        numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Returns whether a descriptor was closed, or a process has exited, since it was listed.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::SRCH))
}
