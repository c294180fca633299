//! The command that is started: its first instructions write the time. A program with a C library would take several
//! times as long to start, and hide the times that are measured.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::bench::Result;

/// `clock_gettime(CLOCK_MONOTONIC)`, `write(1)` of its 16 bytes, `exit_group(0)`.
#[cfg(target_arch = "x86_64")]
const CODE: &[u8] = &[
    0x48, 0x83, 0xec, 0x10, // sub $16, %rsp
    0xb8, 0xe4, 0x00, 0x00, 0x00, // mov $228, %eax
    0xbf, 0x01, 0x00, 0x00, 0x00, // mov $1, %edi
    0x48, 0x89, 0xe6, // mov %rsp, %rsi
    0x0f, 0x05, // syscall
    0xb8, 0x01, 0x00, 0x00, 0x00, // mov $1, %eax
    0xbf, 0x01, 0x00, 0x00, 0x00, // mov $1, %edi
    0x48, 0x89, 0xe6, // mov %rsp, %rsi
    0xba, 0x10, 0x00, 0x00, 0x00, // mov $16, %edx
    0x0f, 0x05, // syscall
    0xb8, 0xe7, 0x00, 0x00, 0x00, // mov $231, %eax
    0x31, 0xff, // xor %edi, %edi
    0x0f, 0x05, // syscall
];

#[cfg(not(target_arch = "x86_64"))]
const CODE: &[u8] = &[];

/// The number of the processor in the header of a program (`EM_X86_64`, elf(5)).
const X86_64: u16 = 62;

/// The address of the program, and the length of its headers.
const BASE: u64 = 0x40_0000;
const HEADERS: u16 = 64 + 56;

/// Creates the program. Returns false if there is none for this processor.
pub(crate) fn make(path: &Path) -> Result<bool> {
    if CODE.is_empty() {
        return Ok(false);
    }
    let length = u64::from(HEADERS) + CODE.len() as u64;
    let mut program = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let half = |it: u16| it.to_le_bytes().to_vec();
    let word = |it: u32| it.to_le_bytes().to_vec();
    let long = |it: u64| it.to_le_bytes().to_vec();
    // An executable program, its entry, the place and the sizes of its headers.
    program.extend([half(2), half(X86_64), word(1)].concat());
    program.extend([BASE + u64::from(HEADERS), 64, 0].map(long).concat());
    program.extend(word(0));
    program.extend([64, 56, 1, 64, 0, 0].map(half).concat());
    // Its one segment: loaded, readable and executable.
    program.extend([1, 5].map(word).concat());
    program.extend([0, BASE, BASE, length, length, 4096].map(long).concat());
    program.extend(CODE);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(path)?;
    file.write_all(&program)?;
    Ok(true)
}

/// Returns the time that the program wrote, in nanoseconds.
pub(crate) fn read(bytes: &[u8]) -> Result<u64> {
    let (seconds, nanoseconds) = bytes.split_at_checked(8).ok_or("the command wrote no time")?;
    let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes);
    Ok(number(seconds)? * 1_000_000_000 + number(nanoseconds)?)
}
