//! Many concurrent `locket run` processes under every signal. The model judges their history.
//!
//! - L1, L2, L3, L7, L15: each run is a call of a history. The command prints when it begins and when it ends. A run
//!   that is killed is a killed process, and exit status 75 (the lock is held) is a failed try. The judge of
//!   `locket-model` must find no violation.
//! - The signals: every catchable standard signal, KILL, STOP, and the first and the last real-time signal. The targets:
//!   locket only (at any moment, and while the command runs), its process group, and the command only.
//! - The harness itself: the judge finds the violations of a faulty stand-in for locket.
#![allow(clippy::panic, reason = "that is how a test fails")]

mod one_run;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use locket_model::timeline::{draw, explain};
use locket_model::{History, Verdict, judge};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::one_run::{Plan, Sent, Target, WAYS, run};
use crate::support::Scratch;

const LOCKET: &str = env!("CARGO_BIN_EXE_locket-command");

/// The time limit for all runs of one test.
const LONGEST: Duration = Duration::from_secs(300);

/// How many processes run at the same time.
const WIDTH: u64 = 4;

/// The results of the runs.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    history: History,
    /// The signals that were sent to an existing process, with their targets.
    sent: BTreeSet<(i32, Target)>,
    /// Runs that a signal ended.
    ended_by_signal: usize,
    /// Commands that ran to their end although KILL had ended locket.
    outlived: usize,
    contended: usize,
    /// How often the command has run, for each way to lock.
    commands: [usize; WAYS.len()],
    problems: Vec<String>,
}

impl Runs {
    fn commands(&self) -> usize {
        self.commands.iter().sum()
    }
}

/// Many processes that use one lock.
struct Crowd<'a> {
    /// The program to run: locket or a stand-in.
    program: &'a Path,
    seed: u64,
    signals: &'a [Sent],
}

impl Crowd<'_> {
    /// Runs `WIDTH` processes at a time until `enough` returns true.
    fn gather(&self, enough: impl Fn(&Runs) -> bool + Sync) -> Runs {
        // No signal may write a core file.
        let limit = Rlimit { current: Some(0), ..getrlimit(Resource::Core) };
        setrlimit(Resource::Core, limit).expect("a limit can be lowered");
        let scratch = Scratch::new();
        let runs = Mutex::new(Runs::default());
        let (start, next) = (Instant::now(), AtomicUsize::new(0));
        thread::scope(|scope| {
            for thread in 0..WIDTH {
                let (directory, runs, next, enough) = (scratch.path(), &runs, &next, &enough);
                scope.spawn(move || {
                    let mut random = SmallRng::seed_from_u64(self.seed ^ thread);
                    while !enough(&runs.lock().expect("no thread panicked")) {
                        assert!(start.elapsed() < LONGEST, "too few runs after {LONGEST:?}: {runs:?}");
                        let plan = self.plan(&mut random, next.fetch_add(1, Ordering::Relaxed));
                        run(self.program, directory, &plan, runs).expect("the program should run");
                    }
                });
            }
        });
        runs.into_inner().expect("no thread panicked")
    }

    fn plan(&self, random: &mut SmallRng, number: usize) -> Plan {
        // Every second run gets no signal. The signals are taken in turn, so that none is left out.
        let sent = self.signals.get((number / 2) % self.signals.len().max(1)).copied();
        Plan {
            number: number.try_into().expect("there are few runs"),
            way: random.random_range(0..WAYS.len()),
            sent: sent.filter(|_| number % 2 == 1),
            after: Duration::from_micros(random.random_range(0..12_000)),
            stays: Duration::from_micros(random.random_range(0..4000)),
        }
    }
}

/// How often KILL is in the list of signals. Only KILL ends locket without ending the command.
const KILLS: usize = 8;

/// Returns every signal that can be sent and that the C library does not reserve, with each target.
fn all_signals() -> Vec<Sent> {
    let others = (1..=31).filter(|&it| it != libc::SIGKILL);
    let numbers = others.chain([libc::SIGRTMIN(), libc::SIGRTMAX()]);
    let numbers = numbers.chain([libc::SIGKILL; KILLS]);
    let targets = Target::ALL;
    numbers.flat_map(|number| targets.map(|target| Sent { number, target })).collect()
}

fn seed() -> u64 {
    let seed = std::env::var("LOCKET_STRESS_SEED").map(|it| it.parse().expect("a number"));
    seed.unwrap_or_else(|_| rand::rng().random_range(0..1 << 48))
}

