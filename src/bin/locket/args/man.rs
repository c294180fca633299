use clap::Parser;

/// Print a page of the manual, as man(1) reads it.
#[derive(Debug, Parser)]
#[command(display_name = "locket")]
pub(crate) struct ManOptions {
    /// The command that the page is about; without one it is about locket as a whole
    pub(crate) command: Option<String>,
}
