//! One round: workers on a fresh terrain, and the judgement of what they did.

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
use super::evidence::{Evidence, cut_short, examine};
use super::mistreatment::Crowd;
use super::moving::Mover;
use super::orders::Orders;
use super::subject::Subject;
use super::support::Scratch;
use super::terrain::Terrain;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) processes: u32,
    pub(crate) threads: u32,
    pub(crate) lasts: Duration,
    pub(crate) subject: Subject,
    pub(crate) terrain: Terrain,
    pub(crate) mistreated: bool,
    /// What each worker is started by.
    pub(crate) wrapper: &'static [&'static str],
}

/// What happened.
pub(crate) struct Round {
    pub(crate) history: History,
    pub(crate) verdict: Verdict,
    pub(crate) evidence: Evidence,
    pub(crate) processes: u32,
    /// Killed workers whose children lived on.
    pub(crate) orphaned: usize,
    pub(crate) stops: usize,
    pub(crate) moves: usize,
}

impl Round {
    pub(crate) fn play(seed: u64, shape: &Shape) -> Self {
        let scratch = Scratch::new();
        let directory = scratch.path();
        shape.terrain.make(directory).expect("the directory is ours");
        let mut random = SmallRng::seed_from_u64(seed);
        let lasts = u64::try_from(shape.lasts.as_nanos()).expect("it is short");
        let orders = Orders {
            process: 0,
            threads: shape.threads,
            seed,
            until: clock::now() + lasts,
            subject: shape.subject,
            terrain: shape.terrain,
            directory: directory.into(),
        };
        let mut crowd = Crowd::start(orders, shape.wrapper, shape.processes);
        let over = AtomicBool::new(false);
        let moves = thread::scope(|scope| {
            let mover = (shape.terrain == Terrain::Moving).then(|| {
                let mut mover = Mover::new(directory, seed);
                let over = &over;
                scope.spawn(move || mover.move_until(over))
            });
            if shape.mistreated {
                crowd.mistreat(&mut random);
            }
            crowd.end();
            over.store(true, Ordering::Relaxed);
            mover.map_or(0, |mover| mover.join().expect("the mover should not fail"))
        });
        Self::judged(directory, &crowd, moves)
    }

    fn judged(directory: &Path, crowd: &Crowd, moves: usize) -> Self {
        let mut killed: BTreeSet<u32> = crowd.kills.iter().map(|kill| kill.process).collect();
        let (calls, seen) = (read(directory, "calls", &killed), read(directory, "seen", &killed));
        let mut history = History::parse(&calls).expect("the log should be a history");
        history.kills.extend(&crowd.kills);
        let cut_short = cut_short(&seen);
        for &child in &cut_short {
            let kill = lost_kill(&history, child);
            history.kills.extend(kill);
        }
        killed.extend(cut_short);
        history.check().expect("the kills should fit the calls");
        let mut verdict = judge(&history);
        if moves > 0 {
            verdict.anomalies.retain(|fault| !is_explained_by_a_passing_hold(&history, fault));
        }
        let evidence = examine(&seen, &killed);
        let (processes, orphaned, stops) = (crowd.processes(), crowd.orphaned, crowd.stops);
        Self { history, verdict, evidence, processes, orphaned, stops, moves }
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.verdict.anomalies.is_empty() && self.evidence.problems.is_empty()
    }

    /// The first thing that went wrong, as the judge and as the critical section saw it.
    pub(crate) fn headline(&self) -> String {
        let fault = self.verdict.anomalies.first();
        let fault = fault.map(|fault| draw(&self.history, fault)).unwrap_or_default();
        let problem = self.evidence.problems.first().map_or("", String::as_str);
        let (faults, problems) = (self.verdict.anomalies.len(), self.evidence.problems.len());
        format!(
            "{faults} faults, the first:\n{fault}{problems} problems without a clock: {problem}"
        )
    }

    /// What went wrong, for a person.
    pub(crate) fn story(&self) -> String {
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

/// Where files move, an acquisition can be granted a file that it then sees has lost the name: for a
/// moment it keeps others out, and nothing in the history says that it held. Who timed out
/// while somebody was acquiring has met one of those.
fn is_explained_by_a_passing_hold(history: &History, fault: &Anomaly) -> bool {
    let Anomaly::NoConflictingHold { call, from, to } = *fault else { return false };
    let path = history.calls[call].path;
    history.calls.iter().enumerate().any(|(at, other)| {
        at != call
            && other.path == path
            && other.mode().is_some()
            && other.called <= to
            && other.returned.is_none_or(|end| end.at >= from)
    })
}

/// Of a child that nobody says was killed, because who killed it was killed as well, or is the same.
/// It was alive when it was last seen, and gone when its parent was buried.
fn lost_kill(history: &History, process: u32) -> Option<Kill> {
    let kill_of = |process| history.kills.iter().find(|kill| kill.process == process);
    let parents = kill_of(parent_of(process)?)?;
    let calls = history.calls.iter().filter(|call| call.process == process);
    let after = calls.map(|call| call.returned.map_or(call.called, |end| end.at)).max()?;
    kill_of(process).is_none().then_some(Kill { process, after, before: parents.before })
}

/// The logs of one kind. The last line of a killed process may be torn, or a child's, and nobody
/// else's.
fn read(directory: &Path, kind: &str, killed: &BTreeSet<u32>) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(directory).expect("the directory is ours").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let parts: Vec<&str> = name.split('.').collect();
        let ["log", its_kind, process, _] = parts[..] else { continue };
        if its_kind != kind {
            continue;
        }
        let text = fs::read_to_string(entry.path()).expect("the log is ours");
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let may_be_killed =
            process.parse().is_ok_and(|it| killed.contains(&it) || parent_of(it).is_some());
        assert!(whole == text.len() || may_be_killed, "{name} is torn: {:?}", &text[whole..]);
        all.push_str(&text[..whole]);
    }
    all
}
