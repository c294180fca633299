//! A job object: what the system ends when this process ends.

use std::io;
use std::mem::ManuallyDrop;
use std::process;
use std::thread;
use std::time::Duration;

use win32job::{ExtendedLimitInfo, Job, JobError};

/// How often it is looked who is left: a job tells nobody that its last process but one has ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// This process and all that it starts from now on, and what these start. When its handle is
/// closed, they are ended: the system closes it at the end of this process, however that comes.
/// To close it before would be our own end.
#[derive(Debug)]
pub(super) struct Leash(ManuallyDrop<Job>);

impl Leash {
    /// Before there is a command: there is no moment at which it could be without.
    pub(super) fn put_on() -> io::Result<Self> {
        let job = Job::create_with_limit_info(ExtendedLimitInfo::new().limit_kill_on_job_close());
        let leash = Self(ManuallyDrop::new(job?));
        leash.0.assign_current_process()?;
        Ok(leash)
    }

    /// Waits until nobody is on it but this process.
    pub(super) fn wait_until_alone(&self) -> io::Result<()> {
        while self.others()? {
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn others(&self) -> Result<bool, JobError> {
        let this = process::id() as usize;
        let there = self.0.query_process_id_list()?;
        Ok(there.into_iter().any(|process| process != this))
    }

    /// Whoever is on it goes on after our end.
    pub(super) fn take_off(&self) -> io::Result<()> {
        Ok(self.0.set_extended_limit_info(&ExtendedLimitInfo::new())?)
    }
}
