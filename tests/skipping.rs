//! The summary of a run names what was skipped.

use crate::support::prelude::*;
use crate::support::skip_log::SkipLog;

#[test]
fn a_summary_counts_each_skipped_check_once() -> Outcome {
    let scratch = Scratch::new();
    let log = SkipLog(scratch.join("run").join("1-2"));
    assert_eq!(log.take()?, "0 checks skipped");
    log.add("l1_a", "strace")?;
    assert_eq!(log.take()?, "1 check skipped: strace");
    assert_eq!(log.take()?, "0 checks skipped", "the next run should start empty");
    for (check, missing) in
        [("l1_a", "strace"), ("l2_b", "root"), ("l1_a", "strace"), ("l3_c", "strace")]
    {
        log.add(check, missing)?;
    }
    assert_eq!(log.take()?, "3 checks skipped: root, strace");
    Ok(())
}
