//! `locket man`: the manual, a page for each command.

use std::io;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::args::{Args, ManOptions};
use super::exit::{self, Codes, Failure};
use super::output::print;

pub(crate) fn man(options: &ManOptions) -> Result<i32, Failure> {
    let mut root = Args::command().disable_help_subcommand(true);
    root.build();
    let page = match &options.command {
        None => page(root, &[]),
        Some(name) => {
            let Some(command) = root.find_subcommand(name) else {
                let text = format!("there is no command {name}");
                return Err(Failure { code: exit::USAGE, text });
            };
            page(command.clone().display_name(format!("locket-{name}")), exit::codes(name))
        }
    };
    print(&page.map_err(|error| Failure::of_system("write the page", &error))?)?;
    Ok(exit::DONE)
}

fn page(command: Command, codes: Codes) -> io::Result<String> {
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
    Ok(page + &exit_status(codes) + ".SH \"SEE ALSO\"\n" + see_also + FLOCK)
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

const FLOCK: &str = "\
.BR flock (1),
.BR flock (2)
";
