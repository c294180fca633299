// Bugs to seed in the shipped files, as edits of their text: texts that stand in a file exactly once each, and their
// replacements. With each bug come the kernel and the threads that show it, and the violation that must be reported.
//
// `build.rs` includes this file for the edits, and `seeded.rs` for the tests.

mutations! {
    fork_counted_only_after_its_end in fork_count {
        "        self.begun.fetch_add(1, AcqRel);\n" => "",
        "        let next = |ended| (ended" =>
            "        self.begun.fetch_add(1, AcqRel);\n        let next = |ended| (ended",
    } Forks: 1
        => "a copy was not noticed";

    unfinished_fork_not_counted in fork_count {
        "(begun == ended).then_some(begun)" => "(begun >= ended).then_some(begun)",
    } Forks: 1
        => "a copy was not noticed";

    finished_fork_not_counted in fork_count {
        "seen.0 != Some(self.begun.load(Acquire))" =>
            "seen.0.is_none() || self.begun.load(Acquire) != self.ended.load(Acquire)",
    } Forks: 1
        => "a copy was not noticed";

    identity_not_checked in acquire {
        "if granted && !matches!(answer, Ok(true)) {" => "if granted && answer.is_err() {",
        "(false, _) => return" => "(false, false) => return",
        "(true, true) => return" => "(_, true) => return",
    } Sound: with(threads(&[(1, &GUARDED)]), Actor::Replace)
        => "records a hold on a file that the path does not name";

    timed_out_on_a_replaced_file in acquire {
        "(false, _) => return" => "(false, true) => return",
        "(true, false) if is_last" => "(_, false) if is_last",
        "            (true, false) => {}" => "            (_, false) => {}",
    } Sound: with(threads(&[(1, &TRY), (2, &TRY)]), Actor::Unlink)
        => "timed out on a file that the path may not name";

    waits_without_checking_identity in acquire {
        "(false, _) => return" => "(false, _) if granted || is_last => return",
        "            (true, false) => {}" => "            (_, _) => {}",
    } Sound: with(threads(&[(1, &guarded_until(3)), (2, &GUARDED)]), Actor::Replace)
        => "waits without having checked whether the path names the file";

    identity_not_checked_after_a_wait in acquire {
        "WaitOutcome::Granted if is_current(true)? =>" => "WaitOutcome::Granted if true =>",
    } Sound: with(threads(&[(1, &GUARDED), (2, &GUARDED)]), Actor::Replace)
        => "records a hold on a file that the path does not name";

    no_attempt_at_the_deadline in acquire {
        "(true, false) if is_last" => "(true, false) if is_last || deadline.has_passed()",
    } Sound: threads(&[(1, &guarded_until(2)), (2, &GUARDED)])
        => "timed out without an attempt at the deadline";

    woken_waiter_counts_as_granted in acquire {
        "WaitOutcome::Woken => is_last = deadline.has_passed()," =>
            "WaitOutcome::Woken => return Ok(Outcome::Granted),",
    } Sound: threads(&[(1, &guarded_until(3)), (2, &GUARDED)])
        => "records a hold that the kernel has not granted";

    deadline_restarts_for_each_file in acquire {
        "        let is_current = |granted: bool| {" =>
            "let _ = deadline;\n\
             let deadline: &Deadline = Box::leak(Box::new(Deadline::after(options.timeout)));\n\
             let is_current = |granted: bool| {",
    } Sound: threads(&[(1, &guarded_until(2)), (2, &GUARDED)])
        => "waits on although its deadline has passed";

    unlocked_before_removed_from_the_ledger in release {
        "    ledger.remove(hold.mode);\n    end(ledger, hold)" =>
            "    let mode = hold.mode;\n    let ended = end(ledger, hold);\n    ledger.remove(mode);\n    ended",
    } Sound: threads(&[(1, &GUARDED)])
        => "unlocks a hold that is in the ledger or does not exist";

    failed_unlock_not_recorded in release {
        "            ledger.fail_release();" => "",
    } FailsUnlock: threads(&[(1, &TURN)])
        => "a release ended with Refused";

    file_reused_after_a_failed_unlock in release {
        "            drop(hold); // Closed, so unlocked: the hold ends nevertheless (L6)." =>
            "            ledger.put_idle(hold.file);",
    } FailsUnlock: threads(&[(1, &AGAIN)])
        => "the code answered Granted, the model Contended";

    unlock_skipped in release {
        "    match retry_on_intr(&Deadline::Passed, || Os::unlock(&hold.file)) {" =>
            "    match Ok::<(), super::os::platform::OsError>(()) {",
    } Sound: threads(&[(1, &AGAIN)])
        => "the code answered Granted, the model Contended";

    guard_released_by_release in ledger {
        "            None => self.fail_release()," =>
            "            None => self.counts.update(|_| HoldCounts::RELEASED_ERROR),",
    } Sound: threads(&[(1, &[Guard(Exclusive, Forever)]), (1, &[Release])])
        => "the ledger says ReleasedError, the model HeldExclusive";

    released_error_not_set in ledger {
        "if self == Self::UNLOCKED { Self::RELEASED_ERROR } else { self }" => "self",
    } Sound: threads(&[(1, &[Release])])
        => "the ledger says Unlocked, the model ReleasedError";

    released_error_not_cleared in ledger {
        "            if self == Self::RELEASED_ERROR { Self::UNLOCKED } else { self };" =>
            "            self;",
    } Sound: threads(&[(1, &[Release, Acquire(Exclusive, Forever), Release])])
        => "the ledger says ReleasedError, the model Unlocked";

    shared_counted_as_exclusive in ledger {
        "Mode::Shared => Self { exclusive, shared: shared.wrapping_add(1) }," =>
            "Mode::Shared => Self { exclusive: exclusive.wrapping_add(1), shared },",
    } Sound: threads(&[(1, &[Guard(Shared, Forever)])])
        => "the ledger says HeldExclusive, the model HeldShared(1)";

    release_ends_the_newest_hold in ledger {
        "unguarded.pop_front()" => "unguarded.pop_back()",
    } Sound: threads(&[(1, &[Acquire(Shared, Forever), Acquire(Shared, Forever), Release])])
        => "unlocks a hold that is in the ledger or does not exist";

    surplus_file_leaked in ledger {
        "let _surplus = self.idle.put(file);" => "std::mem::forget(self.idle.put(file));",
    } Sound: threads(&[(1, &[Guard(Shared, Forever), Guard(Shared, Forever), DropGuard, DropGuard])])
        => "2 descriptors are open for 0 holds";

    downgraded_before_the_ledger_records_it in release {
        "    ledger.begin_downgrade();\n" => "",
        "            hold.mode = Mode::Shared;\n" =>
            "            ledger.begin_downgrade();\n            hold.mode = Mode::Shared;\n",
    } Sound: threads(&[(1, &[Guard(Exclusive, Forever), Downgrade])])
        => "converts a lock that the ledger records as exclusive";

    failed_downgrade_removes_the_hold in ledger {
        "counts.remove(Mode::Shared).add(Mode::Exclusive)" => "counts.remove(Mode::Shared)",
    } FailsUnlock: threads(&[(1, &[Guard(Exclusive, Forever), Downgrade])])
        => "the ledger says Unlocked, the model HeldExclusive";

    idle_file_kept_after_revocation in ledger {
        "            drop(self.idle.take());" => "",
    } Sound: threads(&[(1, &GUARDED), (1, &[CloseIdle])])
        => "idle files were not closed";

    two_ledgers_of_one_path in registry {
        "        self.by_path.insert(spelling, &ledger);" => "        let _ = spelling;",
    } Sound: threads(&[(1, &[Acquire(Exclusive, Forever), DropHandle, Release])])
        => "a release ended with NotLocked after Some(Taken";

    hold_added_in_two_steps in ledger {
        "        let mut unguarded = ledger.unguarded.lock();\n        ledger.add(&hold);" =>
            "        ledger.add(&hold);\n        let mut unguarded = ledger.unguarded.lock();",
    } Sound: threads(&[(1, &TURN), (1, &[Release])])
        => "a release ended with NotLocked after Some(Taken";

    hold_removed_in_two_steps in ledger {
        "self.counts.update(|counts| counts.remove(mode));" =>
            "let counts = self.counts.get().remove(mode);\n        self.counts.update(|_| counts);",
    } Sound: threads(&[(1, &READ), (1, &READ)])
        => "the ledger says HeldShared(1), the model Unlocked";

    unguarded_hold_ends_with_the_last_handle in ledger {
        "    _ledger: Arc<Ledger>," => "    _ledger: super::sync::Weak<Ledger>,",
        "_ledger: Arc::clone(ledger)" => "_ledger: Arc::downgrade(ledger)",
    } Sound: threads(&[(1, &[Acquire(Exclusive, Forever), DropHandle, Release])])
        => "unlocks a hold that is in the ledger or does not exist";
}
