//! The text format of histories: a written history parses to the same history, a torn one is an error.

use crate::random_history::{Defect, Shape, random_history};
use locket_model::{Call, History};

fn histories() -> impl Iterator<Item = History> {
    (0..500).map(|seed| {
        let defect = (seed % 2 > 0).then(|| Defect::ALL[(seed / 2 % 7) as usize]);
        let (shared, kills) = (seed % 3 > 0, seed % 5 > 2);
        let shape = Shape { processes: 3, threads: 2, files: 2, calls: 12, shared, kills, defect };
        random_history(seed, shape)
    })
}

#[test]
fn a_history_parses_from_its_own_text() {
    let mut kinds = std::collections::BTreeSet::new();
    for history in histories() {
        let text = history.to_string();
        assert_eq!(History::parse(&text), Ok(history));
        kinds.extend(text.lines().filter_map(|line| line.rsplit(' ').next().map(String::from)));
    }
    let all = "begun held killed not-locked refused released timed-out";
    assert_eq!(
        kinds.into_iter().collect::<Vec<_>>().join(" "),
        all,
        "every kind of line is covered"
    );
}

/// Cuts a text at any byte except after a newline: no number is silently shortened.
#[test]
fn a_truncated_text_is_an_error() {
    for history in histories().take(50) {
        let text = history.to_string();
        for cut in 1..text.len() {
            let whole_lines = text.as_bytes()[cut - 1] == b'\n';
            assert_eq!(History::parse(&text[..cut]).is_ok(), whole_lines, "{:?}", &text[..cut]);
        }
    }
}

/// Tears two lines into each other at any two places.
#[test]
fn lines_torn_into_each_other_are_an_error() {
    let one = "acquire 1 0 0 unguarded 7 exclusive forever 10 20 held\n";
    let two = "release 2 3 0 guard=0 70 75 released\n";
    for first in 1..one.len() {
        for second in 1..two.len() {
            let (a, b) = one.split_at(first);
            let (c, d) = two.split_at(second);
            let torn = format!("{a}{c}{b}{d}");
            assert!(History::parse(&torn).is_err(), "{torn:?}");
        }
    }
}

#[test]
fn a_begun_line_and_its_end_are_one_call() {
    let begun = "acquire 1 0 0 unguarded - shared until=15 10 - begun\n";
    let end = "acquire 1 0 0 unguarded 7 shared until=15 10 20 held\n";
    let whole = History::parse(end).expect("a history");
    assert_eq!(History::parse(&format!("{begun}{end}")), Ok(whole.clone()));
    assert_eq!(History::parse(&format!("{end}{begun}")), Ok(whole));
    assert!(History::parse(&format!("{end}{end}")).is_err(), "a call ends once");
}

#[test]
fn impossible_histories_are_errors() {
    let good = "acquire 1 0 0 guard=0 7 exclusive try 10 20 held\n";
    assert!(History::parse(good).is_ok());
    let mut wrong = vec![
        ("returns before it is called", good.replace("10 20", "20 10")),
        ("an outcome that does not fit", good.replace("held", "released")),
        ("called by a process that was gone", format!("{good}kill 1 5 15 killed\n")),
        ("ends before it begins", format!("{good}kill 1 35 30 killed\n")),
        ("killed twice", format!("{good}kill 1 35 40 killed\nkill 1 35 40 killed\n")),
        ("two calls at once", format!("{good}release 1 0 0 guard=0 15 25 released\n")),
        ("a second guard with this number", format!("{good}{}", good.replace("10 20", "30 40"))),
    ];
    for field in ["01", "-1", "+1", "", "x", "1.0", "99999999999999999999999"] {
        wrong.push(("not an event", good.replacen("1 0 0", &format!("{field} 0 0"), 1)));
    }
    wrong.push(("not an event", good.replace(' ', "  ")));
    wrong.push(("not an event", "\n".into()));
    for (problem, text) in wrong {
        let error = History::parse(&text).expect_err(&text);
        assert!(error.to_string().contains(problem), "{text:?}: {error}");
    }
}

#[test]
fn a_call_displays_as_one_line() {
    let history = History::parse("release 1 0 0 unguarded 3 4 not-locked\n").expect("a history");
    let line = |call: &Call| format!("{call}\n");
    assert_eq!(line(&history.calls[0]), history.to_string());
}
