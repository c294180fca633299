// Bugs to seed in the shipped files, as edits of their text. This file is a part of `build.rs`
// too, so it names nothing outside itself.

/// One bug: texts in a file, each of which is there once, and what stands there instead.
pub(crate) struct Mutation {
    pub(crate) name: &'static str,
    pub(crate) file: &'static str,
    pub(crate) edits: &'static [(&'static str, &'static str)],
}

pub(crate) const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "fork_counts_from_its_end",
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
        name: "fork_that_goes_on_is_forgotten",
        file: "fork_count",
        edits: &[("(begun == ended).then_some(begun)", "(begun >= ended).then_some(begun)")],
    },
    Mutation {
        name: "fork_ends_before_it_is_looked_for",
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
            ("(true, false) if last", "(_, false) if last"),
            ("            (true, false) => {}", "            (_, false) => {}"),
        ],
    },
    Mutation {
        name: "sleeps_without_looking",
        file: "acquire",
        edits: &[
            ("(false, _) => return", "(false, _) if granted || last => return"),
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
        name: "no_last_attempt",
        file: "acquire",
        edits: &[("(true, false) if last", "(true, false) if last || deadline.has_passed()")],
    },
    Mutation {
        name: "wait_taken_for_granted",
        file: "acquire",
        edits: &[(
            "WaitOutcome::Woken => last = deadline.has_passed(),",
            "WaitOutcome::Woken => return Ok(Outcome::Granted),",
        )],
    },
    Mutation {
        name: "deadline_anew_for_each_file",
        file: "acquire",
        edits: &[(
            "        let is_current = |granted: bool| {",
            "        let deadline: &Deadline = { let _ = deadline; Box::leak(Box::new(Deadline::after(options.timeout))) };\n        let is_current = |granted: bool| {",
        )],
    },
    Mutation {
        name: "released_before_it_is_taken",
        file: "release",
        edits: &[(
            "    ledger.remove(hold.mode);\n    end(ledger, hold)",
            "    let mode = hold.mode;\n    let ended = end(ledger, hold);\n    ledger.remove(mode);\n    ended",
        )],
    },
    Mutation {
        name: "refusal_not_recorded",
        file: "release",
        edits: &[("            ledger.fail_release();", "")],
    },
    Mutation {
        name: "refused_descriptor_reused",
        file: "release",
        edits: &[(
            "            drop(hold); // Closed, so unlocked: the hold ends nevertheless (L6).",
            "            ledger.put_idle(hold.file);",
        )],
    },
    Mutation {
        name: "unlock_forgotten",
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
        name: "error_forgotten",
        file: "ledger",
        edits: &[("if self == Self::UNLOCKED { Self::RELEASED_ERROR } else { self }", "self")],
    },
    Mutation {
        name: "error_remembered_too_long",
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
        name: "newest_kept_hold_first",
        file: "ledger",
        edits: &[("unguarded.pop_front()", "unguarded.pop_back()")],
    },
    Mutation {
        name: "surplus_descriptor_left_open",
        file: "ledger",
        edits: &[("let _surplus = self.idle.put(file);", "std::mem::forget(self.idle.put(file));")],
    },
    Mutation {
        name: "downgraded_before_it_is_lowered",
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
        name: "refused_downgrade_forgets_the_hold",
        file: "ledger",
        edits: &[(
            "counts.remove(Mode::Shared).add(Mode::Exclusive)",
            "counts.remove(Mode::Shared)",
        )],
    },
    Mutation {
        name: "idle_descriptor_left_to_a_dismissed_ledger",
        file: "ledger",
        edits: &[("            drop(self.idle.take());", "")],
    },
    Mutation {
        name: "two_ledgers_of_one_path",
        file: "registry",
        edits: &[("        self.by_path.insert(spelling, &ledger);", "        let _ = spelling;")],
    },
    Mutation {
        name: "entered_in_two_steps",
        file: "ledger",
        edits: &[(
            "        let mut unguarded = ledger.unguarded.lock();\n        ledger.add(&hold);",
            "        ledger.add(&hold);\n        let mut unguarded = ledger.unguarded.lock();",
        )],
    },
    Mutation {
        name: "left_in_two_steps",
        file: "ledger",
        edits: &[(
            "self.counts.update(|counts| counts.remove(mode));",
            "let counts = self.counts.get().remove(mode);\n        self.counts.update(|_| counts);",
        )],
    },
    Mutation {
        name: "kept_hold_dies_with_the_last_handle",
        file: "ledger",
        edits: &[
            ("    _ledger: Arc<Ledger>,", "    _ledger: super::sync::Weak<Ledger>,"),
            ("_ledger: Arc::clone(ledger)", "_ledger: Arc::downgrade(ledger)"),
        ],
    },
];
