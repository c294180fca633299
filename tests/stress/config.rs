//! The configuration of a worker. It is passed in the environment, because the arguments belong to the test harness.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use super::layout::Layout;
use super::subject::Subject;

const CONFIG: &str = "LOCKET_WORKER";
const DIRECTORY: &str = "LOCKET_WORKER_DIRECTORY";

#[derive(Clone, Debug)]
pub(crate) struct WorkerConfig {
    /// A number that no other process of the round has.
    pub(crate) process: u32,
    pub(crate) threads: u32,
    pub(crate) seed: u64,
    /// The end of the run, on the clock that all processes share.
    pub(crate) until: u64,
    pub(crate) subject: Subject,
    pub(crate) layout: Layout,
    /// The directory of the round.
    pub(crate) directory: PathBuf,
}

impl WorkerConfig {
    /// Returns the command that starts this program as a worker, under `wrapper` if that is not empty.
    pub(crate) fn command(&self, wrapper: &[&str]) -> Command {
        let program = env::current_exe().expect("the test knows its own program");
        let mut command = match wrapper.split_first() {
            None => Command::new(program),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        let Self { process, threads, seed, until, subject, layout, .. } = self;
        let words = format!("{process} {threads} {seed} {until} {subject:?} {layout:?}");
        command.args(["--exact", "worker", "--ignored", "--nocapture", "--quiet"]);
        command.env(CONFIG, words).env(DIRECTORY, &self.directory);
        command
    }

    /// Returns the configuration of this process, or `None` if it is no worker.
    pub(crate) fn received() -> Option<Self> {
        let words = env::var(CONFIG).ok()?;
        let words: Vec<&str> = words.split(' ').collect();
        let [process, threads, seed, until, subject, layout] = words[..] else { return None };
        Some(Self {
            process: process.parse().ok()?,
            threads: threads.parse().ok()?,
            seed: seed.parse().ok()?,
            until: until.parse().ok()?,
            subject: Subject::ALL.into_iter().find(|it| format!("{it:?}") == subject)?,
            layout: Layout::ALL.into_iter().find(|it| format!("{it:?}") == layout)?,
            directory: env::var_os(DIRECTORY)?.into(),
        })
    }
}