/// Writes to the descriptor of standard error: the test harness captures the output of `eprintln!`.
fn say(text: impl Display) {
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// Judges a history. Panics if the history is malformed.
#[track_caller]
fn judged(seed: u64, history: &History) -> Verdict {
    if let Err(problem) = history.check() {
        panic!("seed {seed}: malformed history: {problem}");
    }
    judge(history)
}

#[track_caller]
fn assert_clean(seed: u64, runs: &Runs) {
    let verdict = judged(seed, &runs.history);
    let Runs { sent, ended_by_signal, outlived, contended, problems, .. } = runs;
    say(format_args!(
        "locket run, history: seed {seed}; {} commands, {} of them shared, {contended} contended; {} pairs of signal and \
         target, {ended_by_signal} runs ended by a signal, {} killed while holding or waiting, {outlived} commands \
         outlived locket",
        runs.commands(),
        verdict.shared,
        sent.len(),
        verdict.kills,
    ));
    assert!(verdict.faults.is_empty(), "seed {seed}: {}", explain(&runs.history, &verdict));
    assert!(problems.is_empty(), "seed {seed}: {problems:#?}");
}

#[test]
fn l1_l2_l7_l15_crowds_under_every_signal_have_the_history_of_a_lock() {
    let (seed, signals) = (seed(), all_signals());
    let crowd = Crowd { program: Path::new(LOCKET), seed, signals: &signals };
    let runs = crowd.gather(|runs| {
        runs.sent.len() == signals.len() - Target::ALL.len() * (KILLS - 1)
            && runs.ended_by_signal >= 40
            && runs.outlived >= 10
            && runs.contended >= 5
            && runs.history.kills.len() >= 20
            && runs.commands.iter().all(|&count| count >= 5)
    });
    assert_clean(seed, &runs);
}

/// Makes a program that takes the arguments of locket and runs the faulty script for every third process id.
fn stand_in(scratch: &Scratch, fault: &str) -> PathBuf {
    let path = scratch.join("stand-in");
    let text =
        format!("#!/bin/sh\nif [ $(($$ % 3)) = 0 ]; then\n{fault}\nfi\nexec '{LOCKET}' \"$@\"\n");
    // Another process writes the file. If this one did, a concurrent fork could keep the file open for writing, and exec
    // would fail with ETXTBSY (execve(2)).
    let made = Command::new("sh")
        .args(["-c", "printf %s \"$1\" >\"$0\" && chmod +x \"$0\""])
        .args([path.as_os_str(), text.as_ref()])
        .status();
    assert!(made.is_ok_and(|it| it.success()));
    path
}

/// Runs a faulty stand-in until the judge has found a violation of the law.
#[track_caller]
fn assert_violation_found(script: &str, law: &str) {
    let (first, start, scratch) = (seed(), Instant::now(), Scratch::new());
    let program = stand_in(&scratch, script);
    for seed in first.. {
        let crowd = Crowd { program: &program, seed, signals: &[] };
        let runs = crowd.gather(|runs| runs.commands() >= 40);
        let verdict = judged(seed, &runs.history);
        if let Some(fault) = verdict.faults.iter().find(|fault| fault.law() == law) {
            let story = draw(&runs.history, fault);
            say(format_args!("violation found in crowd {}: {script}\n{story}", seed - first + 1));
            assert!(story.contains("> process "), "no timeline: {story}");
            return;
        }
        assert!(start.elapsed() < LONGEST, "no violation found: {script}");
    }
}

#[test]
fn a_locket_that_runs_the_command_without_the_lock_is_convicted() {
    let script = "while [ \"$1\" != -- ]; do shift; done; shift; exec \"$@\"";
    assert_violation_found(script, "L1 Exclusion");
}

#[test]
fn a_locket_that_locks_another_file_is_convicted() {
    let script = format!(
        "while [ \"$1\" != -- ]; do shift; done; exec '{LOCKET}' run --quiet \"$0.lock\" \"$@\""
    );
    assert_violation_found(&script, "L1 Exclusion");
}

/// No process under the lock can observe this fault, but the judge finds it.
#[test]
fn a_locket_that_refuses_for_no_reason_is_convicted() {
    assert_violation_found("case \" $* \" in *' -n '*) exit 75;; esac", "L2 Try, L3 Deadline");
}
