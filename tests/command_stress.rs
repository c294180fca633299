//! Many `locket run` at a time, under signals.
//!
//! - L1: a command under the lock runs alone. The evidence needs no clock: a witness that only one command can create,
//!   and a count that is read and written as one more.
//! - L7, L15: after any signal, to locket alone or to the whole group, the next command runs alone too.
//! - The exit status says what happened: 0 the command ran, 75 it did not, otherwise the signal that ended it.
#![cfg(unix)]
#![allow(clippy::panic, reason = "that is how a test fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::support::Scratch;

const LOCKET: &str = env!("CARGO_BIN_EXE_locket-command");

/// Runs in the directory `$1`. Creating the link is atomic. Its target is the process id of its maker.
const ALONE: &str = r#"
cd "$1" || exit 98
echo "in $$"
until ln -sn $$ witness 2>/dev/null; do
    echo "found $(readlink witness)"
    rm -f witness
done
count=0
[ -e count ] && read -r count <count
echo $((count + 1)) >count.$$
mv count.$$ count
echo "counted $count"
[ "$(readlink witness)" = $$ ] || echo "lost"
rm -f witness
exit 0
"#;

/// Upper bound of a run: some may wait for a minute behind others.
const LONGEST_RUN: Duration = Duration::from_secs(120);

/// Upper bound of a test. Each run has its own bound.
const LONGEST: Duration = Duration::from_secs(600);

const BESIDE_OTHERS: &str = r#"
cd "$1" || exit 98
[ -L witness ] && echo "found $(readlink witness)"
exit 0
"#;

/// The results of the runs.
#[derive(Debug, Default)]
struct Runs {
    /// The process that read each count.
    counted: BTreeMap<u64, u32>,
    contended: usize,
    readers: usize,
    signalled: usize,
    /// The process ids that a signal may have ended. They may leave a witness behind.
    victims: BTreeSet<u32>,
    found: Vec<(u32, String)>,
    problems: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
struct Plan {
    options: &'static [&'static str],
    shared: bool,
    may_contend: bool,
    signal: Option<Signal>,
    /// Send the signal to locket alone, not to its group.
    alone: bool,
    after: Duration,
}

fn plan(random: &mut SmallRng, signals: &[Signal]) -> Plan {
    const WAYS: [(&[&str], bool, bool); 9] = [
        (&[], false, false),
        (&["-F"], false, false),
        (&["-o"], false, false),
        (&["-w", "60"], false, false),
        (&["-o", "-w", "60"], false, false),
        (&["-n"], false, true),
        (&["-w", "0.05"], false, true),
        (&["-o", "-w", "5ms"], false, true),
        (&["-s", "-w", "60"], true, false),
    ];
    let &(options, shared, may_contend) = WAYS.choose(random).expect("there are some");
    let signal = signals.choose(random).copied().filter(|_| random.random_ratio(1, 3));
    let after = Duration::from_micros(random.random_range(0..40_000));
    let alone = random.random();
    Plan { options, shared, may_contend, signal, alone, after }
}

fn run(directory: &Path, plan: Plan, runs: &Mutex<Runs>) -> io::Result<()> {
    let script = if plan.shared { BESIDE_OTHERS } else { ALONE };
    let mut command = Command::new(LOCKET);
    command.arg("run").args(plan.options).arg("--quiet").arg(directory.join("lock"));
    command.args(["--", "sh", "-c", script, "sh"]).arg(directory);
    let mut child = command.process_group(0).stdout(Stdio::piped()).spawn()?;
    if let Some(signal) = plan.signal {
        thread::sleep(plan.after);
        // Locket and its command are in this group. The child is not reaped yet, so no other process has its id.
        let group = Pid::from_raw(child.id().try_into().expect("a process id fits into i32"));
        runs.lock().expect("no thread panicked").victims.insert(child.id());
        // The process may have ended by now.
        let _ = if plan.alone { kill(group, signal) } else { killpg(group, signal) };
    }
    let mut output = child.stdout.take().expect("it is piped");
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        assert!(start.elapsed() < LONGEST_RUN, "it should have ended: {plan:?}");
        thread::sleep(Duration::from_millis(1));
    };
    let mut text = String::new();
    output.read_to_string(&mut text)?;

    let mut runs = runs.lock().expect("no thread panicked");
    let mut me = child.id();
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        match *line.split(' ').collect::<Vec<_>>() {
            // With `-o` the command is another process.
            ["in", pid] => {
                me = pid.parse().expect("it is a process id");
                if plan.signal.is_some() {
                    runs.victims.insert(me);
                }
            }
            ["counted", value] => {
                let value = value.parse().expect("it is a number");
                if let Some(other) = runs.counted.insert(value, me) {
                    runs.problems.push(format!("{me} and {other} both counted from {value}"));
                }
            }
            ["found", name] => runs.found.push((me, name.into())),
            _ => runs.problems.push(format!("{me}: {line}")),
        }
    }
    match (status.code(), status.signal(), plan.signal) {
        (Some(0), ..) if plan.shared => runs.readers += 1,
        (Some(0), ..) => {}
        (Some(75), ..) if plan.may_contend => runs.contended += 1,
        (None, Some(by), Some(signal)) if by == signal as i32 => runs.signalled += 1,
        _ => runs.problems.push(format!("{me}: {plan:?} ended with {status}: {text:?}")),
    }
    Ok(())
}

