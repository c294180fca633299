//! Replays the inputs that are kept of each fuzz target: `cargo test --no-default-features` in `fuzz/`.

#[path = "../targets/mod.rs"]
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use targets::TARGETS;

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn names(directory: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(here(directory)).expect("the directory is in the repository");
    let paths = entries.map(|entry| entry.expect("it can be listed").path());
    paths.map(|path| path.file_stem().expect("it has a name").to_string_lossy().into()).collect()
}

#[test]
fn every_target_has_a_program_and_a_corpus() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).into()).collect();
    assert_eq!(names("fuzz_targets"), targets);
    assert_eq!(names("corpus"), targets);
    assert_eq!(REPLAYED.iter().map(|name| (*name).into()).collect::<BTreeSet<String>>(), targets);
}

/// Replays one corpus, and names the input that fails.
fn replay(target: &str) {
    let (_, run) =
        TARGETS.iter().find(|(name, _)| *name == target).expect("there is such a target");
    let mut inputs = 0;
    for entry in fs::read_dir(here("corpus").join(target)).expect("there is a corpus") {
        let path = entry.expect("it can be listed").path();
        let input = fs::read(&path).expect("it can be read");
        let result = std::panic::catch_unwind(|| run(&input));
        assert!(result.is_ok(), "{} fails", path.display());
        inputs += 1;
    }
    assert!(inputs > 0, "the corpus of {target} is empty");
}

macro_rules! replays {
    ($($target:ident)*) => {
        const REPLAYED: &[&str] = &[$(stringify!($target)),*];
        $(
            #[test]
            fn $target() {
                replay(stringify!($target));
            }
        )*
    };
}

replays! { command_line duration fdinfo flock_numbers history locks mountinfo operations process_stat threads }
