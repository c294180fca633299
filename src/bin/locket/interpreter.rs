//! Why a script that is there is "not found": the system says so of its interpreter.

use std::env;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The reason, if it is the interpreter in the first line of the script.
pub(crate) fn fault(program: &OsStr) -> Option<String> {
    /// What Linux reads of a first line (`BINPRM_BUF_SIZE`).
    const LONGEST: u64 = 256;
    let mut beginning = vec![];
    File::open(found(program)?).ok()?.take(LONGEST).read_to_end(&mut beginning).ok()?;
    let line = beginning.strip_prefix(b"#!")?.split(|&byte| byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    let interpreter = line.trim_start_matches([' ', '\t']).split([' ', '\t']).next()?;
    if let Some(name) = interpreter.strip_suffix('\r') {
        return Some(format!(
            "its first line ends with a carriage return (CRLF), which is taken for a part of its interpreter's name, {name}"
        ));
    }
    (!Path::new(interpreter).exists())
        .then(|| format!("its interpreter, {interpreter}, is missing"))
}

/// As execvp(3) finds it.
fn found(program: &OsStr) -> Option<PathBuf> {
    let path = Path::new(program);
    if path.components().count() > 1 || path.is_absolute() {
        return Some(path.into());
    }
    let directories = env::var_os("PATH")?;
    env::split_paths(&directories).map(|it| it.join(path)).find(|it| it.is_file())
}
