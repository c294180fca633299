//! Other processes, as far as the system tells of them without touching their memory or files, which could take
//! forever: `/proc/PID/stat`, `comm` and `children` (proc(5)). Where there is no such thing, nothing is known.

/// What `/proc/PID/stat` says of a process.
#[derive(Clone, Copy, Debug)]
struct Stat {
    state: char,
    parent: u32,
    /// The device number of its terminal; zero if it has none.
    #[cfg_attr(windows, allow(dead_code, reason = "no terminal is shared there"))]
    terminal: u32,
    /// When it was started, in ticks since the machine was.
    #[cfg_attr(windows, allow(dead_code, reason = "no command line is read there"))]
    start: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    parsed(&stat)
}

fn parsed(stat: &[u8]) -> Option<Stat> {
    // The name, in parentheses, may have anything in it.
    let after_name = stat.iter().rposition(|&byte| byte == b')')? + 2;
    let mut words = std::str::from_utf8(stat.get(after_name..)?).ok()?.split(' ');
    let state = words.next()?.chars().next()?;
    let parent = words.next()?.parse().ok()?;
    // It is written with a sign.
    let terminal: i64 = words.nth(2)?.parse().ok()?;
    let terminal = u32::try_from(terminal & 0xffff_ffff).ok()?;
    Some(Stat { state, parent, terminal, start: words.nth(14)?.parse().ok()? })
}

/// When a process was started: two processes of one number differ in it.
#[cfg(unix)]
pub(crate) fn start_of(pid: u32) -> Option<u64> {
    stat(pid).map(|stat| stat.start)
}

/// Is a process stopped, by Ctrl-Z for instance?
pub(crate) fn is_stopped(pid: u32) -> bool {
    stat(pid).is_some_and(|stat| stat.state == 'T')
}

/// Are there processes outside of those that are seen here? The first namespace of processes has a number of its own
/// (`PROC_PID_INIT_INO` in Linux's `include/linux/proc_ns.h`).
#[cfg(target_os = "linux")]
pub(crate) fn in_container() -> bool {
    use std::os::unix::fs::MetadataExt;

    const FIRST: u64 = 0xefff_fffc;
    std::fs::metadata("/proc/self/ns/pid").is_ok_and(|namespace| namespace.ino() != FIRST)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn in_container() -> bool {
    false
}

/// The signals that have been sent to a process and that it has not taken: bit N for the signal N, where the system (`ShdPnd`
/// in proc(5)) has bit N - 1. None, if the system does not tell.
#[cfg(unix)]
pub(crate) fn pending(pid: u32) -> u64 {
    if !cfg!(target_os = "linux") {
        return 0;
    }
    let status = std::fs::read(format!("/proc/{pid}/status")).unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let mask = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    mask.and_then(|it| u64::from_str_radix(it.trim(), 16).ok()).unwrap_or(0) << 1
}

/// Is a process another one, or one that this has started, directly or not? One that is gone is not.
pub(crate) fn descends_from(pid: u32, ancestor: u32) -> bool {
    // A chain longer than that is a loop: the numbers were used again while it was read.
    const LONGEST: usize = 1000;
    let parent = |&pid: &u32| stat(pid).map(|stat| stat.parent);
    std::iter::successors(Some(pid), parent).take(LONGEST).any(|pid| pid == ancestor)
}

/// The major and minor number of a process's terminal.
#[cfg(unix)]
pub(crate) fn terminal_of(pid: u32) -> Option<(u32, u32)> {
    let number = stat(pid)?.terminal;
    // As `new_encode_dev` in include/linux/kdev_t.h does it.
    (number != 0).then_some(((number >> 8) & 0xfff, (number & 0xff) | ((number >> 12) & 0xf_ff00)))
}

/// The name of the command under a locket: of the first child, since the canary comes after it. Not every kernel
/// tells of children (`CONFIG_PROC_CHILDREN`).
pub(crate) fn command_under(pid: u32) -> Option<String> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    let command = children.split_whitespace().next()?;
    let name = std::fs::read(format!("/proc/{command}/comm")).ok()?;
    Some(String::from_utf8_lossy(&name).trim_end_matches('\n').to_string())
}

#[cfg(test)]
mod tests {
    use super::parsed;

    #[test]
    fn a_name_may_have_anything_in_it() {
        let text = b"42 (a) R 7 (b) T 41 40 39 34817 38 4194304 11 12 13 14 15 16 17 18 20 0 1 0 987654 9 8";
        let stat = parsed(text).expect("it is one");
        assert_eq!((stat.state, stat.parent, stat.terminal, stat.start), ('T', 41, 34817, 987_654));
        assert!(parsed(b"42 (a").is_none());
        assert!(parsed(b"42 (a)").is_none());
    }
}
