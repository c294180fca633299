//! Reads arbitrary text as a log, and judges it: no text causes a panic, and a log that was read and printed
//! is read as the same calls again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use locket_model::{History, judge};

fuzz_target!(|text: &str| {
    let Ok(history) = History::parse(text) else { return };
    let again = History::parse(&history.to_string()).expect("a printed history can be parsed");
    assert_eq!(again.calls, history.calls);
    if history.check().is_ok() {
        let _verdict = judge(&history);
    }
});
