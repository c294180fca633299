//! `locket completions`: what a shell needs to complete a command line.

use clap::CommandFactory;
use clap_complete::generate;

use super::args::{Args, CompletionsOptions};
use super::exit::{self, Failure};
use super::output::print;

pub(crate) fn completions(options: &CompletionsOptions) -> Result<i32, Failure> {
    let mut script = Vec::new();
    generate(options.shell, &mut Args::command(), "locket", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(exit::DONE)
}
