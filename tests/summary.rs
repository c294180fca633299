//! The last test program of a run. It prints how many checks were skipped and what was missing.

#[path = "support/skip_log.rs"]
#[allow(dead_code, reason = "the other test programs add the records")]
mod skip_log;

use std::process::ExitCode;

use skip_log::SkipLog;

fn main() -> ExitCode {
    let Some(log) = SkipLog::of_this_run() else {
        println!(
            "skipped checks are not counted on this system: see the lines that begin with SKIPPED"
        );
        return ExitCode::SUCCESS;
    };
    match log.take() {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}: {error}", log.0.display());
            ExitCode::FAILURE
        }
    }
}
