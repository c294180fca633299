//! A lock that this process itself holds, by a descriptor that it inherited: to wait for that would take forever.

use std::path::Path;

/// The number of an inherited descriptor that has a lock of the file at the path: an exclusive one, or any if it
/// would be in the way of an exclusive one. The one that is to be locked is in nothing's way.
///
/// A `lock:` line in `/proc/self/fdinfo/N` is about the lock of that very open file description (proc(5)).
#[cfg(target_os = "linux")]
pub(crate) fn locked_descriptor(path: &Path, shared: bool, own: Option<i32>) -> Option<i32> {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    let identity = |path: &Path| fs::metadata(path).map(|it| (it.dev(), it.ino())).ok();
    let file = identity(path)?;
    let is_in_the_way = |number: &i32| {
        let about = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
        let mut locks = about.lines().filter(|line| line.starts_with("lock:"));
        locks.any(|line| line.contains(" FLOCK ") && (!shared || line.contains(" WRITE ")))
            && identity(Path::new(&format!("/proc/self/fd/{number}"))) == Some(file)
    };
    let entries = fs::read_dir("/proc/self/fdinfo").ok()?.flatten();
    let mut numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.find(|number| Some(*number) != own && is_in_the_way(number))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn locked_descriptor(_path: &Path, _shared: bool, _own: Option<i32>) -> Option<i32> {
    None
}
