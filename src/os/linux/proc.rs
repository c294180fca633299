//! Reading what the kernel writes for people.

use std::fs::File;
use std::io::{self, Read};

/// A file of `/proc`, with reads as large as the kernel answers them: between two of them a table
/// may change. Names in it are in any encoding; what is read here is ASCII.
pub(super) fn read_text(path: &str) -> io::Result<String> {
    let mut bytes = Vec::with_capacity(0x2000);
    // Limited, so that nobody asks for its size first: it has none.
    File::open(path)?.take(u64::MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads a file of `/proc` whole, and counts the reads that returned something.
pub(super) fn read_counted(path: &str) -> io::Result<(String, usize)> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 0x1_0000];
    let (mut bytes, mut reads) = (Vec::new(), 0);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        reads += 1;
    }
    Ok((String::from_utf8_lossy(&bytes).into_owned(), reads))
}
