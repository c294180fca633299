//! The paths in the code of a file.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::Spacing::Joint;
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// What a file names of the crate. Paths begin at the crate's root.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) imports: Vec<Import>,
    /// What each name that a `use` brings in stands for: several paths where each platform has its own.
    pub(crate) names: BTreeMap<String, Vec<Vec<String>>>,
}

#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) path: Vec<String>,
    pub(crate) is_reexport: bool,
}

/// Reads the file of `module`; `all` are the modules that have files.
pub(crate) fn parse(text: &str, module: &[String], all: &BTreeSet<Vec<String>>) -> Parsed {
    let mut all_tokens = Vec::new();
    tokens(text.parse().expect("it compiles"), &mut all_tokens);
    let code = without_tests(&all_tokens);
    let tokens: Vec<&str> = code.iter().map(String::as_str).collect();
    let mut parsed = Parsed::default();
    let mut rest = Vec::new();
    let (mut at, mut is_public) = (0, false);
    while let Some(&token) = tokens.get(at) {
        at += 1;
        match token {
            "pub" => {
                is_public = true;
                if tokens.get(at) == Some(&"(") {
                    at += tokens[at..].iter().position(|&it| it == ")").map_or(0, |end| end + 1);
                }
            }
            "use" => {
                let mut tree = Tree { tokens: &tokens, at, leaves: Vec::new() };
                tree.read(&[]);
                at = tree.at;
                for (path, name) in tree.leaves {
                    let Some(path) = absolute(&path, module, all, &parsed) else { continue };
                    parsed.names.entry(name).or_default().push(path.clone());
                    parsed.imports.push(Import { path, is_reexport: is_public });
                }
                is_public = false;
            }
            _ => {
                rest.push(token);
                is_public = false;
            }
        }
    }
    for path in expressions(&rest) {
        let path = absolute(&path, module, all, &parsed);
        parsed.imports.extend(path.map(|path| Import { path, is_reexport: false }));
    }
    parsed
}

/// Returns the path from the crate's root; `None` if it leads out of the crate or to a local name.
fn absolute(
    path: &[String],
    module: &[String],
    all: &BTreeSet<Vec<String>>,
    parsed: &Parsed,
) -> Option<Vec<String>> {
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some([module, rest].concat()),
        "super" => {
            let levels = path.iter().take_while(|it| *it == "super").count();
            let length = module.len().checked_sub(levels)?;
            Some([&module[..length], &path[levels..]].concat())
        }
        name => {
            let child = [module, &path[..1]].concat();
            if all.contains(&child) {
                return Some([module, path].concat());
            }
            let [target] = parsed.names.get(name)?.as_slice() else { return None };
            Some([target, rest].concat())
        }
    }
}

/// Returns the paths in code: names that `::` joins.
fn expressions(tokens: &[&str]) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let mut path = vec![tokens[at].to_owned()];
        while tokens.get(at + 1) == Some(&"::") && tokens.get(at + 2).is_some_and(|it| is_name(it))
        {
            path.push(tokens[at + 2].to_owned());
            at += 2;
        }
        if path.len() > 1 {
            paths.push(path);
        }
        at += 1;
    }
    paths
}

/// The tree of a `use`, from behind the word to its semicolon.
struct Tree<'a> {
    tokens: &'a [&'a str],
    at: usize,
    /// Each path, and the name that it gets here.
    leaves: Vec<(Vec<String>, String)>,
}

impl Tree<'_> {
    fn read(&mut self, before: &[String]) {
        let mut path = before.to_vec();
        let mut name = None;
        while let Some(&token) = self.tokens.get(self.at) {
            match token {
                ";" | "," | "}" => break,
                "{" => {
                    while matches!(self.tokens.get(self.at), Some(&("{" | ","))) {
                        self.at += 1;
                        self.read(&path);
                    }
                    self.at += 1;
                    return;
                }
                "as" => {
                    name = self.tokens.get(self.at + 1).map(ToString::to_string);
                    self.at += 1;
                }
                // `a::{self}` is `a`, and of `a::*` the file of `a` is all that can be told.
                "self" if !path.is_empty() => {}
                "::" | "*" => {}
                part => path.push(part.to_owned()),
            }
            self.at += 1;
        }
        if path.len() > before.len() || self.tokens.get(self.at.wrapping_sub(1)) != Some(&",") {
            let name = name.or_else(|| path.last().cloned()).unwrap_or_default();
            self.leaves.push((path, name));
        }
    }
}

/// Leaves out the items that are compiled for tests only.
fn without_tests(tokens: &[String]) -> Vec<String> {
    let mut code = Vec::new();
    let mut rest = tokens;
    while let Some((token, after)) = rest.split_first() {
        rest = after;
        if token == "#" && rest.first().is_some_and(|it| it == "[") {
            let end = rest.iter().position(|it| it == "]").unwrap_or(rest.len() - 1);
            let (attribute, after) = rest.split_at(end + 1);
            rest = after;
            let has = |word: &str| attribute.iter().any(|it| it == word);
            if has("cfg") && has("test") && !has("not") {
                rest = &rest[item_length(rest)..];
            }
            continue;
        }
        code.push(token.clone());
    }
    code
}

/// Counts the tokens of an item: to the end of its block or to its semicolon.
fn item_length(tokens: &[String]) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" => depth += 1,
            "}" if depth == 1 && tokens.get(at + 1).is_none_or(|next| next != ";") => {
                return at + 1;
            }
            "}" => depth -= 1,
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Splits code into names, `::` and other characters, without comments. A text is one token, as is a lifetime.
fn tokens(code: TokenStream, tokens: &mut Vec<String>) {
    let mut trees = code.into_iter();
    while let Some(tree) = trees.next() {
        match tree {
            TokenTree::Group(group) => {
                let [begin, end] = match group.delimiter() {
                    Delimiter::Parenthesis => ["(", ")"],
                    Delimiter::Brace => ["{", "}"],
                    Delimiter::Bracket => ["[", "]"],
                    Delimiter::None => ["", ""],
                };
                tokens.push(begin.into());
                self::tokens(group.stream(), tokens);
                tokens.push(end.into());
            }
            TokenTree::Punct(mark) if mark.as_char() == ':' && mark.spacing() == Joint => {
                // The second of the two.
                trees.next();
                tokens.push("::".into());
            }
            other => tokens.push(other.to_string()),
        }
    }
}
