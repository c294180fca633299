//! The ways to start a command under a lock, in turns.

use std::env;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::bench::args::Args;
use super::bench::required::{Bound, Required};
use super::bench::stats::median;
use super::bench::table::{Report, Table, ratio, time};
use super::bench::{Result, sane, sys};
use super::stamp;

/// The bound of the time until the command runs, as a ratio to flock(1). docs/run.md lists its parts. The aim is 1.1; of ten
/// runs on a busy machine one was at 1.11.
const UNTIL_COMMAND: Bound = Bound::AtMost(1.15);

/// The bound of the time until all processes have ended, the canary included.
const WHOLE: Bound = Bound::AtMost(1.5);

/// With `-F` locket becomes the command, so there is no fork, which flock(1) has.
const WITHOUT_FORK: Bound = Bound::AtMost(1.0);

struct Way {
    name: &'static str,
    command: Vec<PathBuf>,
    until_command: Vec<f64>,
    whole: Vec<f64>,
}

pub(crate) fn measure(
    args: &Args,
    dir: &Path,
    report: &mut Report,
    required: &mut Required,
) -> Result {
    let (stamp, lock) = (dir.join("stamp"), dir.join("lock"));
    if !stamp::make(&stamp)? {
        required.missing("all of it", "the command is written for x86-64 only");
        return Ok(());
    }
    if !Command::new("flock").arg("--version").output().is_ok_and(|it| it.status.success()) {
        required.missing("all of it", "flock(1) of util-linux: not installed");
        return Ok(());
    }
    let locket = released_locket()?;
    let way = |name, begin: &[&Path]| {
        let mut command: Vec<PathBuf> = begin.iter().map(PathBuf::from).collect();
        command.extend([lock.clone(), stamp.clone()]);
        Way { name, command, until_command: Vec::new(), whole: Vec::new() }
    };
    let [run, without_lock, no_fork] = ["run", "-o", "-F"].map(Path::new);
    let mut ways = [
        way("flock(1)", &["flock".as_ref()]),
        way("locket run", &[&locket, run]),
        way("locket run -o", &[&locket, run, without_lock]),
        way("locket run -F", &[&locket, run, no_fork]),
    ];
    let output = dir.join("output");
    for way in &mut ways {
        start(way, &output)?; // The first start of each reads the program from the disk.
        (way.until_command, way.whole) = (Vec::new(), Vec::new());
    }
    for _ in 0..args.pick(400, 3) {
        for way in &mut ways {
            start(way, &output)?;
        }
    }

    let mut table =
        Table::new("Medians, all ways in turns", &["", "until the command runs", "the whole"]);
    for way in &ways {
        let [begun, over] = [&way.until_command, &way.whole].map(|it| time(median(it)));
        table.row([way.name.into(), begun, over]);
    }
    report.add(&table);
    let [flock, ways @ ..] = &ways;
    for (way, bound) in ways.iter().zip([UNTIL_COMMAND, UNTIL_COMMAND, WITHOUT_FORK]) {
        let what = format!("{}, until the command runs", way.name);
        judge(&what, [&flock.until_command, &way.until_command], &bound, required);
        let what = format!("{}, the whole", way.name);
        judge(&what, [&flock.whole, &way.whole], &WHOLE, required);
    }
    Ok(())
}

/// Adds a row with the median of the ratios to flock(1) in the same turn: a busy machine slows both down.
fn judge(what: &str, [flock, locket]: [&Vec<f64>; 2], bound: &Bound, required: &mut Required) {
    let ratios: Vec<f64> = flock.iter().zip(locket).map(|(flock, locket)| locket / flock).collect();
    let figures = (time(median(flock)), time(median(locket)));
    required.row(what, figures, median(&ratios), bound, ratio);
}

fn start(way: &mut Way, output: &Path) -> Result {
    let file = OpenOptions::new().create(true).write(true).truncate(true).open(output)?;
    let mut command = Command::new(&way.command[0]);
    command.args(&way.command[1..]).stdout(file);
    let start = sys::now();
    let status = command.status()?;
    let end = sys::now();
    if !status.success() {
        return Err(format!("{}: {status}", way.name).into());
    }
    let begun = stamp::read(&fs::read(output)?)?;
    sane(start < begun && begun < end, || format!("{start}, {begun}, {end}"))?;
    #[allow(clippy::cast_precision_loss, reason = "the times are short")]
    let since = |time: u64| (time - start) as f64;
    way.until_command.push(since(begun));
    way.whole.push(since(end));
    Ok(())
}

/// Builds the command with the release profile, not with that of benchmarks, and returns its path.
fn released_locket() -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--release", "--quiet", "--package", "filelocket", "--bin", "locket"]);
    build.args(["--features", "cli", "--message-format", "json"]);
    let output = build.current_dir(env!("CARGO_MANIFEST_DIR")).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let messages = String::from_utf8(output.stdout)?;
    let named = messages.split("\"executable\":\"").skip(1).filter_map(|it| it.split('"').next());
    Ok(named.last().ok_or("cargo names no program")?.into())
}
