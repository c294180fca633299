//! The start of a command under a lock: the time until it runs, and until the whole has ended. `locket run` beside flock(1).

#[cfg(target_os = "linux")]
#[allow(dead_code, reason = "each benchmark uses a part of it")]
mod bench;
#[cfg(target_os = "linux")]
#[path = "startup/launch.rs"]
mod launch;
#[cfg(target_os = "linux")]
#[path = "startup/stamp.rs"]
mod stamp;

#[cfg(target_os = "linux")]
fn main() -> bench::Result {
    use bench::args::Args;
    use bench::required::Required;
    use bench::table::Report;

    let Some(args) = Args::parse("startup") else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let title = "Starting a command under a free lock";
    let mut report = Report::new(title, "locket as it is released, and flock(1) of util-linux.");
    let mut required = Required::new(args.quick);
    launch::measure(&args, dir.path(), &mut report, &mut required)?;
    report.add(required.table());
    required.judge()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("This benchmark compares with flock(1) of util-linux: it runs on Linux only.");
}
