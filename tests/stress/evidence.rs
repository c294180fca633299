//! What the workers saw in the critical section, and what is wrong with it.
//!
//! ```text
//! PROCESS THREAD counted FILE VALUE      an exclusive holder read this count, and wrote one more
//! PROCESS THREAD found FILE NAME         somebody's witness was there
//! PROCESS THREAD lost FILE NAME          its own witness was not, but this one
//! PROCESS THREAD changed FILE A B        a count changed under a shared hold
//! PROCESS THREAD current | replaced      what a guard said of its file
//! PROCESS THREAD missed MESSAGE          there was no directory for the lock file
//! PROCESS THREAD born | ended            a child, and the whole of its life
//! PROCESS THREAD failed MESSAGE          what must not happen
//! ```

use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) problems: Vec<String>,
    pub(crate) counted: usize,
    /// Witnesses of processes that were killed, as it has to be.
    pub(crate) left_by_killed: usize,
    pub(crate) current: usize,
    pub(crate) replaced: usize,
    pub(crate) missed: usize,
    /// Children.
    pub(crate) born: BTreeSet<u32>,
    pub(crate) ended: usize,
    /// Different files.
    pub(crate) files: usize,
}

pub(crate) fn examine(text: &str, killed: &BTreeSet<u32>) -> Evidence {
    let mut evidence = Evidence::default();
    let mut counts = BTreeMap::new();
    let mut files = BTreeSet::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [process, thread, ref what @ ..] = words[..] else {
            evidence.problems.push(format!("no evidence: {line:?}"));
            continue;
        };
        let who = format!("process {process} thread {thread}");
        match *what {
            ["counted", file, value] => {
                evidence.counted += 1;
                files.insert(file);
                if let Some(other) = counts.insert((file, value), who.clone()) {
                    let text =
                        format!("{who} and {other} both counted from {value} in file {file}");
                    evidence.problems.push(text);
                }
            }
            ["found", _, name] if killed.contains(&maker(name)) => evidence.left_by_killed += 1,
            ["found", file, name] => {
                let text =
                    format!("{who} was in file {file} and found the witness of {name} there");
                evidence.problems.push(text);
            }
            ["lost", file, name] => {
                let text = format!("{who} was in file {file} and its witness gave way to {name}");
                evidence.problems.push(text);
            }
            ["current"] => evidence.current += 1,
            ["replaced"] => evidence.replaced += 1,
            ["missed", ..] => evidence.missed += 1,
            ["born"] => _ = process.parse().map(|process| evidence.born.insert(process)),
            ["ended"] => evidence.ended += 1,
            _ => evidence.problems.push(format!("{who}: {}", what.join(" "))),
        }
    }
    evidence.files = files.len();
    evidence
}

/// The children whose lives were cut short.
pub(crate) fn cut_short(text: &str) -> BTreeSet<u32> {
    let mut lives = BTreeSet::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            [process, _, "born"] => lives.extend(process.parse::<u32>()),
            [process, _, "ended"] => lives.retain(|it| process.parse() != Ok(*it)),
            _ => {}
        }
    }
    lives
}

/// The process of a witness, which is named PROCESS.THREAD.TIME; zero is none.
fn maker(name: &str) -> u32 {
    name.split('.').next().and_then(|process| process.parse().ok()).unwrap_or(0)
}

/// Every kind of evidence that there should not be is a problem, and no other.
#[test]
fn evidence_is_told_from_evidence() {
    let text =
        "1 0 counted 7 0\n2 0 counted 7 1\n2 0 counted 8 1\n2 1 found 7 3.0.99\n1 0 current\n";
    let clean = examine(text, &BTreeSet::from([3]));
    assert_eq!(clean.problems, [""; 0]);
    assert_eq!((clean.counted, clean.left_by_killed, clean.files), (3, 1, 2));
    let wrong = [
        "4 0 counted 7 1",
        "4 0 found 7 2.0.5",
        "4 0 lost 7 nobody",
        "4 0 changed 7 1 2",
        "4 0 failed so",
        "4",
    ];
    for line in wrong {
        let examined = examine(&format!("{text}{line}\n"), &BTreeSet::from([3]));
        assert_eq!(examined.problems.len(), 1, "{line}: {:?}", examined.problems);
    }
}
