//! Idioms of shell scripts with flock(1). Each is run twice, with the system's flock(1) and with locket called as `flock`.
//! Standard output, standard error and the exit code must be the same.

use std::os::unix::fs::symlink;
use std::process::Output;

use rand::prelude::{IndexedRandom, RngExt, SeedableRng};

use crate::lock_file::{LOCKET, LockFile, has, make_script};

/// Functions for the idioms. `hold OPTIONS... FILE` holds the lock in the background until `let_go`.
const PRELUDE: &str = r#"
hold() {
    mkfifo held go
    flock "$@" sh -c 'echo >held; read _ <go' &
    read _ <held
}
let_go() { echo >go; wait; }
"#;

/// A line for each idiom: what it is, and a script for any shell.
const IDIOMS: &str = r#"
a command: flock f echo a; echo $?; ls
the exit code of the command: flock f sh -c 'exit 3'
an attempt: flock -n f echo a
an attempt that fails: hold f; flock -n f echo no; echo $?; let_go; flock -n f echo yes
a conflict exit code: hold f; flock -n -E 9 f echo no; echo $?; let_go
a timeout: hold f; flock -w .1 f echo no; echo $?; let_go
a timeout with exit code 0: hold f; flock -w .1 -E 0 f echo no; echo $?; let_go
a timeout of zero: hold f; flock -w 0 f echo no; echo $?; let_go
a timeout that is long enough: hold f; (echo >go) & flock -w 60 f echo yes; wait
readers: hold -s f; flock -s -n f echo yes; flock -n f echo no; echo $?; let_go
a reader and a writer: hold -x f; flock -s -n f echo no; echo $?; let_go
the last of -s and -x: hold -s f; flock -xsn f echo yes; flock -sxn f echo no; echo $?; let_go
a string: flock f -c 'echo a | tr a b; exit 4'
a string by --command: flock -x f --command 'echo $0 | grep -c sh'
a string with an extra argument: flock f -c echo a
a subshell: ( flock 9; echo a ) 9>f
a subshell or a failure: hold f; ( flock -n 9 || exit 7; echo no ) 9>f; echo $?; let_go
a subshell with a timeout: hold f; ( flock -w .1 9 || exit 7; echo no ) 9>f; echo $?; let_go
a group: { flock -n 9 && echo a; } 9>f
a function: work() ( flock 9; echo "$1" ) 9>f; work a; work b
the rest of the script: exec 9>f; flock 9; flock -n f echo no; echo $?
a single instance: exec 9>f; if flock -n 9; then echo first; else echo second; fi
a second instance: hold f; exec 9>f; flock -n 9 || { echo running; let_go; exit 1; }
the same descriptor twice: exec 9>f; flock -n 9; flock -n 9; echo $?
two descriptors: exec 8>f 9>f; flock -n 8; echo $?; flock -n 9; echo $?
unlocking: exec 9>f; flock 9; flock -u 9; echo $?; flock -n f echo free
unlocking what is not locked: exec 9>f; flock -u 9; echo $?
closing: exec 9>f; flock 9; exec 9>&-; flock -n f echo free
from exclusive to shared: exec 9>f; flock 9; flock -s 9; flock -sn f echo yes; flock -n f echo no; echo $?
from shared to exclusive: exec 9>f; flock -s 9; flock -xn 9; echo $?; flock -sn f echo no; echo $?
read from the lock file: echo text >f; exec 9<f; flock -s 9; cat <&9
the data file: for i in 1 2 3; do ( flock 9; echo $i >&9 ) 9>>f; done; cat f
both ways: exec 4<>f; flock -n 4; echo $?
a descriptor that is not open: flock 77; echo $?
no descriptor: flock nonsense 2>&1 | sed 's/bad/invalid/'
a child without the lock: mkfifo ready go; exec 9>f; flock 9; sh -c 'echo >ready; read _ <go' 9>&- & read _ <ready; exec 9>&-; flock -n f echo free; echo >go; wait
a directory: mkdir d; flock d ls -a d; exec 9<d; flock -n 9; flock -n d echo no; echo $?
a device: flock -n /dev/null echo a; echo $?
a script that locks itself: printf '%s\n' '#!/bin/sh' '[ "${FLOCKER}" != "$0" ] && exec env FLOCKER="$0" flock -en "$0" "$0" "$@" || :' 'echo "run $1"' 'flock -n "$0" echo no; echo $?' >s; chmod +x s; ./s a
a script that locks itself by a descriptor: printf '%s\n' '#!/bin/sh' 'exec 9<"$0"; flock -n 9 || exit 1' 'echo run; flock -n "$0" echo no; echo $?' >s; chmod +x s; ./s
a line of cron: hold f; flock -n f -c 'echo job' || true; echo $?; let_go; flock -n f -c 'echo job' || true
a background process keeps the lock: mkfifo go; flock f sh -c 'read _ <go &'; flock -n f echo no; echo $?; echo >go; flock f echo free
a background process without the lock: mkfifo go; flock -o f sh -c 'read _ <go &'; flock -n f echo free; echo >go
no-fork keeps the process id: flock -F f sh -c 'echo $$ >pid' & wait; [ $! = "$(cat pid)" ] && echo same
no-fork after exec: sh -c 'exec flock --no-fork f sh -c "flock -n f echo no; exit 5"'
waiting in a loop: hold f; n=0; until flock -n f echo done; do n=$((n + 1)); [ $n = 3 ] && let_go; done; [ $n -ge 3 ] && echo waited
one after the other: echo 0 >n; seq 20 | xargs -P 4 -I{} flock f sh -c 'read n <n; echo $((n + 1)) >n'; cat n
streams: echo in | flock f cat; flock f cat <f >out; echo err | flock f sh -c 'cat >&2'
words and the environment unchanged: A='x y' flock f sh -c 'echo "$A"; printf "<%s>" "$@"' sh 'a b' '*' '' -n --
a command that is killed: flock f sh -c 'kill -9 $$'; echo $?; flock -n f sh -c 'kill -TERM $$'; echo $?
a command that is not there: flock f ./missing; echo $?; flock -F f ./missing; echo $?
a directory that is not there: flock missing/f echo no; echo $?
verbose messages: exec 9>f; flock --verbose 9; flock --verbose -n f true; echo $?; flock --verbose -w .1 f true; echo $?; flock -u 9; flock --verbose f true
short and long and abbreviated: hold f; flock -nE5 f true; echo $?; flock -w.1 -E6 f true; echo $?; flock --nonb --conflict-exit=7 f true; echo $?; flock --exclu --time .1 --conf 8 f true; echo $?; let_go; flock -- f echo a; flock -n -x -- f echo -n b
"#;

