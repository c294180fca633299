//! The cost of an acquire and release of a free lock, compared with the bare system calls and other libraries.
//!
//! Criterion measures each way by itself. The ratios are from the tables after it, where all ways take
//! short turns, so that the noise of the machine affects all of them.

#[cfg(unix)]
#[allow(dead_code, reason = "each benchmark uses a part of it")]
mod bench;
#[cfg(unix)]
#[path = "uncontended/interleaved.rs"]
mod interleaved;
#[cfg(unix)]
#[path = "uncontended/peers.rs"]
mod peers;

#[cfg(unix)]
fn main() -> bench::Result {
    use bench::args::Args;
    use bench::python::Python;
    use bench::required::Required;
    use bench::table::Report;
    use std::time::Duration;

    if bench::worker::serve()? {
        return Ok(());
    }
    let mut criterion = criterion::Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .nresamples(10_000)
        .configure_from_args();
    let dir = tempfile::tempdir()?;
    let mut group = criterion.benchmark_group("uncontended");
    for peer in peers::all(dir.path())? {
        let (name, mut turn) = (peer.name, peer.turn.map_err(String::from)?);
        group.bench_function(name, |bencher| bencher.iter(&mut turn));
    }
    group.finish();
    criterion.final_summary();

    let Some(args) = Args::beside_criterion() else { return Ok(()) };
    let python = Python::find();
    let mut report = Report::new(
        "One acquire and release of a free lock",
        "Medians and p99 of the averages of short batches, all ways in turns.",
    );
    let mut required = Required::new(args.quick);
    for place in interleaved::places()? {
        interleaved::measure(&place, &args, &python, &mut report, &mut required)?;
    }
    report.add(required.table());
    required.judge()
}

#[cfg(not(unix))]
fn main() {
    println!("This benchmark compares ways to use flock(2): it runs on Unix only.");
}
