//! `locket man` and `locket completions`: what is generated from the description of the arguments.
//!
//! The manual has a page for each command. The examples on the pages are here too; a test runs each of them
//! (`tests/command/examples.rs`).

use std::env;
use std::fs;
use std::io;
use std::path::PathBuf;

use clap::{Command, CommandFactory};
use clap_complete::generate;
use clap_mangen::Man;

use crate::args::{Args, CompletionsOptions, ManOptions};
use crate::exit::{self, Codes, Failure};
#[cfg(unix)]
use crate::flock::text as flock;
use crate::output::print;

/// The examples of a page, each with its heading.
type Examples = &'static [(&'static str, &'static str)];

pub(crate) fn completions(options: &CompletionsOptions) -> Result<i32, Failure> {
    let mut script = Vec::new();
    generate(options.shell, &mut Args::command(), "locket", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(exit::SUCCESS)
}

pub(crate) fn man(options: &ManOptions) -> Result<i32, Failure> {
    let mut root = Args::command().disable_help_subcommand(true);
    root.build();
    if let Some(directory) = &options.install {
        return install(&root, directory.clone().or_else(share_man));
    }
    let not_written = |error| Failure::system("write the page", &error);
    let page = page_of(&root, options.command.as_deref()).map_err(not_written)?;
    let Some(page) = page else {
        let name = options.command.as_deref().unwrap_or_default();
        return Err(Failure { code: exit::USAGE, text: format!("unknown command {name}") });
    };
    print(&page)?;
    Ok(exit::SUCCESS)
}

/// Writes all pages into `man1` of a directory, and prints where they are.
fn install(root: &Command, directory: Option<PathBuf>) -> Result<i32, Failure> {
    let Some(directory) = directory else {
        let text = "cannot find the directory for the manual, since this program is in no directory bin: name one that `manpath` \
                    prints, locket man --install=DIR";
        return Err(Failure { code: exit::USAGE, text: text.into() });
    };
    let pages = directory.join("man1");
    let failed = |error: io::Error| {
        let text = format!("cannot write the manual into {}: {error}", pages.display());
        Failure { code: exit::OS_ERROR, text }
    };
    fs::create_dir_all(&pages).map_err(failed)?;
    let names = root.get_subcommands().map(|command| Some(command.get_name()));
    for name in [None].into_iter().chain(names) {
        let Some(page) = page_of(root, name).map_err(failed)? else { continue };
        let file = name.map_or("locket.1".into(), |name| format!("locket-{name}.1"));
        fs::write(pages.join(file), page).map_err(failed)?;
    }
    print(&format!("the manual is in {}: man locket-run\n", pages.display()))?;
    Ok(exit::SUCCESS)
}

/// Returns where man(1) looks for the pages of the programs in a directory of `PATH`: `../share/man` (manpath(5) of man-db).
fn share_man() -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    let directory = program.parent().filter(|it| it.ends_with("bin"))?;
    Some(directory.parent()?.join("share/man"))
}

/// Returns the page of a command, or of locket as a whole. `None` if there is no such command.
fn page_of(root: &Command, name: Option<&str>) -> io::Result<Option<String>> {
    let Some(name) = name else { return page(root.clone(), &[], examples_of("")).map(Some) };
    let Some(command) = root.find_subcommand(name) else { return Ok(None) };
    let command = command.clone().display_name(format!("locket-{name}"));
    page(command, codes_of(name), examples_of(name)).map(Some)
}

fn page(command: Command, codes: Codes, examples: Examples) -> io::Result<String> {
    let has_commands = command.has_subcommands();
    let name = command.get_display_name().unwrap_or("locket").to_string();
    let title = format!(".TH {name} 1 \"\" \"locket {}\" Locket\n", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command);
    let mut page = title.into_bytes();
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    match flock_options(&name) {
        Some(options) => page.extend_from_slice(options.as_bytes()),
        None => man.render_options_section(&mut page)?,
    }
    if has_commands {
        man.render_subcommands_section(&mut page)?;
    }
    let see_also = if has_commands { "" } else { ".BR locket (1),\n" };
    let page = String::from_utf8_lossy(&page).into_owned();
    Ok(page
        + &exit_status(codes)
        + &examples_section(examples)
        + ".SH \"SEE ALSO\"\n"
        + see_also
        + SEE_ALSO_FLOCK)
}

/// Returns the options of `locket flock`, which clap does not parse.
fn flock_options(name: &str) -> Option<String> {
    #[cfg(unix)]
    if name == "locket-flock" {
        let entries = flock::OPTIONS
            .iter()
            .map(|(names, meaning)| format!(".TP\n\\fB{}\\fR\n{}\n", roff(names), roff(meaning)));
        return Some(
            entries.fold(".SH OPTIONS\n".into(), |section: String, entry| section + &entry),
        );
    }
    let _ = name;
    None
}

/// Escapes a text for roff, in which an unescaped `-` is a hyphen and not a minus sign.
fn roff(text: &str) -> String {
    text.replace('\\', r"\e").replace('-', r"\-")
}

fn exit_status(codes: Codes) -> String {
    let heading = if codes.is_empty() { "" } else { ".SH \"EXIT STATUS\"\n" };
    let entries =
        codes.iter().map(|(code, meaning)| format!(".TP\n\\fB{code}\\fR\n{}\n", roff(meaning)));
    entries.fold(heading.into(), |section, entry| section + &entry)
}

/// Returns the examples as lines that roff does not fill.
fn examples_section(examples: Examples) -> String {
    let line = |line: &str| {
        let line = roff(line);
        // At the beginning of a line these characters begin a request of roff.
        if line.starts_with(['.', '\'']) { format!("\\&{line}\n") } else { format!("{line}\n") }
    };
    let entries = examples.iter().map(|(heading, text)| {
        let lines: String = text.lines().map(line).collect();
        format!("{}:\n.PP\n.RS 4\n.EX\n{lines}.EE\n.RE\n", roff(heading))
    });
    // The heading of a section begins a paragraph, so none is begun before the first example.
    ".SH EXAMPLES\n".to_string() + &entries.collect::<Vec<_>>().join(".PP\n")
}

const SEE_ALSO_FLOCK: &str = "\
.BR flock (1),
.BR flock (2)
";

/// Returns the exit codes of a command.
fn codes_of(command: &str) -> Codes {
    match command {
        "run" => exit::RUN_CODES,
        #[cfg(unix)]
        "flock" => flock::EXIT_CODES,
        "wait" => exit::WAIT_CODES,
        "lock" => exit::LOCK_CODES,
        "unlock" => exit::UNLOCK_CODES,
        "status" => exit::STATUS_CODES,
        "completions" | "man" => exit::PRINT_CODES,
        _ => &[],
    }
}

/// Returns the examples of a command; those of `""` are about locket as a whole.
fn examples_of(command: &str) -> Examples {
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
    ("To read one without installing it", "locket man run | man -l -"),
];
