//! Crowds of `locket run` under every signal, judged by the model.
//!
//! - L1, L2, L3, L7, L15: each run is a call of a history. The command tells when it begins and when it ends, a run
//!   that is killed is a killed process, and a lock that was not had (status 75) is a failed try. The judge of
//!   `locket-model` passes the history.
//! - Every catchable standard signal, KILL, STOP, and the first and the last real-time signal, each to locket alone (at
//!   any moment, and while the command runs), to its process group and to the command alone.
//! - The harness itself: a stand-in for locket that lies now and then is convicted.
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

/// Of all runs of one test.
const LONGEST: Duration = Duration::from_secs(300);

/// Processes at a time.
const WIDTH: u64 = 4;

/// What came of the runs.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    history: History,
    /// Which signals were sent where, to a process that was there.
    sent: BTreeSet<(i32, Target)>,
    /// Runs that a signal ended.
    ended_by_signal: usize,
    /// Commands that went on when locket alone was killed by KILL, to their end.
    outlived: usize,
    contended: usize,
    /// By the way to lock: how often the command has run.
    commands: [usize; WAYS.len()],
    problems: Vec<String>,
}

impl Runs {
    fn commands(&self) -> usize {
        self.commands.iter().sum()
    }
}

/// A crowd at one lock.
struct Crowd<'a> {
    /// What is run: locket, or a stand-in.
    program: &'a Path,
    seed: u64,
    signals: &'a [Sent],
}

impl Crowd<'_> {
    /// `WIDTH` at a time, until there has been enough.
    fn gather(&self, enough: impl Fn(&Runs) -> bool + Sync) -> Runs {
        // A signal that would write a core does not.
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
                        assert!(start.elapsed() < LONGEST, "not enough yet: {runs:?}");
                        let plan = self.plan(&mut random, next.fetch_add(1, Ordering::Relaxed));
                        run(self.program, directory, &plan, runs).expect("it should run");
                    }
                });
            }
        });
        runs.into_inner().expect("no thread panicked")
    }

    fn plan(&self, random: &mut SmallRng, number: usize) -> Plan {
        // Every other run is left alone. The signals come one after another, so that none is missed.
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

/// How often KILL comes among the others: it is the one that parts locket from the command.
const KILLS: usize = 8;

/// Every signal that can be sent and is not the C library's own, and each of its targets.
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

/// Past the harness, which would keep it to itself.
fn say(text: impl Display) {
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// The verdict, of a history that could have happened at all.
#[track_caller]
fn judged(seed: u64, history: &History) -> Verdict {
    if let Err(problem) = history.check() {
        panic!("seed {seed}: no history: {problem}");
    }
    judge(history)
}

#[track_caller]
fn assert_clean(seed: u64, runs: &Runs) {
    let verdict = judged(seed, &runs.history);
    let Runs { sent, ended_by_signal, outlived, contended, problems, .. } = runs;
    say(format_args!(
        "the command, by its history: seed {seed}; {} commands, {} of them shared, {contended} contended; {} ways to \
         send a signal, {ended_by_signal} ended by it, {} killed in their holds or waits, {outlived} outlived locket",
        runs.commands(),
        verdict.shared,
        sent.len(),
        verdict.kills,
    ));
    assert!(verdict.anomalies.is_empty(), "seed {seed}: {}", explain(&runs.history, &verdict));
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

/// A program that is called as locket is, and in one of some cases does something else.
fn stand_in(scratch: &Scratch, lie: &str) -> PathBuf {
    let path = scratch.join("stand-in");
    let text =
        format!("#!/bin/sh\nif [ $(($$ % 3)) = 0 ]; then\n{lie}\nfi\nexec '{LOCKET}' \"$@\"\n");
    // Written by a process of its own: a fork at this moment would keep it open for writing, and it could not be run.
    let made = Command::new("sh")
        .args(["-c", "printf %s \"$1\" >\"$0\" && chmod +x \"$0\""])
        .args([path.as_os_str(), text.as_ref()])
        .status();
    assert!(made.is_ok_and(|it| it.success()));
    path
}

/// Crowds until the judge has convicted the stand-in of this.
#[track_caller]
fn convict(lie: &str, law: &str) {
    let (first, start, scratch) = (seed(), Instant::now(), Scratch::new());
    let program = stand_in(&scratch, lie);
    for seed in first.. {
        let crowd = Crowd { program: &program, seed, signals: &[] };
        let runs = crowd.gather(|runs| runs.commands() >= 40);
        let verdict = judged(seed, &runs.history);
        if let Some(fault) = verdict.anomalies.iter().find(|fault| fault.law() == law) {
            let story = draw(&runs.history, fault);
            say(format_args!("convicted, in crowd {}: {lie}\n{story}", seed - first + 1));
            assert!(story.contains("> process "), "no story: {story}");
            return;
        }
        assert!(start.elapsed() < LONGEST, "not convicted: {lie}");
    }
}

#[test]
fn a_locket_that_runs_the_command_without_the_lock_is_convicted() {
    convict("while [ \"$1\" != -- ]; do shift; done; shift; exec \"$@\"", "L1 Exclusion");
}

#[test]
fn a_locket_that_locks_another_file_is_convicted() {
    let lie = format!(
        "while [ \"$1\" != -- ]; do shift; done; exec '{LOCKET}' run --quiet \"$0.lock\" \"$@\""
    );
    convict(&lie, "L1 Exclusion");
}

/// No witness can see this lie, but the judge does.
#[test]
fn a_locket_that_refuses_for_no_reason_is_convicted() {
    convict("case \" $* \" in *' -n '*) exit 75;; esac", "L2 Try, L3 Deadline");
}
