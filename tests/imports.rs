//! The files of the library import each other without a cycle.
//!
//! A file imports another one where a path in its code leads there: in a `use` or in an expression, through
//! re-exports, for every platform. Not imports: `mod` declarations, re-exports in `mod.rs` and `lib.rs`, tests.

#[path = "imports/paths.rs"]
mod paths;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use paths::{Parsed, parse};

/// The text of each file, by its path below `src`, with `/` on all systems.
type Sources = BTreeMap<String, String>;

/// The files that each file imports.
type Graph = BTreeMap<String, BTreeSet<String>>;

#[test]
fn the_library_has_no_circle_of_imports() {
    let sources = library();
    let graph = graph(&sources);
    let edges: usize = graph.values().map(BTreeSet::len).sum();
    assert!(sources.len() > 30 && edges > 100, "{} files, {edges} imports", sources.len());
    // One import of each kind: through `super::`, through a re-export, and in an expression.
    for (from, to) in [
        ("report/linux/file.rs", "report/linux/table.rs"),
        ("guard.rs", "report/hint.rs"),
        ("report/unix_hints.rs", "report/linux/mounts.rs"),
    ] {
        assert!(graph[from].contains(to), "{from} imports {:?}", graph[from]);
    }
    assert_eq!(cycle(&graph), None);
}

/// In a copy of the library.
#[test]
fn a_seeded_circle_is_found_and_printed() {
    for (file, line) in [
        ("ledger.rs", "use super::acquire::acquire;"),
        ("ledger.rs", "use crate::{acquire::{acquire as take}};"),
        // `Lock` is re-exported by lib.rs.
        ("ledger.rs", "fn new() { let _lock = crate::Lock::new(\"a\"); }"),
        // `query` is re-exported by report/mod.rs, from report/linux.rs and others.
        ("report/linux/table.rs", "use crate::report; fn ask() { report::query(); }"),
        ("report/linux/table.rs", "use super::file::*;"),
        ("deadline.rs", "use crate::os::platform;"),
    ] {
        let mut sources = library();
        sources.get_mut(file).expect("the file is there").insert_str(0, &format!("{line}\n"));
        let cycle = cycle(&graph(&sources)).unwrap_or_else(|| panic!("missed: {file}: {line}"));
        assert!(cycle.contains(file), "{line}: {cycle}");
    }
}

#[test]
fn a_path_that_is_no_import_makes_no_circle() {
    for line in [
        "/// See [`crate::Lock`].\nconst _: () = ();",
        "#[cfg(test)]\nmod seeded {\n    use super::super::acquire::*;\n}",
        "#[cfg(all(test, unix))]\nuse super::acquire::acquire;",
        "pub(in crate::ledger) struct Seeded<'a>(&'a u8);",
    ] {
        let mut sources = library();
        sources.get_mut("ledger.rs").expect("the file is there").extend(["\n", line, "\n"]);
        assert_eq!(cycle(&graph(&sources)), None, "{line}");
    }
}

/// Reads `src` without the command.
fn library() -> Sources {
    fn read(dir: &Path, below: &str, sources: &mut Sources) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = format!("{below}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                if name != "bin" {
                    read(&entry.path(), &format!("{name}/"), sources)?;
                }
            } else if !name.ends_with("/tests.rs") {
                // There are no files but Rust's.
                sources.insert(name, fs::read_to_string(entry.path())?);
            }
        }
        Ok(())
    }
    let mut sources = Sources::new();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src");
    read(&src, "", &mut sources).expect("the sources can be read");
    sources
}

/// Returns the module of a file: `report/linux.rs` and `report/linux/mod.rs` are `[report, linux]`.
fn module(file: &str) -> Vec<String> {
    let path = file.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(if path == "lib" { "" } else { path });
    path.split('/').filter(|name| !name.is_empty()).map(String::from).collect()
}

struct Modules(BTreeMap<Vec<String>, (String, Parsed)>);

impl Modules {
    /// Adds the files that a path leads to: several where a name is imported anew on each platform.
    ///
    /// `seen` holds the paths that were followed already: names of two modules may refer to each other.
    fn follow(
        &self,
        path: &[String],
        seen: &mut BTreeSet<Vec<String>>,
        files: &mut BTreeSet<String>,
    ) {
        if !seen.insert(path.to_vec()) {
            return;
        }
        // The longest beginning of the path that is a module with a file.
        let length = (0..=path.len()).rev().find(|&length| self.0.contains_key(&path[..length]));
        let Some(length) = length else { return };
        let (file, parsed) = &self.0[&path[..length]];
        let names = path.get(length).and_then(|name| parsed.names.get(name));
        let Some(targets) = names else {
            files.insert(file.clone());
            return;
        };
        for target in targets {
            self.follow(&[target, &path[length + 1..]].concat(), seen, files);
        }
    }
}

fn graph(sources: &Sources) -> Graph {
    let all: BTreeSet<Vec<String>> = sources.keys().map(|file| module(file)).collect();
    let parsed = |(file, text): (&String, &String)| {
        let module = module(file);
        let parsed = parse(text, &module, &all);
        (module, (file.clone(), parsed))
    };
    let modules = Modules(sources.iter().map(parsed).collect());
    let mut graph = Graph::new();
    for (file, parsed) in modules.0.values() {
        let declares = file == "lib.rs" || file.ends_with("mod.rs");
        let mut files = BTreeSet::new();
        for import in parsed.imports.iter().filter(|import| !(declares && import.is_reexport)) {
            modules.follow(&import.path, &mut BTreeSet::new(), &mut files);
        }
        files.remove(file);
        graph.insert(file.clone(), files);
    }
    graph
}

/// Returns a cycle as `a.rs -> b.rs -> a.rs`, if there is one.
fn cycle(graph: &Graph) -> Option<String> {
    fn visit<'a>(
        file: &'a str,
        graph: &'a Graph,
        path: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
    ) -> Option<String> {
        if let Some(start) = path.iter().position(|&earlier| earlier == file) {
            return Some([&path[start..], &[file]].concat().join(" -> "));
        }
        if done.contains(file) {
            return None;
        }
        path.push(file);
        let found = graph[file].iter().find_map(|next| visit(next, graph, path, done));
        path.pop();
        done.insert(file);
        found
    }
    let mut done = BTreeSet::new();
    graph.keys().find_map(|file| visit(file, graph, &mut Vec::new(), &mut done))
}
