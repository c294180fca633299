//! Each message about a common mistake has a hint, and the hint works.

use crate::lock_file::{LockFile, said};

#[test]
fn each_message_has_a_hint() {
    let lock = LockFile::new();
    lock.sh("touch reg; mkfifo fifo; ln -s nodir/x dangling; ln -s new link").code(0);
    let empty = "the path is empty: check for a variable that is not set";
    for (words, code, expected) in [
        ("my.lock ls", 64, "did you mean `locket run my.lock ls`?"),
        ("reg ls 'a b' \"it's\"", 64, r"did you mean `locket run reg ls 'a b' 'it'\''s'`?"),
        ("-n my.lock ls -l", 64, "did you mean `locket run -n my.lock ls -l`?"),
        ("my.lock", 64, "did you mean `locket run my.lock COMMAND`, or `locket status my.lock`?"),
        ("9", 64, "did you mean `locket lock 9`?"),
        ("-n 9", 64, "did you mean `locket lock -n 9`?"),
        // clap reports what is only misspelled.
        ("stauts my.lock", 64, "'status'"),
        (
            "run my.lock",
            64,
            "`locket run my.lock COMMAND`, or to see the holder: `locket status my.lock`",
        ),
        ("run -n 9", 64, "to lock a descriptor of the shell's: `locket lock -n 9`"),
        ("run -u 9", 64, "to unlock a descriptor: `locket unlock 9`"),
        ("run -u my.lock ls", 64, "to unlock a descriptor: `locket unlock NUMBER`"),
        ("run --fcntl f ls", 64, "as flock(1) does it: `locket flock --fcntl f ls`"),
        ("run --start 1 f ls", 64, "as flock(1) does it: `locket flock --start 1 f ls`"),
        ("run --length=1 f ls", 64, "as flock(1) does it: `locket flock --length=1 f ls`"),
        ("run --fd 9 ls", 64, "as flock(1) does it: `locket flock --fd 9 ls`"),
        ("lock my.lock", 64, "a command under the lock of a file: locket run FILE COMMAND"),
        ("run -w -5 f ls", 64, "a time cannot be negative: 5 waits that long, 0 makes one attempt"),
        ("run -w 5min f ls", 64, "write 5m"),
        (
            "run -w soon f ls",
            64,
            "expected seconds, as 10 or 0.5, or a time as 500ms, 10s, 2m, 1h, 1d",
        ),
        ("run '' ls", 64, empty),
        ("wait ''", 64, empty),
        ("status ''", 64, empty),
        (
            "run fifo ls",
            66,
            "it is a FIFO, and an open may release a process that waits at its other end: lock a regular file beside it, ",
        ),
        (
            "run /dev/null ls",
            66,
            "lock a regular file in place of the device, or use `locket flock`, which locks the device as flock(1) does",
        ),
        ("run dangling ls", 66, "/nodir/x, and the directory "),
        ("run new/ ls", 66, "a trailing slash names a directory: create it (mkdir "),
        ("run reg/ ls", 66, "a trailing slash names a directory, and "),
        ("run nodir/f ls", 66, "there is no directory "),
    ] {
        let said = said(&lock.sh(&format!("$L {words}")).code(code).stdout(""));
        assert!(said.contains(expected), "{words} {said}");
    }
    for words in [".", "./", "link", "-w 1d f"] {
        lock.sh(&format!("$L run {words} true")).code(0).stderr("");
    }
    assert!(lock.directory().join("new").exists());
}
