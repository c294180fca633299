//! Reading what the kernel writes for people.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// A file of `/proc`, with reads as large as the kernel answers them: between two of them a table
/// may change. Names in it are in any encoding; what is read here is ASCII.
pub(super) fn read_text(path: impl AsRef<Path>) -> io::Result<String> {
    let mut bytes = Vec::with_capacity(0x2000);
    // Limited, so that nobody asks for its size first: it has none.
    File::open(path)?.take(u64::MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
