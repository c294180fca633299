//! What the workers saw in the critical section, and which of it shows a violation.
//!
//! ```text
//! PROCESS THREAD counted FILE VALUE      an exclusive holder read this count and wrote the next number
//! PROCESS THREAD found FILE NAME         the witness of another thread was there
//! PROCESS THREAD lost FILE NAME          its own witness was gone, and this one was there
//! PROCESS THREAD changed FILE A B        a count changed under a shared hold
//! PROCESS THREAD current | replaced      the answer of `Guard::is_current`
//! PROCESS THREAD missed MESSAGE          the directory of the lock file did not exist
//! PROCESS THREAD born | ended            the begin and the end of a child
//! PROCESS THREAD failed MESSAGE          a violation, in words
//! ```

use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) problems: Vec<String>,
    pub(crate) counted: usize,
    /// Witnesses that killed processes left behind, which is expected.
    pub(crate) left_by_killed: usize,
    pub(crate) current: usize,
    pub(crate) replaced: usize,
    pub(crate) missed: usize,
    /// The children that began, and those that ended by themselves.
    pub(crate) born: BTreeSet<u32>,
    pub(crate) ended: BTreeSet<u32>,
    /// The number of different files.
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
        let reader = format!("process {process} thread {thread}");
        match *what {
            ["counted", file, value] => {
                evidence.counted += 1;
                files.insert(file);
                if let Some(other) = counts.insert((file, value), reader.clone()) {
                    let text =
                        format!("{reader} and {other} both counted from {value} in file {file}");
                    evidence.problems.push(text);
                }
            }
            ["found", _, name] if killed.contains(&maker(name)) => evidence.left_by_killed += 1,
            ["current"] => evidence.current += 1,
            ["replaced"] => evidence.replaced += 1,
            ["missed", ..] => evidence.missed += 1,
            ["born"] => _ = process.parse().map(|process| evidence.born.insert(process)),
            ["ended"] => _ = process.parse().map(|process| evidence.ended.insert(process)),
            _ => evidence.problems.push(format!("{reader}: {}", what.join(" "))),
        }
    }
    evidence.files = files.len();
    evidence
}

/// Returns the process of a witness, which is named PROCESS.THREAD.TIME; zero if the name is none of that form.
fn maker(name: &str) -> u32 {
    name.split('.').next().and_then(|process| process.parse().ok()).unwrap_or(0)
}

/// Each kind of evidence of a violation is reported as one problem, and no other kind is.
#[test]
fn each_kind_of_violation_is_one_problem() {
    let text =
        "1 0 counted 7 0\n2 0 counted 7 1\n2 0 counted 8 1\n2 1 found 7 3.0.99\n1 0 current\n";
    let clean = examine(text, &BTreeSet::from([3]));
    assert_eq!(clean.problems, [""; 0]);
    assert_eq!((clean.counted, clean.left_by_killed, clean.files), (3, 1, 2));
    let wrong = [
        "4 0 counted 7 1",
        "4 0 found 7 2.0.5",
        "4 0 lost 7 none",
        "4 0 changed 7 1 2",
        "4 0 failed so",
        "4",
    ];
    for line in wrong {
        let examined = examine(&format!("{text}{line}\n"), &BTreeSet::from([3]));
        assert_eq!(examined.problems.len(), 1, "{line}: {:?}", examined.problems);
    }
}
