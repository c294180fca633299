//! Contention: many processes or threads use one lock. The number of turns, their distribution, and the cost of a turn.

#[cfg(unix)]
#[allow(dead_code, reason = "each benchmark uses a part of it")]
mod bench;
#[cfg(unix)]
#[path = "contention/crowd.rs"]
mod crowd;
#[cfg(unix)]
#[path = "contention/processes.rs"]
mod processes;
#[cfg(unix)]
#[path = "contention/results.rs"]
mod results;
#[cfg(unix)]
#[path = "contention/threads.rs"]
mod threads;

#[cfg(unix)]
fn main() -> bench::Result {
    use bench::args::Args;
    use bench::python::Python;
    use bench::required::Required;
    use bench::table::Report;
    use bench::{machine, plot};

    if bench::worker::serve()? {
        return Ok(());
    }
    let Some(args) = Args::parse("contention") else { return Ok(()) };
    let python = Python::find();
    let dir = tempfile::tempdir()?;
    let title = "Contention";
    let mut report = Report::new(title, &machine::describe(dir.path(), &python));
    let mut required = Required::new(args.quick);

    let mut crowds = crowd::Crowds::new(dir.path(), &python);
    let shares = processes::measure(&mut crowds, &args, &mut report, &mut required)?;
    threads::measure(&mut crowds, &args, &mut report, &mut required)?;
    report.add(required.table());
    if args.plot {
        plot::save("contention", &report, |area| shares.draw(area))?;
    }
    required.judge()
}

#[cfg(not(unix))]
fn main() {
    println!("This benchmark compares ways to use flock(2): it runs on Unix only.");
}
