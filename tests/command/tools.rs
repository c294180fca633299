//! Tools that run commands, over locket and under it: their commands exclude each other, the lock is held while they run,
//! and their exit status is passed on.

use std::path::Path;
use std::process::Command;

use crate::running::{LOCKET, Running, has, is_free};
use crate::support::Scratch;

/// Each command creates and removes a directory. Two commands at the same time collide there.
const ALONE: &str = "mkdir inside && sleep 0.002 && rmdir inside";

#[track_caller]
fn run_in(scratch: &Scratch, program: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(program);
    let output = command.args(arguments).current_dir(scratch.path()).output();
    let output = output.expect("it should run");
    let text = [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    (output.status.code(), text.concat())
}

#[test]
fn l1_commands_of_xargs_exclude_each_other() {
    if !has("l1_commands_of_xargs_exclude_each_other", "xargs", &["--version"]) {
        return;
    }
    let scratch = Scratch::new();
    let turns = |run: &str| {
        let script = format!("seq 40 | xargs -P 8 -n 1 {run} sh -c '{ALONE}'");
        run_in(&scratch, "sh", &["-c", &script])
    };
    for run in [format!("{LOCKET} run x.lock"), format!("{LOCKET} run -o x.lock")] {
        let (code, text) = turns(&run);
        assert_eq!((code, &text[..]), (Some(0), ""));
    }
    // Without locket they collide.
    assert_eq!(turns("env").0, Some(123));
}

#[test]
fn l1_recipes_of_make_exclude_each_other() {
    if !has("l1_recipes_of_make_exclude_each_other", "make", &["--version"]) {
        return;
    }
    let scratch = Scratch::new();
    let made = |run: &str| {
        let goals: Vec<String> = (0..30).map(|number| format!("t{number}")).collect();
        let makefile = format!("all: {}\nt%:\n\t@{run} sh -c '{ALONE}'\n", goals.join(" "));
        std::fs::write(scratch.join("Makefile"), makefile)
            .expect("the directory should be writable");
        run_in(&scratch, "make", &["-j6"])
    };
    let (code, text) = made(&format!("{LOCKET} run x.lock"));
    assert_eq!((code, &text[..]), (Some(0), ""));
    // Without locket they collide.
    assert_eq!(made("env").0, Some(2));
}

/// The words of a program, and how it runs a script of a shell.
type Launcher = (&'static [&'static str], fn(&str) -> Vec<String>);

fn words(words: &[&str], script: &str) -> Vec<String> {
    words.iter().chain([&script]).map(ToString::to_string).collect()
}

const LAUNCHERS: [Launcher; 9] = [
    (&["env", "true"], |script| words(&["env", "sh", "-c"], script)),
    (&["setsid", "true"], |script| words(&["setsid", "-w", "sh", "-c"], script)),
    (&["script", "-qec", "true", "/dev/null"], |script| {
        let mut words = words(&["script", "-qec"], script);
        words.push("/dev/null".into());
        words
    }),
    (&["ssh-agent", "true"], |script| words(&["ssh-agent", "sh", "-c"], script)),
    (&["su", "-s", "/bin/sh", "root", "-c", "true"], |script| {
        words(&["su", "-s", "/bin/sh", "root", "-c"], script)
    }),
    (&["sudo", "-n", "true"], |script| words(&["sudo", "-n", "sh", "-c"], script)),
    (&["timeout", "100", "true"], |script| words(&["timeout", "100", "sh", "-c"], script)),
    (&["nohup", "true"], |script| words(&["nohup", "sh", "-c"], script)),
    (&["unshare", "--pid", "--fork", "true"], |script| {
        words(&["unshare", "--pid", "--fork", "sh", "-c"], script)
    }),
];

#[test]
fn l15_the_lock_is_held_under_and_over_a_tool() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let script = "echo ready; read x; exit 7";
    for (works, launch) in LAUNCHERS {
        let check = format!("l15_the_lock_is_held_under_and_over_a_tool ({})", works[0]);
        if !has(&check, works[0], &works[1..]) {
            continue;
        }
        let under = |script: &str| {
            let mut run = Command::new(LOCKET);
            // The agent runs for some seconds after its command, and would keep the lock.
            let options = ["-o"].into_iter().filter(|_| works[0] == "ssh-agent");
            run.arg("run").args(options).arg(&path).args(launch(script));
            run
        };
        let over = |script: &str| {
            let script = format!("exec {LOCKET} run {} sh -c '{script}'", path.display());
            let words = launch(&script);
            let mut run = Command::new(&words[0]);
            run.args(&words[1..]);
            run
        };
        for mut command in [under(script), over(script)] {
            held_while_it_runs(&mut command, &path, works[0]);
        }
    }
}

#[track_caller]
fn held_while_it_runs(command: &mut Command, path: &Path, name: &str) {
    let mut run = Running::start(command);
    // script(1) shows the output as a terminal does.
    assert_eq!(run.line().trim_end(), "ready", "{name}");
    assert!(!is_free(path), "{name}");
    run.tell("word");
    let code = run.wait().code();
    assert_eq!(code, Some(7), "{name}");
    assert!(is_free(path), "{name}");
}

/// A tmux server outlives the command that started it. It keeps the lock that it inherited, but not with `-o`.
#[test]
fn a_server_keeps_the_inherited_lock() {
    let check = "a_server_keeps_the_inherited_lock";
    if !has(check, "tmux", &["-V"]) {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    for (options, keeps) in [(&[][..], true), (&["-o"], false)] {
        let socket = scratch.join("tmux");
        let socket = socket.to_str().expect("it should be UTF-8");
        let mut run = Command::new(LOCKET);
        run.arg("run").args(options).arg(&path);
        run.args(["tmux", "-S", socket, "-f", "/dev/null", "new-session", "-d", "sleep 1000"]);
        let status = run.env("TERM", "xterm").status().expect("it should run");
        assert_eq!(status.code(), Some(0));
        assert_eq!(is_free(&path), !keeps, "{options:?}");
        let end = Command::new("tmux").args(["-S", socket, "kill-server"]).status();
        assert!(end.expect("it should run").success());
        crate::support::until("the lock is free", || is_free(&path));
    }
}
