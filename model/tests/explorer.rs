//! The explorer, on systems with known answers.

use std::fmt;

use locket_model::explorer::{
    BrokenLaw, System, always_reachable, explore, find_lasso, observable_traces, reachable,
};

/// Two jugs of five and three litres. A step fills one, empties one, or pours one into the other.
struct Jugs {
    forbidden: Option<u8>,
}

#[derive(Clone)]
struct Pour(&'static str);

impl fmt::Display for Pour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl System for Jugs {
    type State = (u8, u8);
    type Step = Pour;

    fn initial(&self) -> (u8, u8) {
        (0, 0)
    }

    fn successors(&self, &(five, three): &(u8, u8)) -> Vec<(Pour, (u8, u8))> {
        let right = five.min(3 - three);
        let left = three.min(5 - five);
        vec![
            (Pour("fill five"), (5, three)),
            (Pour("fill three"), (five, 3)),
            (Pour("empty five"), (0, three)),
            (Pour("empty three"), (five, 0)),
            (Pour("five to three"), (five - right, three + right)),
            (Pour("three to five"), (five + left, three - left)),
        ]
    }

    fn check(&self, &(five, _): &(u8, u8)) -> Result<(), BrokenLaw> {
        match self.forbidden {
            Some(litres) if litres == five => {
                Err(BrokenLaw { law: "dry", detail: five.to_string() })
            }
            _ => Ok(()),
        }
    }

    fn check_step(&self, _: &(u8, u8), _: &Pour, _: &(u8, u8)) -> Result<(), BrokenLaw> {
        Ok(())
    }
}

#[test]
fn explore_visits_exactly_the_reachable_states() {
    let jugs = Jugs { forbidden: None };
    let report = explore(&jugs).expect("nothing is forbidden");
    assert_eq!((report.states, report.transitions, report.depth), (16, 96, 7));
    let mut states = reachable(&jugs).expect("nothing is forbidden");
    states.sort_unstable();
    // The reachable states are those with a full or an empty jug.
    let expected: Vec<(u8, u8)> = (0..=5)
        .flat_map(|five| (0..=3).map(move |three| (five, three)))
        .filter(|&(five, three)| five % 5 == 0 || three % 3 == 0)
        .collect();
    assert_eq!(states, expected);
}

#[test]
fn the_trace_of_a_violation_is_a_shortest_one() {
    let violation = explore(&Jugs { forbidden: Some(4) }).expect_err("four litres are reachable");
    assert_eq!(violation.broken.law, "dry");
    let trace = [
        "fill five",
        "five to three",
        "empty three",
        "five to three",
        "fill five",
        "five to three",
    ];
    assert_eq!(violation.trace, trace);
    assert!(violation.to_string().contains("  6. five to three\n"), "{violation}");
}

/// A row of rooms with one-way doors. No door leads out of the last room.
struct Rooms;

impl System for Rooms {
    type State = u8;
    type Step = u8;

    fn initial(&self) -> u8 {
        0
    }

    fn successors(&self, &room: &u8) -> Vec<(u8, u8)> {
        let next: &[u8] = match room {
            0 => &[1],
            1 => &[0, 2],
            2 => &[3],
            _ => &[],
        };
        next.iter().map(|&room| (room, room)).collect()
    }

    fn check(&self, _: &u8) -> Result<(), BrokenLaw> {
        Ok(())
    }

    fn check_step(&self, _: &u8, _: &u8, _: &u8) -> Result<(), BrokenLaw> {
        Ok(())
    }
}

#[test]
fn always_reachable_finds_a_state_without_a_path_to_the_goal() {
    let all = |_: &u8, _: &u8| true;
    assert!(always_reachable(&Rooms, |_| true, all, |&room| room == 3).is_ok());
    let stuck =
        always_reachable(&Rooms, |_| true, all, |&room| room == 0).expect_err("no way back");
    assert_eq!((stuck.broken.law, stuck.trace), ("always reachable", vec!["1".into(), "2".into()]));
    assert!(always_reachable(&Rooms, |&room| room < 2, all, |&room| room == 0).is_ok());
    let not_back = |_: &u8, &to: &u8| to != 0;
    assert!(always_reachable(&Rooms, |&room| room < 2, not_back, |&room| room == 0).is_err());
}

#[test]
fn find_lasso_finds_a_lasso_if_there_is_one() {
    let lasso =
        find_lasso(&Rooms, |&room| room < 2, |&room, _| room == 1).expect("no law is broken");
    let lasso = lasso.expect("from 0 to 1 and back forever");
    assert_eq!((lasso.stem, lasso.cycle), (vec!["1".to_string()], vec!["0".into(), "1".into()]));
    let none = find_lasso(&Rooms, |&room| room > 1, |_, _| true).expect("no law is broken");
    assert_eq!(none, None);
}

#[test]
fn observable_traces_are_of_complete_runs() {
    let seen = observable_traces(&Rooms, |_, &to, _| (to > 1).then_some(to));
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [vec![2, 3]]);
}
