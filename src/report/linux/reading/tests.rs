use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::*;

const ALL: Search<'_> = Search { goes_on: &|| true, file: None };

/// The kernel's list, and what becomes of it before each further read.
#[derive(Default)]
struct List {
    locks: RefCell<Vec<u32>>,
    changes: RefCell<VecDeque<Vec<u32>>>,
}

/// A descriptor as `seq_read_iter` serves it.
struct OpenFile {
    list: Rc<List>,
    index: usize,
    left: Vec<u8>,
}

impl Read for OpenFile {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        const PAGE: usize = 4096;
        if let Some(change) = self.list.changes.borrow_mut().pop_front() {
            *self.list.locks.borrow_mut() = change;
        }
        let mut bytes = std::mem::take(&mut self.left);
        let mut fill = vec![];
        while let Some(pid) = self.list.locks.borrow().get(self.index) {
            let line =
                format!("{}: FLOCK  ADVISORY  WRITE {pid} fe:00:{pid} 0 EOF\n", self.index + 1);
            if fill.len() + line.len() > PAGE || bytes.len() + fill.len() >= to.len() {
                break;
            }
            fill.extend(line.into_bytes());
            self.index += 1;
        }
        bytes.append(&mut fill);
        let count = bytes.len().min(to.len());
        self.left = bytes.split_off(count);
        io::copy(&mut bytes.as_slice(), &mut &mut *to)?;
        Ok(count)
    }
}

/// What a pass makes of a list that is in turn the ones that are given.
#[allow(clippy::expect_used, reason = "that is how a test fails")]
fn pass(lists: &[&[u32]]) -> Pass {
    let list = Rc::new(List::default());
    list.changes.borrow_mut().extend(lists.iter().map(|list| list.to_vec()));
    let descriptor = || OpenFile { list: Rc::clone(&list), index: 0, left: vec![] };
    overlapping(descriptor(), descriptor(), &ALL).expect("the list can be read")
}

/// The lock of a file whose numbers are its own ends the reading of its pass, and is in it with its waiters.
#[test]
#[allow(clippy::expect_used, reason = "that is how a test fails")]
fn an_exclusive_lock_is_not_read_past() {
    let all: Vec<u32> = (1..=3_000).collect();
    for pid in [1, 70, 71, 1_500, 3_000] {
        let list = Rc::new(List::default());
        list.changes.borrow_mut().push_back(all.clone());
        let descriptor = || OpenFile { list: Rc::clone(&list), index: 0, left: vec![] };
        let file = Some(FileId { device: (0xfe, 0), inode: pid.into() });
        let pass = straight(descriptor(), &Search { file, ..ALL });
        let pass = pass.expect("the list can be read").expect("it is in the list");
        let shown = pids(&pass.holds);
        assert!(shown.contains(&pid) && shown.len() < pid as usize + 120, "{pid}: {}", shown.len());
    }
}

#[test]
fn a_search_that_is_over_reads_no_more() {
    let reads = std::cell::Cell::new(0);
    let goes_on = || reads.replace(reads.get() + 1) < 3;
    let list = Rc::new(List::default());
    list.changes.borrow_mut().push_back((1..=3_000).collect());
    let descriptor = || OpenFile { list: Rc::clone(&list), index: 0, left: vec![] };
    let pass = overlapping(descriptor(), descriptor(), &Search { goes_on: &goes_on, file: None });
    assert!(pass.is_err_and(|error| error.kind() == io::ErrorKind::TimedOut));
    assert_eq!(reads.get(), 4);
}

fn pids(holds: &[Hold]) -> Vec<u32> {
    holds.iter().map(|hold| hold.entry.pid).collect()
}

#[test]
fn a_quiet_table_is_whole_and_each_lock_is_in_it_once() {
    for count in [0, 1, 40, 70, 71, 100, 140, 141, 500, 3_000] {
        let all: Vec<u32> = (1..=count).collect();
        let pass = pass(&[&all]);
        assert!(pass.is_whole, "{count}");
        assert_eq!((pids(&pass.holds), pids(&pass.doubtful)), (all, vec![]), "{count}");
    }
}