/// Runs four at a time until `enough`.
fn crowd(seed: u64, signals: &[Signal], enough: impl Fn(&Runs) -> bool + Sync) -> Runs {
    let scratch = Scratch::new();
    let runs = Mutex::new(Runs::default());
    let start = Instant::now();
    thread::scope(|scope| {
        for thread in 0..4 {
            let (scratch, runs, enough) = (&scratch, &runs, &enough);
            scope.spawn(move || {
                let mut random = SmallRng::seed_from_u64(seed ^ thread);
                while !enough(&runs.lock().expect("no thread panicked")) {
                    assert!(start.elapsed() < LONGEST, "not enough yet: {runs:?}");
                    run(scratch.path(), plan(&mut random, signals), runs).expect("it should run");
                }
            });
        }
    });
    let mut runs = runs.into_inner().expect("no thread panicked");
    // A witness can be found before its maker is recorded as a victim, so the check comes at the end.
    for (me, name) in &runs.found {
        if !name.parse().is_ok_and(|pid| runs.victims.contains(&pid)) {
            runs.problems.push(format!("{me} found {name} under the lock"));
        }
    }
    let count = fs::read_to_string(scratch.join("count")).expect("there is a count");
    let (last, _) = runs.counted.last_key_value().expect("there is a count");
    let count: u64 = count.trim_end().parse().expect("it is a number");
    // The last process to count may have been killed before it reported so.
    if count < last + 1 || (runs.victims.is_empty() && count != last + 1) {
        runs.problems.push(format!("{last} was counted from, and the count is {count}"));
    }
    runs
}

fn assert_clean(seed: u64, runs: &Runs) {
    let Runs { counted, contended, readers, signalled, victims, found, problems } = runs;
    let text = format!(
        "the command: seed {seed}; {} ran alone, {readers} read, {contended} contended, \
         {signalled} of {} signalled ended by it, {} witnesses left\n",
        counted.len(),
        victims.len(),
        found.len(),
    );
    // To standard error directly, because the test harness captures `eprintln!`.
    let _ = io::stderr().write_all(text.as_bytes());
    assert!(problems.is_empty(), "seed {seed}: {problems:#?}");
}

fn seed() -> u64 {
    let seed = std::env::var("LOCKET_STRESS_SEED").map(|it| it.parse().expect("a number"));
    seed.unwrap_or_else(|_| rand::rng().random_range(0..1 << 48))
}

#[test]
fn l1_commands_are_alone_under_the_lock() {
    let seed = seed();
    let runs = crowd(seed, &[], |runs| {
        runs.counted.len() >= 150 && runs.contended >= 5 && runs.readers >= 5
    });
    assert_clean(seed, &runs);
    assert!(runs.found.is_empty(), "{runs:?}");
}

#[test]
fn l7_killed_commands_leave_the_lock() {
    let seed = seed();
    // Signals whose default action ends the process, except those that report its own errors (SIGSEGV and others).
    // Locket passes a signal on; it ends the command, and then locket. SIGKILL of locket alone ends locket, and the
    // command goes on.
    let signals = [
        Signal::SIGKILL,
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGALRM,
        Signal::SIGVTALRM,
        Signal::SIGPROF,
        Signal::SIGXCPU,
        Signal::SIGXFSZ,
        #[cfg(target_os = "linux")]
        Signal::SIGPWR,
        #[cfg(target_os = "linux")]
        Signal::SIGSTKFLT,
        Signal::SIGIO,
    ];
    let runs = crowd(seed, &signals, |runs| runs.counted.len() >= 100 && runs.signalled >= 40);
    assert_clean(seed, &runs);
}

/// The evidence shows a violation if the commands run without a lock.
#[test]
fn evidence_shows_commands_without_a_lock() {
    let scratch = Scratch::new();
    let directory = scratch.path();
    let start = Instant::now();
    loop {
        let outputs: Vec<String> = thread::scope(|scope| {
            let run = || {
                let mut command = Command::new("sh");
                let output = command.args(["-c", ALONE, "sh"]).arg(directory).output();
                String::from_utf8_lossy(&output.expect("it should run").stdout).into_owned()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
            threads.into_iter().map(|it| it.join().expect("no panic")).collect()
        });
        let counted =
            |output: &String| output.lines().find(|it| it.starts_with("counted")).map(String::from);
        let values: Vec<String> = outputs.iter().filter_map(counted).collect();
        let different: BTreeSet<&String> = values.iter().collect();
        let found = outputs.iter().any(|output| output.contains("found"));
        if found && different.len() < values.len() {
            break;
        }
        assert!(start.elapsed() < LONGEST, "nothing shows: {outputs:?}");
    }
}
