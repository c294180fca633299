//! Idioms of shell scripts with flock(1). Each is run twice, with the system's flock(1) and with locket called as `flock`.
//! Standard output, standard error and the exit code must be the same.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Output;

use crate::running::{LOCKET, has};
use crate::support::{PATIENCE, Scratch};

/// Functions for the idioms. `hold OPTIONS... FILE` holds the lock in the background until `let_go`.
const PRELUDE: &str = r#"
hold() {
    mkfifo held go
    flock "$@" sh -c 'echo >held; read _ <go' &
    read _ <held
}
let_go() { echo >go; wait; }
"#;

#[derive(Clone, Copy, PartialEq)]
enum Shell {
    Any,
    Bash,
}

use Shell::{Any, Bash};

const IDIOMS: [(&str, Shell, &str); 56] = [
    ("a command", Any, "flock f echo a; echo $?; ls"),
    ("the exit code of the command", Any, "flock f sh -c 'exit 3'"),
    ("an attempt", Any, "flock -n f echo a"),
    (
        "an attempt that fails",
        Any,
        "hold f; flock -n f echo no; echo $?; let_go; flock -n f echo yes",
    ),
    ("a conflict exit code", Any, "hold f; flock -n -E 9 f echo no; echo $?; let_go"),
    ("a timeout", Any, "hold f; flock -w .1 f echo no; echo $?; let_go"),
    ("a timeout with exit code 0", Any, "hold f; flock -w .1 -E 0 f echo no; echo $?; let_go"),
    ("a timeout of zero", Any, "hold f; flock -w 0 f echo no; echo $?; let_go"),
    ("a timeout that is long enough", Any, "hold f; (echo >go) & flock -w 60 f echo yes; wait"),
    ("readers", Any, "hold -s f; flock -s -n f echo yes; flock -n f echo no; echo $?; let_go"),
    ("a reader and a writer", Any, "hold -x f; flock -s -n f echo no; echo $?; let_go"),
    (
        "the last of -s and -x",
        Any,
        "hold -s f; flock -xsn f echo yes; flock -sxn f echo no; echo $?; let_go",
    ),
    ("a string", Any, "flock f -c 'echo a | tr a b; exit 4'"),
    ("a string by --command", Any, "flock -x f --command 'echo $0 | grep -c sh'"),
    ("a string with an extra argument", Any, "flock f -c echo a"),
    ("a subshell", Any, "( flock 9; echo a ) 9>f"),
    (
        "a subshell or a failure",
        Any,
        "hold f; ( flock -n 9 || exit 7; echo no ) 9>f; echo $?; let_go",
    ),
    (
        "a subshell with a timeout",
        Any,
        "hold f; ( flock -w .1 9 || exit 7; echo no ) 9>f; echo $?; let_go",
    ),
    ("a group", Any, "{ flock -n 9 && echo a; } 9>f"),
    ("a function", Any, "work() ( flock 9; echo \"$1\" ) 9>f; work a; work b"),
    ("the rest of the script", Any, "exec 9>f; flock 9; flock -n f echo no; echo $?"),
    ("a single instance", Any, "exec 9>f; if flock -n 9; then echo first; else echo second; fi"),
    ("a second instance", Any, "hold f; exec 9>f; flock -n 9 || { echo running; let_go; exit 1; }"),
    ("the same descriptor twice", Any, "exec 9>f; flock -n 9; flock -n 9; echo $?"),
    ("two descriptors", Any, "exec 8>f 9>f; flock -n 8; echo $?; flock -n 9; echo $?"),
    ("unlocking", Any, "exec 9>f; flock 9; flock -u 9; echo $?; flock -n f echo free"),
    ("unlocking what is not locked", Any, "exec 9>f; flock -u 9; echo $?"),
    ("closing", Any, "exec 9>f; flock 9; exec 9>&-; flock -n f echo free"),
    (
        "from exclusive to shared",
        Any,
        "exec 9>f; flock 9; flock -s 9; flock -sn f echo yes; flock -n f echo no; echo $?",
    ),
    (
        "from shared to exclusive",
        Any,
        "exec 9>f; flock -s 9; flock -xn 9; echo $?; flock -sn f echo no; echo $?",
    ),
    ("read from the lock file", Any, "echo text >f; exec 9<f; flock -s 9; cat <&9"),
    ("the data file", Any, "for i in 1 2 3; do ( flock 9; echo $i >&9 ) 9>>f; done; cat f"),
    ("both ways", Any, "exec 4<>f; flock -n 4; echo $?"),
    (
        "a descriptor above nine",
        Bash,
        "exec 200>f; flock -n 200; echo $?; flock -n f echo no; echo $?",
    ),
    (
        "a descriptor with a name",
        Bash,
        "exec {lock}>f; flock -n \"$lock\"; echo $?; flock -n f echo no; echo $?",
    ),
    ("a descriptor that is not open", Any, "flock 77; echo $?"),
    ("no descriptor", Any, "flock nonsense 2>&1 | sed 's/bad/invalid/'"),
    (
        "a child without the lock",
        Any,
        "mkfifo ready go; exec 9>f; flock 9; sh -c 'echo >ready; read _ <go' 9>&- & read _ <ready; exec 9>&-; flock -n f echo free; echo >go; wait",
    ),
    (
        "a directory",
        Any,
        "mkdir d; flock d ls -a d; exec 9<d; flock -n 9; flock -n d echo no; echo $?",
    ),
    ("a device", Any, "flock -n /dev/null echo a; echo $?"),
    (
        "a script that locks itself",
        Any,
        "printf '%s\\n' '#!/bin/sh' '[ \"${FLOCKER}\" != \"$0\" ] && exec env FLOCKER=\"$0\" flock -en \"$0\" \"$0\" \"$@\" || :' 'echo \"run $1\"' 'flock -n \"$0\" echo no; echo $?' >s; chmod +x s; ./s a",
    ),
    (
        "a script that locks itself by a descriptor",
        Any,
        "printf '%s\\n' '#!/bin/sh' 'exec 9<\"$0\"; flock -n 9 || exit 1' 'echo run; flock -n \"$0\" echo no; echo $?' >s; chmod +x s; ./s",
    ),
    (
        "a line of cron",
        Any,
        "hold f; flock -n f -c 'echo job' || true; echo $?; let_go; flock -n f -c 'echo job' || true",
    ),
    (
        "a background process keeps the lock",
        Any,
        "mkfifo go; flock f sh -c 'read _ <go &'; flock -n f echo no; echo $?; echo >go; flock f echo free",
    ),
    (
        "a background process without the lock",
        Any,
        "mkfifo go; flock -o f sh -c 'read _ <go &'; flock -n f echo free; echo >go",
    ),
    (
        "no-fork keeps the process id",
        Any,
        "flock -F f sh -c 'echo $$ >pid' & wait; [ $! = \"$(cat pid)\" ] && echo same",
    ),
    (
        "no-fork after exec",
        Any,
        "sh -c 'exec flock --no-fork f sh -c \"flock -n f echo no; exit 5\"'",
    ),
    (
        "waiting in a loop",
        Any,
        "hold f; n=0; until flock -n f echo done; do n=$((n + 1)); [ $n = 3 ] && let_go; done; [ $n -ge 3 ] && echo waited",
    ),
    (
        "one after the other",
        Any,
        "echo 0 >n; seq 20 | xargs -P 4 -I{} flock f sh -c 'read n <n; echo $((n + 1)) >n'; cat n",
    ),
    (
        "streams",
        Any,
        "echo in | flock f cat; flock f cat <f >out; echo err | flock f sh -c 'cat >&2'",
    ),
    (
        "words and the environment unchanged",
        Any,
        "A='x y' flock f sh -c 'echo \"$A\"; printf \"<%s>\" \"$@\"' sh 'a b' '*' '' -n --",
    ),
    (
        "a command that is killed",
        Any,
        "flock f sh -c 'kill -9 $$'; echo $?; flock -n f sh -c 'kill -TERM $$'; echo $?",
    ),
    (
        "a command that is not there",
        Any,
        "flock f ./missing; echo $?; flock -F f ./missing; echo $?",
    ),
    ("a directory that is not there", Any, "flock missing/f echo no; echo $?"),
    (
        "verbose messages",
        Any,
        "exec 9>f; flock --verbose 9; flock --verbose -n f true; echo $?; flock --verbose -w .1 f true; echo $?; flock -u 9; flock --verbose f true",
    ),
    (
        "short and long and abbreviated",
        Any,
        "hold f; flock -nE5 f true; echo $?; flock -w.1 -E6 f true; echo $?; flock --nonb --conflict-exit=7 f true; echo $?; flock --exclu --time .1 --conf 8 f true; echo $?; let_go; flock -- f echo a; flock -n -x -- f echo -n b",
    ),
];

