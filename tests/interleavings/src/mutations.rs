// Bugs to seed in the shipped files, as edits of their text. `build.rs` includes this file too, so it refers to no
// other module.

/// One bug: texts that stand in a file exactly once each, and their replacements.
pub(crate) struct Mutation {
    pub(crate) name: &'static str,
    pub(crate) file: &'static str,
    pub(crate) edits: &'static [(&'static str, &'static str)],
}

pub(crate) const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "fork_counted_only_after_its_end",
        file: "fork_count",
        edits: &[
            ("        self.begun.fetch_add(1, AcqRel);\n", ""),
            (
                "        let next = |ended| (ended",
                "        self.begun.fetch_add(1, AcqRel);\n        let next = |ended| (ended",
            ),
        ],
    },
    Mutation {
        name: "unfinished_fork_not_counted",
        file: "fork_count",
        edits: &[("(begun == ended).then_some(begun)", "(begun >= ended).then_some(begun)")],
    },
    Mutation {
        name: "finished_fork_not_counted",
        file: "fork_count",
        edits: &[(
            "seen.0 != Some(self.begun.load(Acquire))",
            "seen.0.is_none() || self.begun.load(Acquire) != self.ended.load(Acquire)",
        )],
    },
    Mutation {
        name: "identity_not_checked",
        file: "acquire",
        edits: &[
            ("if granted && !matches!(answer, Ok(true)) {", "if granted && answer.is_err() {"),
            ("(false, _) => return", "(false, false) => return"),
            ("(true, true) => return", "(_, true) => return"),
        ],
    },
    Mutation {
        name: "timed_out_on_a_replaced_file",
        file: "acquire",
        edits: &[
            ("(false, _) => return", "(false, true) => return"),
            ("(true, false) if is_last", "(_, false) if is_last"),
            ("            (true, false) => {}", "            (_, false) => {}"),
        ],
    },
    Mutation {
        name: "waits_without_checking_identity",
        file: "acquire",
        edits: &[
            ("(false, _) => return", "(false, _) if granted || is_last => return"),
            ("            (true, false) => {}", "            (_, _) => {}"),
        ],
    },
    Mutation {
        name: "identity_not_checked_after_a_wait",
        file: "acquire",
        edits: &[(
            "WaitOutcome::Granted if is_current(true)? =>",
            "WaitOutcome::Granted if true =>",
        )],
    },
    Mutation {
        name: "no_attempt_at_the_deadline",
        file: "acquire",
        edits: &[("(true, false) if is_last", "(true, false) if is_last || deadline.has_passed()")],
    },
    Mutation {
        name: "woken_waiter_counts_as_granted",
        file: "acquire",
        edits: &[(
            "WaitOutcome::Woken => is_last = deadline.has_passed(),",
            "WaitOutcome::Woken => return Ok(Outcome::Granted),",
        )],
    },
    Mutation {
        name: "deadline_restarts_for_each_file",
        file: "acquire",
        edits: &[(
            "        let is_current = |granted: bool| {",
            "        let deadline: &Deadline = { let _ = deadline; Box::leak(Box::new(Deadline::after(options.timeout))) };\n        let is_current = |granted: bool| {",
        )],
    },
    Mutation {
        name: "unlocked_before_removed_from_the_ledger",
        file: "release",
        edits: &[(
            "    ledger.remove(hold.mode);\n    end(ledger, hold)",
            "    let mode = hold.mode;\n    let ended = end(ledger, hold);\n    ledger.remove(mode);\n    ended",
        )],
    },
    Mutation {
        name: "failed_unlock_not_recorded",
        file: "release",
        edits: &[("            ledger.fail_release();", "")],
    },
    Mutation {
        name: "file_reused_after_a_failed_unlock",
        file: "release",
        edits: &[(
            "            drop(hold); // Closed, so unlocked: the hold ends nevertheless (L6).",
            "            ledger.put_idle(hold.file);",
        )],
    },
    Mutation {
        name: "unlock_skipped",
        file: "release",
        edits: &[(
            "    match retry_on_intr(&Deadline::Passed, || Os::unlock(&hold.file)) {",
            "    match Ok::<(), super::os::platform::OsError>(()) {",
        )],
    },
    Mutation {
        name: "guard_released_by_release",
        file: "ledger",
        edits: &[(
            "            None => self.fail_release(),",
            "            None => self.counts.update(|_| HoldCounts::RELEASED_ERROR),",
        )],
    },
    Mutation {
        name: "released_error_not_set",
        file: "ledger",
        edits: &[("if self == Self::UNLOCKED { Self::RELEASED_ERROR } else { self }", "self")],
    },
    Mutation {
        name: "released_error_not_cleared",
        file: "ledger",
        edits: &[(
            "            if self == Self::RELEASED_ERROR { Self::UNLOCKED } else { self };",
            "            self;",
        )],
    },
    Mutation {
        name: "shared_counted_as_exclusive",
        file: "ledger",
        edits: &[(
            "Mode::Shared => Self { exclusive, shared: shared.wrapping_add(1) },",
            "Mode::Shared => Self { exclusive: exclusive.wrapping_add(1), shared },",
        )],
    },
    Mutation {
        name: "release_ends_the_newest_hold",
        file: "ledger",
        edits: &[("unguarded.pop_front()", "unguarded.pop_back()")],
    },
    Mutation {
        name: "surplus_file_leaked",
        file: "ledger",
        edits: &[("let _surplus = self.idle.put(file);", "std::mem::forget(self.idle.put(file));")],
    },
    Mutation {
        name: "downgraded_before_the_ledger_records_it",
        file: "release",
        edits: &[
            ("    ledger.begin_downgrade();\n", ""),
            (
                "            hold.mode = Mode::Shared;\n",
                "            ledger.begin_downgrade();\n            hold.mode = Mode::Shared;\n",
            ),
        ],
    },
    Mutation {
        name: "failed_downgrade_removes_the_hold",
        file: "ledger",
        edits: &[(
            "counts.remove(Mode::Shared).add(Mode::Exclusive)",
            "counts.remove(Mode::Shared)",
        )],
    },
    Mutation {
        name: "idle_file_kept_after_revocation",
        file: "ledger",
        edits: &[("            drop(self.idle.take());", "")],
    },
    Mutation {
        name: "two_ledgers_of_one_path",
        file: "registry",
        edits: &[("        self.by_path.insert(spelling, &ledger);", "        let _ = spelling;")],
    },
    Mutation {
        name: "hold_added_in_two_steps",
        file: "ledger",
        edits: &[(
            "        let mut unguarded = ledger.unguarded.lock();\n        ledger.add(&hold);",
            "        ledger.add(&hold);\n        let mut unguarded = ledger.unguarded.lock();",
        )],
    },
    Mutation {
        name: "hold_removed_in_two_steps",
        file: "ledger",
        edits: &[(
            "self.counts.update(|counts| counts.remove(mode));",
            "let counts = self.counts.get().remove(mode);\n        self.counts.update(|_| counts);",
        )],
    },
    Mutation {
        name: "unguarded_hold_ends_with_the_last_handle",
        file: "ledger",
        edits: &[
            ("    _ledger: Arc<Ledger>,", "    _ledger: super::sync::Weak<Ledger>,"),
            ("_ledger: Arc::clone(ledger)", "_ledger: Arc::downgrade(ledger)"),
        ],
    },
];
