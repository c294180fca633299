//! Many concurrent `locket run` processes under signals.
//!
//! - L1: only one command runs under an exclusive lock. The evidence needs no clock: a link that only one process can
//!   create, and a counter that each command increments by a read and a write.
//! - L7, L15: after a signal to locket or to its process group, the next command is still alone under the lock.
//! - The exit status tells what happened: 0 the command ran, 75 the lock was held, otherwise the signal that ended it.
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

/// Runs in the directory `$1`. Creating a symbolic link is atomic, and its target is the process id of its creator.
const EXCLUSIVE: &str = r#"
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

/// The time limit for one run. A run may wait for a minute behind others on a busy machine.
const LONGEST_RUN: Duration = Duration::from_secs(120);

/// The time limit for all runs together. It fails a test that does not get what it waits for.
const LONGEST: Duration = Duration::from_secs(600);

/// Runs in the directory `$1` under a shared lock.
const SHARED: &str = r#"
cd "$1" || exit 98
[ -L witness ] && echo "found $(readlink witness)"
exit 0
"#;

/// The results of the runs.
#[derive(Debug, Default)]
struct Runs {
    /// The process id that read each value of the counter.
    counted: BTreeMap<u64, u32>,
    contended: usize,
    readers: usize,
    signalled: usize,
    /// The process ids that a signal may have hit. Such a process may leave its link behind.
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
    /// Whether the signal goes to locket only, not to its process group.
    locket_only: bool,
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
    let &(options, shared, may_contend) = WAYS.choose(random).expect("the list is not empty");
    let signal = signals.choose(random).copied().filter(|_| random.random_ratio(1, 3));
    let after = Duration::from_micros(random.random_range(0..40_000));
    let locket_only = random.random();
    Plan { options, shared, may_contend, signal, locket_only, after }
}

fn run(directory: &Path, plan: Plan, runs: &Mutex<Runs>) -> io::Result<()> {
    let script = if plan.shared { SHARED } else { EXCLUSIVE };
    let mut command = Command::new(LOCKET);
    command.arg("run").args(plan.options).arg("--quiet").arg(directory.join("lock"));
    command.args(["--", "sh", "-c", script, "sh"]).arg(directory);
    let mut child = command.process_group(0).stdout(Stdio::piped()).spawn()?;
    if let Some(signal) = plan.signal {
        thread::sleep(plan.after);
        // The group of locket and its command. The child is not reaped, so the id is still valid.
        let group = Pid::from_raw(child.id().try_into().expect("process ids are small"));
        runs.lock().expect("no thread panicked").victims.insert(child.id());
        // The processes may have ended already.
        let _ = if plan.locket_only { kill(group, signal) } else { killpg(group, signal) };
    }
    let mut output = child.stdout.take().expect("stdout is piped");
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        assert!(start.elapsed() < LONGEST_RUN, "the run should have ended: {plan:?}");
        thread::sleep(Duration::from_millis(1));
    };
    let mut text = String::new();
    output.read_to_string(&mut text)?;

    let mut runs = runs.lock().expect("no thread panicked");
    let mut command_pid = child.id();
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        match *line.split(' ').collect::<Vec<_>>() {
            // With `-o` the command is another process than locket.
            ["in", pid] => {
                command_pid = pid.parse().expect("the script prints its process id");
                if plan.signal.is_some() {
                    runs.victims.insert(command_pid);
                }
            }
            ["counted", value] => {
                let value = value.parse().expect("the script prints a number");
                if let Some(other) = runs.counted.insert(value, command_pid) {
                    let problem = format!("{command_pid} and {other} both counted from {value}");
                    runs.problems.push(problem);
                }
            }
            ["found", creator] => runs.found.push((command_pid, creator.into())),
            _ => runs.problems.push(format!("{command_pid}: {line}")),
        }
    }
    match (status.code(), status.signal(), plan.signal) {
        (Some(0), ..) if plan.shared => runs.readers += 1,
        (Some(0), ..) => {}
        (Some(75), ..) if plan.may_contend => runs.contended += 1,
        (None, Some(by), Some(signal)) if by == signal as i32 => runs.signalled += 1,
        _ => runs.problems.push(format!("{command_pid}: {plan:?} ended with {status}: {text:?}")),
    }
    Ok(())
}

/// Runs four processes at a time until `enough` returns true.
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
                    assert!(start.elapsed() < LONGEST, "too few runs after {LONGEST:?}: {runs:?}");
                    let plan = plan(&mut random, signals);
                    run(scratch.path(), plan, runs).expect("locket should run");
                }
            });
        }
    });
    let mut runs = runs.into_inner().expect("no thread panicked");
    // A link may be found before its creator is recorded as a victim. So this is checked after all runs.
    for (finder, creator) in &runs.found {
        if !creator.parse().is_ok_and(|creator| runs.victims.contains(&creator)) {
            runs.problems.push(format!("{finder} found the link of {creator} under the lock"));
        }
    }
    let count = fs::read_to_string(scratch.join("count")).expect("a command has counted");
    let (last, _) = runs.counted.last_key_value().expect("a command has counted");
    let count: u64 = count.trim_end().parse().expect("the count is a number");
    // The last command that counted may have been killed before it printed the value.
    if count < last + 1 || (runs.victims.is_empty() && count != last + 1) {
        runs.problems.push(format!("the last value read is {last}, but the count is {count}"));
    }
    runs
}

fn assert_clean(seed: u64, runs: &Runs) {
    let Runs { counted, contended, readers, signalled, victims, found, problems } = runs;
    let text = format!(
        "locket run: seed {seed}; {} exclusive, {readers} shared, {contended} contended, \
         {signalled} of {} signalled ended by it, {} links left behind\n",
        counted.len(),
        victims.len(),
        found.len(),
    );
    // Written to the descriptor: the test harness captures the output of `eprintln!`.
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
    // The signals whose default action ends a process, without those that report an error of the process (SIGSEGV, ...).
    // A signal that locket passes on ends the command and then locket. KILL of locket only ends locket, and the command
    // continues.
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

/// The check above can fail: without a lock the evidence shows concurrent commands.
#[test]
fn without_a_lock_it_shows() {
    let scratch = Scratch::new();
    let directory = scratch.path();
    let start = Instant::now();
    loop {
        let outputs: Vec<String> = thread::scope(|scope| {
            let run = || {
                let mut command = Command::new("sh");
                let output = command.args(["-c", EXCLUSIVE, "sh"]).arg(directory).output();
                String::from_utf8_lossy(&output.expect("sh should run").stdout).into_owned()
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
        assert!(start.elapsed() < LONGEST, "no concurrency was seen: {outputs:?}");
    }
}
