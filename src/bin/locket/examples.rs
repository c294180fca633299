//! The examples of the manual, by the page that they are in. A test runs each (`tests/command/examples.rs`).

/// A heading, and what stands in the file or is typed.
pub(crate) type Examples = &'static [(&'static str, &'static str)];

/// Of the command with this name; `""` is locket as a whole.
pub(crate) fn of(command: &str) -> Examples {
    match command {
        "" => ROOT,
        "run" => RUN,
        "wait" => WAIT,
        "status" => STATUS,
        "lock" => LOCK,
        "unlock" => UNLOCK,
        "flock" => FLOCK,
        "completions" => COMPLETIONS,
        "man" => MAN,
        _ => &[],
    }
}

const ROOT: Examples = &[
    ("One at a time", "locket run my_app.lock ./report.sh"),
    (
        "Not at all, if it is running",
        "locket run -n my_app.lock ./report.sh || echo 'it is running'",
    ),
    ("Is it running?", "locket status my_app.lock"),
];

const RUN: Examples = &[
    ("In a crontab", "*/5 * * * *  locket run -qn -E 0 report.lock ./report.sh"),
    (
        "In a unit of systemd",
        "\
[Unit]
Description=The report, one at a time

[Service]
Type=oneshot
ExecStart=/usr/local/bin/locket run -w 10m /var/lib/report/lock /usr/local/bin/report.sh",
    ),
    (
        "In a script that locks itself",
        r#"#!/bin/sh
[ "$LOCKED" = "$0" ] || exec env LOCKED="$0" locket run -n "$0" "$0" "$@"
echo "alone: $*""#,
    ),
    (
        "In a Makefile, whose recipes may run side by side (make -j)",
        "\
all: a.out b.out
%.out:
\tlocket run cache.lock ./report.sh >$@",
    ),
    (
        "In a step of CI, on a machine that other jobs use",
        "\
steps:
  - run: locket run -w 20m /var/lib/report/lock ./report.sh",
    ),
];

const WAIT: Examples = &[
    ("When the other has ended", "locket wait -w 1h my_app.lock && ./report.sh"),
    (
        "In a Makefile",
        "\
all:
\tlocket wait my_app.lock
\t./report.sh",
    ),
];

const STATUS: Examples = &[
    ("In a script", "if locket status -q my_app.lock; then echo 'it is running'; fi"),
    ("All locks in use, as JSON", "locket status --all --json"),
];

const LOCK: Examples = &[
    (
        "In a script that locks itself",
        r#"#!/bin/sh
exec 9<"$0"
locket lock -n 9 || exit
echo "alone: $*""#,
    ),
    (
        "For a part of a script",
        "\
exec 9>my_app.lock
locket lock -w 10 9 || exit
./report.sh
locket unlock 9
echo 'not alone any more'",
    ),
];

const UNLOCK: Examples = &[(
    "In a command that was handed its lock",
    r#"locket run --pass-fd 9 my_app.lock sh -c './report.sh; locket unlock 9; echo "not alone any more"'"#,
)];

const FLOCK: Examples = &[
    (
        "As the first flock in PATH",
        "\
mkdir -p ~/bin
ln -s \"$(command -v locket)\" ~/bin/flock
PATH=~/bin:$PATH
flock --version",
    ),
    ("In a script", "( locket flock -n 9 || exit 1; ./report.sh ) 9>my_app.lock"),
    ("In a crontab", "*/5 * * * *  locket flock -n report.lock -c ./report.sh"),
];

const COMPLETIONS: Examples = &[(
    "For bash",
    "\
mkdir -p ~/.local/share/bash-completion/completions
locket completions bash >~/.local/share/bash-completion/completions/locket",
)];

const MAN: Examples = &[
    (
        "Where man(1) finds the pages of a program in ~/.cargo/bin",
        "locket man --install=$HOME/.cargo/share/man",
    ),
    ("To read one at once", "locket man run | man -l -"),
];
