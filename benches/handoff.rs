//! The hand-off: the time from a release by one process to the grant to a waiting process, on one clock.
//!
//! Also the cost of a wait, and the overshoot of a timeout.

#[cfg(target_os = "linux")]
#[allow(dead_code, reason = "each benchmark uses a part of it")]
mod bench;
#[cfg(target_os = "linux")]
#[path = "handoff/expiry.rs"]
mod expiry;
#[cfg(target_os = "linux")]
#[path = "handoff/idle.rs"]
mod idle;
#[cfg(target_os = "linux")]
#[path = "handoff/latency.rs"]
mod latency;
#[cfg(target_os = "linux")]
#[path = "handoff/pair.rs"]
mod pair;

#[cfg(target_os = "linux")]
fn main() -> bench::Result {
    use bench::args::Args;
    use bench::python::Python;
    use bench::required::Required;
    use bench::table::Report;
    use bench::{machine, plot};

    if bench::worker::serve()? {
        return Ok(());
    }
    let Some(args) = Args::parse("handoff") else { return Ok(()) };
    let python = Python::find();
    let dir = tempfile::tempdir()?;
    let title = "Hand-off between processes";
    let mut report = Report::new(title, &machine::describe(dir.path(), &python));
    let mut required = Required::new(args.quick);

    let bench = Bench { args: &args, python: &python, dir: dir.path() };
    let latencies = latency::measure(bench, &mut report, &mut required)?;
    idle::measure(bench, &mut report, &mut required)?;
    expiry::measure(bench, &mut report, &mut required)?;
    report.add(required.table());
    if args.plot {
        plot::save("handoff", &report, |area| latency::draw(&latencies, area))?;
    }
    required.judge()
}

/// The context of all parts of this benchmark.
#[cfg(target_os = "linux")]
#[derive(Clone, Copy)]
struct Bench<'a> {
    args: &'a bench::args::Args,
    python: &'a bench::python::Python,
    dir: &'a std::path::Path,
}

#[cfg(target_os = "linux")]
impl Bench<'_> {
    fn start(&self, way: bench::ways::Way) -> bench::Result<bench::processes::Worker> {
        bench::processes::Worker::start(way, &self.lock_file_of(way), self.python)
    }

    fn lock_file_of(&self, way: bench::ways::Way) -> std::path::PathBuf {
        bench::processes::lock_file_of(way, self.dir)
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!(
        "This benchmark reads in Linux's /proc whether a waiter sleeps: it runs on Linux only."
    );
}