/// Locks are released in front before each read, a few or many: what is still held is shown, or the pass says that
/// it is not whole.
#[test]
fn what_moves_up_in_the_list_is_not_missed() {
    for released in 1..200 {
        let lists: Vec<Vec<u32>> =
            (0..20).map(|turn| (turn * released + 1..=1_500).collect()).collect();
        let pass = pass(&lists.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let shown: HashSet<u32> =
            [pids(&pass.holds), pids(&pass.doubtful)].concat().into_iter().collect();
        let is_missing =
            lists.last().is_some_and(|list| list.iter().any(|pid| !shown.contains(pid)));
        assert!(!is_missing || !pass.is_whole, "{released} released before each read");
        assert!(released > 15 || pass.is_whole, "{released} released before each read");
    }
}

/// The list becomes so short that the next read finds its end.
#[test]
fn an_end_that_comes_too_early_is_noticed() {
    let long: Vec<u32> = (1..=100).collect();
    let short: Vec<u32> = (40..=100).collect();
    let pass = pass(&[&long, &short]);
    let shown = [pids(&pass.holds), pids(&pass.doubtful)].concat();
    assert!(!pass.is_whole || shown.contains(&100), "{shown:?}");
}

/// Locks are released and taken again in no order, few or many before each read: they are shown in other places then,
/// and look the same. One lock is held all the time.
#[test]
fn locks_that_are_taken_again_join_nothing() {
    const HELD: u32 = 1_000;
    let mut state = 1_u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(state >> 33).unwrap_or_default() % below
    };
    let (mut whole, mut missed) = (0, 0);
    for turn in 0..2_000 {
        let mut list: Vec<u32> = (0..300).chain([HELD]).collect();
        let mut free: Vec<u32> = vec![];
        let lists: Vec<Vec<u32>> = (0..12)
            .map(|_| {
                for _ in 0..random(1 + turn / 4).min(list.len() - 1) {
                    free.push(list.remove(random(list.len() - 1)));
                }
                for _ in 0..random(1 + turn / 4).min(free.len()) {
                    list.insert(0, free.swap_remove(random(free.len())));
                }
                list.clone()
            })
            .collect();
        let pass = pass(&lists.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let is_shown = [pids(&pass.holds), pids(&pass.doubtful)].concat().contains(&HELD);
        assert!(is_shown || !pass.is_whole, "turn {turn}");
        whole += usize::from(pass.is_whole);
        missed += usize::from(!is_shown);
    }
    assert!(whole > 100 && missed > 10, "{whole} passes were whole, {missed} missed the lock");
}

/// How many passes are made of these, the last of them again and again, and whether the table was read whole.
fn repeated_over(passes: &[Pass], look: impl FnMut(&Pass) -> bool) -> Option<(usize, bool)> {
    let mut made = 0;
    let pass = |_: &Search<'_>| {
        made += 1;
        let pass = passes.get(made - 1).or_else(|| passes.last()).cloned();
        pass.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    };
    let is_whole = repeated(pass, &ALL, look).ok()?.is_whole;
    Some((made, is_whole))
}

#[test]
fn a_table_counts_as_read_when_it_was_quiet_or_whole_twice() {
    let hold = holds("1: FLOCK  ADVISORY  WRITE 7 fe:00:7 0 EOF\n");
    let torn = Pass { doubtful: hold, ..Pass::default() };
    let whole = Pass { is_whole: true, ..torn.clone() };
    let quiet = Pass { is_whole: true, ..Pass::default() };
    let over = |passes: &[&Pass]| {
        let passes: Vec<Pass> = passes.iter().map(|&pass| pass.clone()).collect();
        repeated_over(&passes, |_| false)
    };
    assert_eq!(over(&[&quiet]), Some((1, true)));
    assert_eq!(over(&[&whole]), Some((2, true)));
    assert_eq!(over(&[&whole, &torn, &whole, &whole]), Some((4, true)));
    assert_eq!(over(&[&torn]), Some((PASSES, false)));
    // Once in a while is not twice in a row.
    let by_turns: Vec<&Pass> = [&torn, &whole].repeat(PASSES);
    assert_eq!(over(&by_turns), Some((PASSES, false)));
    assert_eq!(repeated_over(&[torn], |_| true), Some((1, false)), "enough was seen");
}