fn run(shell: &str, text: &str, path: &str) -> Output {
    let scratch = Scratch::new();
    let mut command = assert_cmd::Command::new(shell);
    command.args(["-c", &format!("{PRELUDE}{text}")]).current_dir(scratch.path());
    command.env("PATH", path).env_remove("SHELL").timeout(PATIENCE);
    command.output().expect("the shell should run")
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

/// Returns a `PATH` whose first directory has locket under the name flock.
pub(crate) fn path_with_locket_as_flock(scratch: &Scratch) -> String {
    let link = scratch.join("flock");
    symlink(Path::new(LOCKET), link).expect("the directory should be writable");
    format!("{}:{}", scratch.path().display(), std::env::var("PATH").unwrap_or_default())
}

#[test]
fn idioms_behave_as_with_flock() {
    let check = "idioms_behave_as_with_flock";
    if !has(check, "flock", &["--version"]) {
        return;
    }
    let scratch = Scratch::new();
    let ours = path_with_locket_as_flock(&scratch);
    let theirs = std::env::var("PATH").unwrap_or_default();
    let is_bash_here = has(&format!("{check} (bash)"), "bash", &["-c", ":"]);
    let mut different = Vec::new();
    for (name, shell, text) in IDIOMS {
        let shell = match shell {
            Bash if !is_bash_here => continue,
            Bash => "bash",
            Any => "sh",
        };
        let outputs = [&theirs, &ours].map(|path| comparable(&run(shell, text, path)));
        if outputs[0] != outputs[1] {
            different.push(format!(
                "{name}: {text}\n  flock:  {:?}\n  locket: {:?}",
                outputs[0], outputs[1]
            ));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// The words of the command lines. The system's flock(1) may be older than the options that are missing here.
const WORDS: [&str; 50] = [
    "-s",
    "-x",
    "-e",
    "-n",
    "-u",
    "-o",
    "-F",
    "-w",
    "0",
    "0.01",
    "1",
    "-E",
    "5",
    "-E5",
    "-w0",
    "-sn",
    "-xn",
    "-nE7",
    "--shared",
    "--exclusive",
    "--unlock",
    "--nonb",
    "--close",
    "--no-fork",
    "--timeout",
    "--timeout=0",
    "--wait=0.01",
    "--conf=9",
    "--sha",
    "--exclu",
    "--un",
    "--clo",
    "--time",
    "--conflict-exit-code",
    "-nw",
    "-w.01",
    "--",
    "f",
    "g",
    ".",
    "8",
    "77",
    "true",
    "echo",
    "a",
    "-c",
    "--command",
    "exit 3",
    "false",
    "-",
];

/// Compares exit code and standard output. (Each version words its errors differently.)
#[test]
fn random_command_lines_behave_as_with_flock() {
    use rand::prelude::{IndexedRandom, RngExt, SeedableRng};

    if !has("random_command_lines_behave_as_with_flock", "flock", &["--version"]) {
        return;
    }
    let links = Scratch::new();
    let ours = path_with_locket_as_flock(&links);
    let theirs = std::env::var("PATH").unwrap_or_default();
    let mut random = rand::rngs::StdRng::seed_from_u64(16);
    for _ in 0..400 {
        let words: Vec<&str> = (0..random.random_range(1..7))
            .map(|_| *WORDS.choose(&mut random).expect("there are words"))
            .collect();
        let outputs = [&theirs, &ours].map(|path| {
            let scratch = Scratch::new();
            let mut command = assert_cmd::Command::new("sh");
            command.args(["-c", "exec 8>h; exec flock \"$@\"", "sh"]).args(&words);
            command.current_dir(scratch.path()).env("PATH", path).timeout(PATIENCE);
            let output = command.output().expect("sh should run");
            (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
        });
        assert_eq!(outputs[0], outputs[1], "{words:?}");
    }
}

/// A flock that reports success and does not lock must be detected.
#[test]
fn a_flock_that_does_not_lock_is_detected() {
    if !has("a_flock_that_does_not_lock_is_detected", "flock", &["--version"]) {
        return;
    }
    let scratch = Scratch::new();
    crate::running::make_script(&scratch.join("flock"), "#!/bin/sh\nexit 0\n");
    let path = std::env::var("PATH").unwrap_or_default();
    let liar = format!("{}:{path}", scratch.path().display());
    let text = "exec 8>f 9>f; flock -n 8; echo $?; flock -n 9; echo $?";
    let outputs = [&path, &liar].map(|path| comparable(&run("sh", text, path)));
    assert_ne!(outputs[0], outputs[1]);
}
