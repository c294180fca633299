//! A machine with many locks and many open files: the overshoot of a timeout, and the time of a look-up of the holders of a lock.
//!
//! `/proc/locks` is long then, and reading it takes more than a hundred milliseconds. A timeout must not wait for that.

#[cfg(target_os = "linux")]
#[allow(dead_code, reason = "each benchmark uses a part of it")]
mod bench;

#[cfg(target_os = "linux")]
fn main() -> bench::Result {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("This benchmark is about Linux's /proc/locks: it runs on Linux only.");
}

#[cfg(target_os = "linux")]
mod linux {
    use std::env;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::ops::ControlFlow;
    use std::path::Path;
    use std::process::{Child, Command, Stdio};
    use std::thread;
    use std::time::Duration;

    use locket::{Lock, lock_file};

    use crate::bench::args::Args;
    use crate::bench::python::Python;
    use crate::bench::required::{Bound, Required};
    use crate::bench::stats::{median, quantile};
    use crate::bench::sys;
    use crate::bench::table::{Report, time};
    use crate::bench::{Result, machine, sane};

    const LOCKS: usize = 50_000;
    const DESCRIPTORS: usize = 100_000;
    /// The files of each process of the crowd.
    const FILES: usize = 500;
    const TIMEOUT: Duration = Duration::from_millis(20);
    /// The environment variable with the task of a process of the crowd: numbers of descriptors, locks and files, and the path.
    const CROWD: &str = "LOCKET_BENCH_CROWD";

    pub(super) fn main() -> Result {
        if let Ok(task) = env::var(CROWD) {
            return hold_locks(&task);
        }
        let Some(args) = Args::parse("crowded") else { return Ok(()) };
        let dir = tempfile::tempdir()?;
        let about = machine::describe(dir.path(), &Python::find());
        let mut report = Report::new("A machine with many locks", &about);
        let mut required = Required::new(args.quick);
        let (descriptors, locks) = args.pick((DESCRIPTORS, LOCKS), (200, 100));
        let crowd = Crowd::gather(descriptors, locks, dir.path())?;
        measure(&args, dir.path(), &mut required)?;
        drop(crowd);
        report.add(required.table());
        required.judge()
    }

    fn measure(args: &Args, dir: &Path, required: &mut Required) -> Result {
        let path = dir.join("held.lock");
        // The holder is another process, as is usual.
        let _holder = Crowd::of(1, 1, 1, &path)?;
        let observed = |lock: Lock| {
            lock.on_wait(|wait| {
                let _ = wait.status();
                ControlFlow::Continue(())
            })
        };
        let waiter = lock_file(&path).timeout(TIMEOUT);
        let waits = args.pick(150, 3);
        for (what, lock) in [
            ("overshoot of a timeout beyond that of a sleep, p99", waiter.clone()),
            ("the same, with an observer that looks the holders up, p99", observed(waiter)),
        ] {
            let (mut times, mut sleeps) = (Vec::new(), Vec::new());
            for _ in 0..waits {
                times.push(overshoot(&lock)?);
                let start = sys::now();
                thread::sleep(TIMEOUT);
                sleeps.push(nanoseconds(sys::now() - start) - TIMEOUT.as_secs_f64() * 1e9);
            }
            // The overshoot of a sleep is that of the machine's timers and scheduler.
            let more = quantile(&times, 0.99) - quantile(&sleeps, 0.99);
            row(required, what, more.max(0.0), Duration::from_millis(2));
        }
        let look_ups = args.pick(5, 1);
        // A process with many shared holds of one file. The kernel searches all of them for each descriptor in /proc/PID/fdinfo.
        let shared = dir.join("shared.lock");
        let holds = args.pick(5_000, 10);
        let mut reader = None;
        let free = dir.join("free.lock");
        File::create(&free)?;
        for (what, path, held, most) in [
            ("a look-up of a held lock, median", &path, 1, 300),
            ("a look-up of a free lock, median", &free, 0, 600),
            ("a look-up of 5,000 shared holds of one process, median", &shared, holds, 1_000),
        ] {
            if held == holds {
                reader = Some(Crowd::of(holds, holds, 1, &shared)?);
            }
            let mut times = Vec::new();
            for _ in 0..look_ups {
                let start = sys::now();
                let status = lock_file(path).status()?;
                times.push(nanoseconds(sys::now() - start));
                sane(status.holders.len() == held, || {
                    format!("{what}: {} holds", status.holders.len())
                })?;
            }
            row(required, what, median(&times), Duration::from_millis(most));
        }
        drop(reader);
        Ok(())
    }

