//! Whatever is in a log, reading and judging it ends without a panic, and what was read is printed
//! as it was meant.
#![no_main]

use libfuzzer_sys::fuzz_target;
use locket_model::{History, judge};

fuzz_target!(|text: &str| {
    let Ok(history) = History::parse(text) else { return };
    let again = History::parse(&history.to_string()).expect("what was printed can be read");
    assert_eq!(again.calls, history.calls);
    if history.check().is_ok() {
        let _verdict = judge(&history);
    }
});
