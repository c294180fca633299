//! Generates the subjects that loom checks: the shipped source files, and copies with one bug each.
//!
//! A bug is a textual edit of a shipped file. If the text does not stand there exactly once, the build fails. Otherwise a
//! seeded bug could become correct code unnoticed.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

/// One bug: texts that stand in a file exactly once each, and their replacements.
struct Mutation {
    name: &'static str,
    file: &'static str,
    edits: &'static [(&'static str, &'static str)],
}

/// Takes the edits only. The tests take the rest.
macro_rules! mutations {
    ($($name:ident in $file:ident { $($from:literal => $to:literal,)* }
        $kernel:ident: $actors:expr => $verdict:literal;)*) => {
        const MUTATIONS: &[Mutation] = &[$(Mutation {
            name: stringify!($name),
            file: stringify!($file),
            edits: &[$(($from, $to)),*],
        }),*];
    };
}

include!("src/mutations.rs");

/// The files under test. They refer to each other, and to the rest of the library, by `super::`.
const CHECKED: [&str; 6] = ["fork_count", "registry", "idle", "ledger", "acquire", "release"];

fn main() {
    let src = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("set by Cargo")).join("../../src");
    let src = src.canonicalize().expect("the library's sources are two directories up");
    let out = env::var("OUT_DIR").expect("set by Cargo");
    println!("cargo::rerun-if-changed={}", src.display());
    println!("cargo::rerun-if-changed=src/mutations.rs");

    let mut subjects = String::new();
    module(&mut subjects, "shipped", &src, Path::new(""), None);
    for mutation in MUTATIONS {
        let path = src.join(mutation.file).with_extension("rs");
        let text = fs::read_to_string(&path).expect("a checked file can be read");
        let changed_text = mutation.edits.iter().fold(text, |text, (from, to)| {
            let name = mutation.name;
            assert_eq!(
                text.matches(from).count(),
                1,
                "{name}: does not stand there exactly once: {from}"
            );
            text.replace(from, to)
        });
        let changed = Path::new(&out).join(mutation.name).with_extension("rs");
        fs::write(&changed, changed_text).expect("OUT_DIR should be writable");
        module(&mut subjects, mutation.name, &src, &changed, Some(mutation.file));
    }
    fs::write(Path::new(&out).join("subjects.rs"), subjects).expect("OUT_DIR should be writable");
}

fn module(into: &mut String, name: &str, src: &Path, changed: &Path, which: Option<&str>) {
    let mut write = |text: String| into.write_str(&text).expect("a String takes what it is given");
    write(format!("pub(crate) mod {name} {{\n"));
    write(
        "    use crate::{deadline, error, fairness, observer, options, os, report, sync, weak_map};\n"
            .into(),
    );
    for file in CHECKED {
        let shipped = src.join(file).with_extension("rs");
        let path = if which == Some(file) { changed } else { &shipped };
        let path = path.display();
        write(format!("    #[path = r\"{path}\"]\n    pub(crate) mod {file};\n"));
    }
    write("    crate::subject!();\n}\n".into());
}