const IDIOMS_OF_BASH: &str = r#"
a descriptor above nine: exec 200>f; flock -n 200; echo $?; flock -n f echo no; echo $?
a descriptor with a name: exec {lock}>f; flock -n "$lock"; echo $?; flock -n f echo no; echo $?
"#;

fn run(shell: &str, script: &str, path: &str) -> Output {
    let lock = LockFile::new();
    let mut command = lock.command(shell, &["-c", &format!("{PRELUDE}{script}")]);
    command.env("PATH", path).env_remove("SHELL").output().expect("the shell should run")
}

/// Returns the exit code and the outputs, without the times in them.
fn comparable(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let lines = text.lines().map(|line| match line.split_once(" took ") {
            Some((before, time)) if time.ends_with(" seconds") => format!("{before} took a time\n"),
            _ => format!("{line}\n"),
        });
        lines.collect::<String>()
    };
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Returns a `PATH` that begins with the directory, and the `PATH` without it.
fn paths(directory: &LockFile) -> [String; 2] {
    let path = std::env::var("PATH").unwrap_or_default();
    [format!("{}:{path}", directory.directory().display()), path]
}

/// Returns a `PATH` whose first directory has locket under the name flock, and the `PATH` without it.
pub(crate) fn paths_with_locket_as_flock(links: &LockFile) -> [String; 2] {
    symlink(LOCKET, links.beside("flock")).expect("the directory should be writable");
    paths(links)
}

#[test]
fn idioms_behave_as_with_flock() {
    needs!("flock --version");
    let links = LockFile::new();
    let paths = paths_with_locket_as_flock(&links);
    let is_bash_here = has("idioms_behave_as_with_flock (bash)", "bash --version");
    let mut different = Vec::new();
    for (shell, idioms) in [("sh", IDIOMS), ("bash", IDIOMS_OF_BASH)] {
        for idiom in idioms.lines().filter(|it| !it.is_empty() && (shell == "sh" || is_bash_here)) {
            let (_, script) = idiom.split_once(": ").expect("a name and a script");
            let [ours, theirs] = paths.each_ref().map(|path| comparable(&run(shell, script, path)));
            if ours != theirs {
                different.push(format!("{idiom}\n  flock:  {theirs:?}\n  locket: {ours:?}"));
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// The words of the command lines. The system's flock(1) may be older than the options that are missing here.
const WORDS: &str = "-s -x -e -n -u -o -F -w 0 0.01 1 -E 5 -E5 -w0 -sn -xn -nE7 --shared --exclusive --unlock \
    --nonb --close --no-fork --timeout --timeout=0 --wait=0.01 --conf=9 --sha --exclu --un \
    --clo --time --conflict-exit-code -nw -w.01 -- f g . 8 77 true echo a -c --command false \
    -";

/// Compares exit code and standard output. (Each version words its errors differently.)
#[test]
fn random_command_lines_behave_as_with_flock() {
    needs!("flock --version");
    let links = LockFile::new();
    let paths = paths_with_locket_as_flock(&links);
    let all: Vec<&str> = WORDS.split(' ').chain(["exit 3"]).collect();
    let mut random = rand::rngs::StdRng::seed_from_u64(16);
    for _ in 0..400 {
        let count = random.random_range(1..7);
        let words: Vec<&str> = std::iter::repeat_with(|| *all.choose(&mut random).expect("some"))
            .take(count)
            .collect();
        let script = ["-c", "exec 8>h; exec flock \"$@\"", "sh"];
        let [ours, theirs] = paths.each_ref().map(|path| {
            let lock = LockFile::new();
            let mut command = lock.command("sh", &[&script, &words[..]].concat());
            let output = command.env("PATH", path).output().expect("sh should run");
            (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
        });
        assert_eq!(ours, theirs, "{words:?}");
    }
}

/// A flock that reports success and does not lock must be detected.
#[test]
fn a_flock_that_does_not_lock_is_detected() {
    needs!("flock --version");
    let links = LockFile::new();
    make_script(links.beside("flock"), "#!/bin/sh\nexit 0\n");
    let script = "exec 8>f 9>f; flock -n 8; echo $?; flock -n 9; echo $?";
    let [liar, theirs] = paths(&links).map(|path| comparable(&run("sh", script, &path)));
    assert_ne!(liar, theirs);
}
