//! Reading what the kernel writes for people.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use rustix::io::Errno;

/// A file of `/proc`, with reads as large as the kernel answers them: between two of them a table
/// may change. Names in it are in any encoding; what is read here is ASCII.
pub(super) fn read_text(path: impl AsRef<Path>) -> io::Result<String> {
    let mut bytes = Vec::with_capacity(0x2000);
    // Limited, so that nobody asks for its size first: it has none.
    File::open(path)?.take(u64::MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The entries of a directory of `/proc` that are numbers, in order.
pub(super) fn numbers_in(directory: &str) -> io::Result<Vec<u32>> {
    let mut numbers = vec![];
    for entry in fs::read_dir(directory)? {
        numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Closed, or ended, since it was listed.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::SRCH))
}
