use std::ffi::OsString;

use clap::Parser;

use crate::flock::{ABOUT, DESCRIPTION};

/// The arguments are not described here: clap does not read a command line as getopt(3) does.
#[derive(Debug, Parser)]
#[command(
    display_name = "locket",
    about = ABOUT,
    long_about = DESCRIPTION,
    disable_help_flag = true,
    disable_version_flag = true,
    override_usage = "locket flock [OPTIONS] <FILE|DIRECTORY> <COMMAND>...\n       \
                      locket flock [OPTIONS] <NUMBER>"
)]
pub(crate) struct FlockOptions {
    /// What flock(1) takes; --help shows it
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    pub(crate) words: Vec<OsString>,
}
