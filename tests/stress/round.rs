//! One round: workers on fresh lock files, and the judgement of what they did.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use locket_model::timeline::{draw, explain};
use locket_model::{Anomaly, History, Kill, Verdict, judge};
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::children::parent_of;
use super::clock;
use super::config::WorkerConfig;
use super::evidence::{Evidence, examine};
use super::fault_injection::Crowd;
use super::layout::Layout;
use super::moving::Mover;
use super::subject::Subject;
use super::support::Scratch;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) processes: u32,
    pub(crate) threads: u32,
    pub(crate) lasts: Duration,
    pub(crate) subject: Subject,
    pub(crate) layout: Layout,
    pub(crate) inject_faults: bool,
    /// The program that starts each worker, with its arguments; empty for none.
    pub(crate) wrapper: &'static [&'static str],
}

impl Shape {
    /// The lock, with faults.
    pub(crate) const DEFAULT: Self = Self {
        processes: 3,
        threads: 1,
        lasts: Duration::from_secs(3),
        subject: Subject::Locket,
        layout: Layout::Fixed,
        inject_faults: true,
        wrapper: &[],
    };
}

/// What happened in a round.
pub(crate) struct Round {
    pub(crate) history: History,
    pub(crate) verdict: Verdict,
    pub(crate) evidence: Evidence,
    pub(crate) processes: u32,
    /// The number of killed workers with children that lived on.
    pub(crate) orphaned: usize,
    pub(crate) stops: usize,
    pub(crate) moves: usize,
}

impl Round {
    pub(crate) fn play(seed: u64, shape: &Shape) -> Self {
        let scratch = Scratch::new();
        let directory = scratch.path();
        shape.layout.make(directory).expect("the directory should be writable");
        let mut random = SmallRng::seed_from_u64(seed);
        let lasts = u64::try_from(shape.lasts.as_nanos()).expect("it fits into 64 bits");
        let config = WorkerConfig {
            process: 0,
            threads: shape.threads,
            seed,
            until: clock::now() + lasts,
            subject: shape.subject,
            layout: shape.layout,
            directory: directory.into(),
        };
        let mut crowd = Crowd::start(config, shape.wrapper, shape.processes);
        let over = AtomicBool::new(false);
        let moves = thread::scope(|scope| {
            let mover = (shape.layout == Layout::Moving).then(|| {
                let mut mover = Mover::new(directory, seed);
                let over = &over;
                scope.spawn(move || mover.move_until(over))
            });
            if shape.inject_faults {
                crowd.inject_faults(&mut random);
            }
            crowd.end();
            over.store(true, Ordering::Relaxed);
            mover.map_or(0, |mover| mover.join().expect("the mover should not fail"))
        });
        Self::judge(directory, &crowd, moves)
    }

    fn judge(directory: &Path, crowd: &Crowd, moves: usize) -> Self {
        let mut killed: BTreeSet<u32> = crowd.kills.iter().map(|kill| kill.process).collect();
        let (calls, seen) = (read(directory, "calls", &killed), read(directory, "seen", &killed));
        let mut history = History::parse(&calls).expect("the log should be a history");
        history.kills.extend(&crowd.kills);
        let Evidence { born, ended, .. } = examine(&seen, &killed);
        for &child in born.difference(&ended) {
            let kill = lost_kill(&history, child);
            history.kills.extend(kill);
            killed.insert(child);
        }
        history.check().expect("the kills should fit the calls");
        let mut verdict = judge(&history);
        if moves > 0 {
            verdict.anomalies.retain(|anomaly| !is_explained_by_a_passing_hold(&history, anomaly));
        }
        let evidence = examine(&seen, &killed);
        let (processes, orphaned, stops) = (crowd.processes(), crowd.orphaned, crowd.stops);
        Self { history, verdict, evidence, processes, orphaned, stops, moves }
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.verdict.anomalies.is_empty() && self.evidence.problems.is_empty()
    }

    /// Returns the first violations: the judge's, and the one seen in the critical section.
    pub(crate) fn summary(&self) -> String {
        let anomaly = self.verdict.anomalies.first();
        let anomaly = anomaly.map(|anomaly| draw(&self.history, anomaly)).unwrap_or_default();
        let problem = self.evidence.problems.first().map_or("", String::as_str);
        let (anomalies, problems) = (self.verdict.anomalies.len(), self.evidence.problems.len());
        format!(
            "{anomalies} anomalies, the first:\n{anomaly}{problems} problems without a clock: {problem}"
        )
    }

    /// Returns all violations as text for a person.
    pub(crate) fn report(&self) -> String {
        let problems = &self.evidence.problems;
        let shown = &problems[..problems.len().min(5)];
        format!(
            "{}\n{} problems without a clock{}{}\n",
            explain(&self.history, &self.verdict),
            problems.len(),
            if shown.is_empty() { "" } else { ":\n  " },
            shown.join("\n  "),
        )
    }
}

/// Where files move, an acquisition can be granted a file that has lost the name. It sees that and unlocks, but until then
/// the file is locked, and the history contains no hold. A timeout during another acquisition can be due to that.
fn is_explained_by_a_passing_hold(history: &History, anomaly: &Anomaly) -> bool {
    let Anomaly::NoConflictingHold { call, from, to } = *anomaly else { return false };
    let path = history.calls[call].path;
    history.calls.iter().enumerate().any(|(at, other)| {
        at != call
            && other.path == path
            && other.mode().is_some()
            && other.called <= to
            && other.returned.is_none_or(|end| end.at >= from)
    })
}

/// Returns the kill of a child that no log reports, because the thread that killed it was killed as well, or because the
/// child was killed with its parent. The child was alive at its last call, and dead when its parent was reaped.
fn lost_kill(history: &History, process: u32) -> Option<Kill> {
    let kill_of = |process| history.kills.iter().find(|kill| kill.process == process);
    let parents = kill_of(parent_of(process)?)?;
    let calls = history.calls.iter().filter(|call| call.process == process);
    let after = calls.map(|call| call.returned.map_or(call.called, |end| end.at)).max()?;
    kill_of(process).is_none().then_some(Kill { process, after, before: parents.before })
}

/// Returns the logs of one kind. The last line can be torn if the process was killed or is a child, and only then.
fn read(directory: &Path, kind: &str, killed: &BTreeSet<u32>) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(directory).expect("the directory should be writable").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let parts: Vec<&str> = name.split('.').collect();
        let ["log", its_kind, process, _] = parts[..] else { continue };
        if its_kind != kind {
            continue;
        }
        let text = fs::read_to_string(entry.path()).expect("the log should be readable");
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let may_be_killed =
            process.parse().is_ok_and(|it| killed.contains(&it) || parent_of(it).is_some());
        assert!(whole == text.len() || may_be_killed, "{name} is torn: {:?}", &text[whole..]);
        all.push_str(&text[..whole]);
    }
    all
}
