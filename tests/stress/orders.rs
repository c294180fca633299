//! What a worker is told: by its environment, since its arguments are the test harness's.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use super::subject::Subject;
use super::terrain::Terrain;

const ORDERS: &str = "LOCKET_WORKER";
const DIRECTORY: &str = "LOCKET_WORKER_DIRECTORY";

#[derive(Clone, Debug)]
pub(crate) struct Orders {
    /// A number that no other process of the round has had.
    pub(crate) process: u32,
    pub(crate) threads: u32,
    pub(crate) seed: u64,
    /// On the clock of all processes.
    pub(crate) until: u64,
    pub(crate) subject: Subject,
    pub(crate) terrain: Terrain,
    /// Of the round.
    pub(crate) directory: PathBuf,
}

impl Orders {
    /// This program as a worker, perhaps under another one.
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
        let Self { process, threads, seed, until, subject, terrain, .. } = self;
        let words = format!("{process} {threads} {seed} {until} {subject:?} {terrain:?}");
        command.args(["--exact", "worker", "--ignored", "--nocapture", "--quiet"]);
        command.env(ORDERS, words).env(DIRECTORY, &self.directory);
        command
    }

    /// `None` in a process that is no worker.
    pub(crate) fn received() -> Option<Self> {
        let words = env::var(ORDERS).ok()?;
        let words: Vec<&str> = words.split(' ').collect();
        let [process, threads, seed, until, subject, terrain] = words[..] else { return None };
        Some(Self {
            process: process.parse().ok()?,
            threads: threads.parse().ok()?,
            seed: seed.parse().ok()?,
            until: until.parse().ok()?,
            subject: Subject::ALL.into_iter().find(|it| format!("{it:?}") == subject)?,
            terrain: Terrain::ALL.into_iter().find(|it| format!("{it:?}") == terrain)?,
            directory: env::var_os(DIRECTORY)?.into(),
        })
    }
}
