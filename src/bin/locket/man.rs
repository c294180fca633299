//! `locket man`: the manual, a page for each command.

use std::env;
use std::fs;
use std::io;
use std::path::PathBuf;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::args::{Args, ManOptions};
use super::examples::{self, Examples};
use super::exit::{self, Codes, Failure};
use super::output::print;

pub(crate) fn man(options: &ManOptions) -> Result<i32, Failure> {
    let mut root = Args::command().disable_help_subcommand(true);
    root.build();
    if let Some(directory) = &options.install {
        return install(&root, directory.clone().or_else(beside_program));
    }
    let not_written = |error| Failure::of_system("write the page", &error);
    let page = page_of(&root, options.command.as_deref()).map_err(not_written)?;
    let Some(page) = page else {
        let name = options.command.as_deref().unwrap_or_default();
        return Err(Failure { code: exit::USAGE, text: format!("there is no command {name}") });
    };
    print(&page)?;
    Ok(exit::DONE)
}

/// Writes all pages into `man1` of a directory, and says where they are.
fn install(root: &Command, directory: Option<PathBuf>) -> Result<i32, Failure> {
    let Some(directory) = directory else {
        let text = "this program is in no directory bin, beside which man(1) would look: locket man --install=DIR, where DIR \
                    is one of those that `manpath` prints";
        return Err(Failure { code: exit::USAGE, text: text.into() });
    };
    let pages = directory.join("man1");
    let failed = |error: io::Error| {
        let text = format!("cannot write the manual into {}: {error}", pages.display());
        Failure { code: exit::REFUSED, text }
    };
    fs::create_dir_all(&pages).map_err(failed)?;
    let names = root.get_subcommands().map(|command| Some(command.get_name()));
    for name in [None].into_iter().chain(names) {
        let Some(page) = page_of(root, name).map_err(failed)? else { continue };
        let file = name.map_or("locket.1".into(), |name| format!("locket-{name}.1"));
        fs::write(pages.join(file), page).map_err(failed)?;
    }
    print(&format!("the manual is in {}: man locket-run\n", pages.display()))?;
    Ok(exit::DONE)
}

/// Where man(1) looks for the pages of the programs in a directory of `PATH`: `../share/man` (manpath(5) of man-db).
fn beside_program() -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    let directory = program.parent().filter(|it| it.ends_with("bin"))?;
    Some(directory.parent()?.join("share/man"))
}

/// `None` if there is no such command.
fn page_of(root: &Command, name: Option<&str>) -> io::Result<Option<String>> {
    let Some(name) = name else { return page(root.clone(), &[], examples::of("")).map(Some) };
    let Some(command) = root.find_subcommand(name) else { return Ok(None) };
    let command = command.clone().display_name(format!("locket-{name}"));
    page(command, exit::codes(name), examples::of(name)).map(Some)
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
    match options_of(&name) {
        Some(options) => page.extend_from_slice(options.as_bytes()),
        None => man.render_options_section(&mut page)?,
    }
    if has_commands {
        man.render_subcommands_section(&mut page)?;
    }
    let see_also = if has_commands { "" } else { ".BR locket (1),\n" };
    let page = String::from_utf8_lossy(&page).into_owned();
    Ok(page + &exit_status(codes) + &shown(examples) + ".SH \"SEE ALSO\"\n" + see_also + FLOCK)
}

/// Of a command whose options clap does not know.
fn options_of(name: &str) -> Option<String> {
    #[cfg(unix)]
    if name == "locket-flock" {
        let entries = super::flock::OPTIONS
            .iter()
            .map(|(names, meaning)| format!(".TP\n\\fB{}\\fR\n{}\n", roff(names), roff(meaning)));
        return Some(
            entries.fold(".SH OPTIONS\n".into(), |section: String, entry| section + &entry),
        );
    }
    let _ = name;
    None
}

/// A hyphen in roff is no minus.
fn roff(text: &str) -> String {
    text.replace('\\', r"\e").replace('-', r"\-")
}

fn exit_status(codes: Codes) -> String {
    let heading = if codes.is_empty() { "" } else { ".SH \"EXIT STATUS\"\n" };
    let entries =
        codes.iter().map(|(code, meaning)| format!(".TP\n\\fB{code}\\fR\n{}\n", roff(meaning)));
    entries.fold(heading.into(), |section, entry| section + &entry)
}

/// Lines that roff leaves as they are.
fn shown(examples: Examples) -> String {
    let line = |line: &str| {
        let line = roff(line);
        // At its beginning these make a request of it.
        if line.starts_with(['.', '\'']) { format!("\\&{line}\n") } else { format!("{line}\n") }
    };
    let entries = examples.iter().map(|(heading, text)| {
        let lines: String = text.lines().map(line).collect();
        format!("{}:\n.PP\n.RS 4\n.EX\n{lines}.EE\n.RE\n", roff(heading))
    });
    // A section begins with a paragraph by itself.
    ".SH EXAMPLES\n".to_string() + &entries.collect::<Vec<_>>().join(".PP\n")
}

const FLOCK: &str = "\
.BR flock (1),
.BR flock (2)
";
