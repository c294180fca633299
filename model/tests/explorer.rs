//! The explorer itself, on systems whose answers are known.

use std::fmt;

use locket_model::explorer::{
    Broken, System, always_can, endless, explore, observations, reachable,
};

/// Two jugs of five and three litres, to be filled, emptied and poured into each other.
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

    fn start(&self) -> (u8, u8) {
        (0, 0)
    }

    fn steps(&self, &(five, three): &(u8, u8)) -> Vec<(Pour, (u8, u8))> {
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

    fn check(&self, &(five, _): &(u8, u8)) -> Result<(), Broken> {
        match self.forbidden {
            Some(litres) if litres == five => Err(Broken { law: "dry", how: five.to_string() }),
            _ => Ok(()),
        }
    }

    fn check_step(&self, _: &(u8, u8), _: &Pour, _: &(u8, u8)) -> Result<(), Broken> {
        Ok(())
    }
}

#[test]
fn all_states_are_found_and_no_other() {
    let jugs = Jugs { forbidden: None };
    let report = explore(&jugs).expect("nothing is forbidden");
    assert_eq!((report.states, report.edges, report.depth), (16, 96, 7));
    let mut states = reachable(&jugs).expect("nothing is forbidden");
    states.sort_unstable();
    // Only with one jug full or empty.
    let expected: Vec<(u8, u8)> = (0..=5)
        .flat_map(|five| (0..=3).map(move |three| (five, three)))
        .filter(|&(five, three)| five % 5 == 0 || three % 3 == 0)
        .collect();
    assert_eq!(states, expected);
}

#[test]
fn the_story_is_a_shortest_one() {
    let conviction = explore(&Jugs { forbidden: Some(4) }).expect_err("four litres can be had");
    assert_eq!(conviction.broken.law, "dry");
    let story = [
        "fill five",
        "five to three",
        "empty three",
        "five to three",
        "fill five",
        "five to three",
    ];
    assert_eq!(conviction.story, story);
    assert!(conviction.to_string().contains("  6. five to three\n"), "{conviction}");
}

/// A line of rooms with doors that open one way: from the last there is no way back.
struct Rooms;

impl System for Rooms {
    type State = u8;
    type Step = u8;

    fn start(&self) -> u8 {
        0
    }

    fn steps(&self, &room: &u8) -> Vec<(u8, u8)> {
        let next: &[u8] = match room {
            0 => &[1],
            1 => &[0, 2],
            2 => &[3],
            _ => &[],
        };
        next.iter().map(|&room| (room, room)).collect()
    }

    fn check(&self, _: &u8) -> Result<(), Broken> {
        Ok(())
    }

    fn check_step(&self, _: &u8, _: &u8, _: &u8) -> Result<(), Broken> {
        Ok(())
    }
}

#[test]
fn a_state_of_no_return_is_found() {
    let all = |_: &u8, _: &u8| true;
    assert!(always_can(&Rooms, |_| true, all, |&room| room == 3).is_ok());
    let stuck = always_can(&Rooms, |_| true, all, |&room| room == 0).expect_err("no way back");
    assert_eq!((stuck.broken.law, stuck.story), ("always can", vec!["1".into(), "2".into()]));
    assert!(always_can(&Rooms, |&room| room < 2, all, |&room| room == 0).is_ok());
    let not_back = |_: &u8, &to: &u8| to != 0;
    assert!(always_can(&Rooms, |&room| room < 2, not_back, |&room| room == 0).is_err());
}

#[test]
fn a_lasso_is_found_where_there_is_one() {
    let lasso = endless(&Rooms, |&room| room < 2, |&room, _| room == 1).expect("nothing is broken");
    let lasso = lasso.expect("from 0 to 1 and back for ever");
    assert_eq!((lasso.stem, lasso.cycle), (vec!["1".to_string()], vec!["0".into(), "1".into()]));
    let none = endless(&Rooms, |&room| room > 1, |_, _| true).expect("nothing is broken");
    assert_eq!(none, None);
}

#[test]
fn observations_are_of_complete_runs() {
    let seen = observations(&Rooms, |_, &to, _| (to > 1).then_some(to));
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [vec![2, 3]]);
}
