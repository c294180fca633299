use std::path::PathBuf;

use clap::{Parser, ValueHint};

use crate::exit;

/// Print a page of the manual, as man(1) reads it.
#[derive(Debug, Parser)]
#[command(display_name = "locket", after_long_help = exit::help(exit::OF_PRINTERS))]
pub(crate) struct ManOptions {
    /// Write all pages where man(1) finds them
    ///
    /// Into `man1` of the directory; without one it is `share/man` beside the directory `bin` that locket is in, where
    /// man(1) looks if that is in PATH: `~/.cargo/share/man` after `cargo install`.
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true)]
    #[arg(conflicts_with = "command", value_hint = ValueHint::DirPath)]
    #[allow(clippy::option_option, reason = "the option, and its value")]
    pub(crate) install: Option<Option<PathBuf>>,

    /// The command that the page is about; without one it is about locket as a whole
    pub(crate) command: Option<String>,
}
