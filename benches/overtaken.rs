//! The wait of a process while other processes re-acquire the lock in a loop.
//!
//! The figures are printed and not judged: they depend on the machine's scheduler.

#[cfg(unix)]
#[allow(dead_code, reason = "each benchmark uses a part of it")]
mod bench;

#[cfg(unix)]
fn main() -> bench::Result {
    waits::main()
}

#[cfg(not(unix))]
fn main() {
    println!("A process yields to waiters on Unix only.");
}

#[cfg(unix)]
mod waits {
    use std::path::Path;
    use std::process::{Child, Command};
    use std::time::{Duration, Instant};
    use std::{env, hint, thread};

    use locket::Lock;
    use rand::RngExt;

    use super::bench::args::Args;
    use super::bench::stats::{median, quantile};
    use super::bench::table::{Report, Table, time};
    use super::bench::{Result, sys};

    /// The first arguments of this program as one of its child processes.
    const LOOPS: &str = "loop";
    const BUSY: &str = "busy";

    /// After this time without a waiter the bursts of a process have grown to the longest one, so it yields most
    /// rarely (src/fairness.rs).
    const ALONE: Duration = Duration::from_millis(200);

    /// The timeout of a writer.
    const TIMEOUT: Duration = Duration::from_secs(5);

    pub(super) fn main() -> Result {
        let arguments: Vec<String> = env::args().skip(1).collect();
        match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            [LOOPS, path, hold, mode] => lock_in_a_loop(Path::new(path), hold.parse()?, mode)?,
            [BUSY] => loop {
                hint::spin_loop();
            },
            _ => {}
        }
        let Some(args) = Args::parse("overtaken") else { return Ok(()) };
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("lock");
        let mut report = Report::new(
            "The wait beside processes that re-lock in a loop",
            "The time from the call of a waiter to its grant. Nothing is judged.",
        );
        report.add(&after_a_loop(&path, args.pick(200, 3))?);
        report.add(&writers_beside_readers(&path, &args)?);
        Ok(())
    }

    /// Measures a waiter beside one process that acquires the lock in a loop.
    fn after_a_loop(path: &Path, trials: usize) -> Result<Table> {
        let title = format!("One process re-locks immediately, a waiter arrives: {trials} waits");
        let mut table = Table::new(title, &["hold", "busy loops", "median", "p99", "worst"]);
        for hold in [Duration::from_micros(10), Duration::from_millis(1)] {
            for busy in [0, 2] {
                let _loop = ChildProcess::looping(path, hold, "exclusive")?;
                let _busy =
                    (0..busy).map(|_| ChildProcess::start(&[BUSY])).collect::<Result<Vec<_>>>()?;
                let waits = waits(&locket::lock_file(path), trials)?;
                let figures = [median(&waits), quantile(&waits, 0.99), quantile(&waits, 1.0)];
                let [median, p99, worst] = figures.map(time);
                table.row([format!("{hold:?}"), busy.to_string(), median, p99, worst]);
            }
        }
        Ok(table)
    }

    #[allow(clippy::cast_precision_loss)]
    fn waits(lock: &Lock, trials: usize) -> Result<Vec<f64>> {
        let one = |_| {
            let alone = ALONE.mul_f64(rand::rng().random_range(1.0..1.5));
            thread::sleep(alone);
            let asked = Instant::now();
            let guard = lock.lock()?;
            let waited = asked.elapsed();
            guard.release()?;
            Ok(waited.as_nanos() as f64)
        };
        (0..trials).map(one).collect()
    }

    /// Measures a writer with a deadline beside readers whose holds overlap.
    fn writers_beside_readers(path: &Path, args: &Args) -> Result<Table> {
        let title = "Processes re-lock as shared, holds of 1 ms; a writer waits, with a timeout";
        let header = ["readers", "timeout", "writers", "granted", "median", "p99", "worst"];
        let mut table = Table::new(title, &header);
        for (readers, trials) in [(2, 200), (8, 10)] {
            let (trials, timeout) = args.pick((trials, TIMEOUT), (1, ALONE));
            let (granted, waits) = writers(path, readers, trials, timeout)?;
            let figures = [median(&waits), quantile(&waits, 0.99), quantile(&waits, 1.0)];
            let [median, p99, worst] = figures.map(time);
            let [readers, trials, granted] = [readers, trials, granted].map(|it| it.to_string());
            table.row([readers, format!("{timeout:?}"), trials, granted, median, p99, worst]);
        }
        Ok(table)
    }

    /// Returns the number of writers that got the lock, and the wait of each.
    #[allow(clippy::cast_precision_loss)]
    fn writers(
        path: &Path,
        readers: usize,
        trials: usize,
        timeout: Duration,
    ) -> Result<(usize, Vec<f64>)> {
        let reader = |_| ChildProcess::looping(path, Duration::from_millis(1), "shared");
        let _readers = (0..readers).map(reader).collect::<Result<Vec<_>>>()?;
        let writer = locket::lock_file(path).timeout(timeout);
        let (mut granted, mut waits) = (0, Vec::new());
        for _ in 0..trials {
            thread::sleep(ALONE);
            let asked = Instant::now();
            let answer = writer.lock();
            waits.push(asked.elapsed().as_nanos() as f64);
            match answer {
                Ok(_guard) => granted += 1,
                Err(error) if error.is_contended() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok((granted, waits))
    }

    /// Acquires and releases the lock until this process is killed.
    fn lock_in_a_loop(path: &Path, hold: u64, mode: &str) -> Result {
        let lock = locket::lock_file(path);
        let lock = if mode == "shared" { lock.shared() } else { lock };
        loop {
            let guard = lock.lock()?;
            sys::spin_until(sys::now() + hold);
            guard.release()?;
        }
    }

    /// A child process. It is killed when this is dropped.
    struct ChildProcess(Child);

    impl ChildProcess {
        fn start(arguments: &[&str]) -> Result<Self> {
            Ok(Self(Command::new(env::current_exe()?).args(arguments).spawn()?))
        }

        fn looping(path: &Path, hold: Duration, mode: &str) -> Result<Self> {
            let path = path.to_str().ok_or("the path is not UTF-8")?;
            Self::start(&[LOOPS, path, &hold.as_nanos().to_string(), mode])
        }
    }

    impl Drop for ChildProcess {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}