    fn row(required: &mut Required, what: &str, figure: f64, most: Duration) {
        let most = most.as_secs_f64() * 1e9;
        let figures = (time(most), time(figure));
        required.row(what, figures, figure, &Bound::AtMost(most), time);
    }

    /// Returns the nanoseconds between the timeout and the return.
    fn overshoot(lock: &Lock) -> Result<f64> {
        let start = sys::now();
        let result = lock.lock();
        let took = sys::now() - start;
        match result {
            Err(error) if error.is_contended() => {
                Ok(nanoseconds(took) - TIMEOUT.as_secs_f64() * 1e9)
            }
            other => Err(format!("not a timeout: {other:?}").into()),
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn nanoseconds(count: u64) -> f64 {
        count as f64
    }

    /// Processes with many descriptors and locks, as many processes as the limit of descriptors requires. Each ends when its input does.
    struct Crowd(Vec<Child>);

    impl Crowd {
        fn gather(descriptors: usize, locks: usize, dir: &Path) -> Result<Self> {
            let most = usize::try_from(sys::descriptor_limit()?)?.saturating_sub(100).max(100);
            let mut crowd = Self(Vec::new());
            let (mut descriptors, mut locks) = (descriptors, locks);
            while descriptors > 0 {
                let count = descriptors.min(most);
                let path = dir.join(format!("crowd.{}", crowd.0.len()));
                crowd.0.extend(std::mem::take(
                    &mut Self::of(count, locks.min(count), FILES, &path)?.0,
                ));
                descriptors -= count;
                locks -= locks.min(count);
            }
            Ok(crowd)
        }

        fn of(descriptors: usize, locks: usize, files: usize, path: &Path) -> Result<Self> {
            let task = format!("{descriptors} {locks} {files} {}", path.display());
            let mut child = Command::new(env::current_exe()?)
                .env(CROWD, task)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()?;
            let mut ready = [0];
            let answered = child.stdout.as_mut().map(|output| output.read_exact(&mut ready));
            let crowd = Self(vec![child]);
            answered
                .ok_or("the output is not piped")?
                .map_err(|_| "a process of the crowd failed")?;
            Ok(crowd)
        }
    }

    impl Drop for Crowd {
        fn drop(&mut self) {
            for child in &mut self.0 {
                drop(child.stdin.take());
                let _ = child.wait();
            }
        }
    }

    /// Locks many descriptors of a few hundred files: for each lock the kernel searches its list of the locks of that file.
    fn hold_locks(task: &str) -> Result {
        sys::raise_descriptor_limit()?;
        let mut words = task.splitn(4, ' ');
        let mut number = || words.next().unwrap_or_default().parse::<usize>();
        let (descriptors, locks, files) = (number()?, number()?, number()?);
        let path = words.next().unwrap_or_default();
        let name =
            |at: usize| if files == 1 { path.into() } else { format!("{path}.{}", at % files) };
        let mut open = Vec::new();
        for at in 0..descriptors {
            let file = File::options().append(true).create(true).open(name(at))?;
            if at < locks {
                match descriptors {
                    1 => fs4::FileExt::lock(&file)?,
                    _ => fs4::FileExt::lock_shared(&file)?,
                }
            }
            open.push(file);
        }
        std::io::stdout().write_all(b"!")?;
        std::io::stdout().flush()?;
        std::io::stdin().read_to_end(&mut Vec::new())?;
        Ok(())
    }
}
