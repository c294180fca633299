use clap::Parser;
use clap_complete::Shell;

/// Print what a shell needs to complete the arguments of locket.
#[derive(Debug, Parser)]
#[command(display_name = "locket")]
pub(crate) struct CompletionsOptions {
    /// The shell
    pub(crate) shell: Shell,
}
