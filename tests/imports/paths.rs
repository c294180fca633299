//! The paths in the code of a file.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

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
    let mut code = Code::default();
    code.read(&trees(text.parse().expect("it compiles")));
    let mut parsed = Parsed::default();
    for (path, name, is_reexport) in code.uses {
        let Some(path) = absolute(&path, module, all, &parsed) else { continue };
        parsed.names.entry(name).or_default().push(path.clone());
        parsed.imports.push(Import { path, is_reexport });
    }
    for path in code.expressions {
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

/// The paths in code.
#[derive(Default)]
struct Code {
    /// Each path of a `use`, the name that it gets here, and whether it is public.
    uses: Vec<(Vec<String>, String, bool)>,
    /// The names that `::` joins elsewhere.
    expressions: Vec<Vec<String>>,
}

impl Code {
    /// Reads code. Items that are compiled for tests only are left out.
    fn read(&mut self, code: &[TokenTree]) {
        let (mut at, mut is_public) = (0, false);
        while let Some(tree) = code.get(at) {
            at += 1;
            let was_public = std::mem::take(&mut is_public);
            match tree {
                TokenTree::Punct(mark) if mark.as_char() == '#' => {
                    at += usize::from(is_mark(code.get(at), '!'));
                    let Some(TokenTree::Group(attribute)) = code.get(at) else { continue };
                    at += 1;
                    if is_for_tests(attribute) {
                        at += item_length(&code[at..]);
                    }
                }
                TokenTree::Group(group) => self.read(&trees(group.stream())),
                TokenTree::Ident(name) if name == "pub" => {
                    is_public = true;
                    at += usize::from(matches!(code.get(at), Some(TokenTree::Group(_))));
                }
                TokenTree::Ident(name) if name == "use" => {
                    let length = code[at..].iter().position(|it| is_mark(Some(it), ';'));
                    let length = length.expect("a use ends");
                    self.read_use(&code[at..at + length], &[], was_public);
                    at += length;
                }
                TokenTree::Ident(name) => {
                    let mut path = vec![name.to_string()];
                    while let [colon, second, TokenTree::Ident(name), ..] = &code[at..] {
                        if !is_mark(Some(colon), ':') || !is_mark(Some(second), ':') {
                            break;
                        }
                        path.push(name.to_string());
                        at += 3;
                    }
                    self.expressions.extend(Some(path).filter(|path| path.len() > 1));
                }
                _ => {}
            }
        }
    }

    /// Reads the tree of a `use`, from behind the word to its semicolon.
    fn read_use(&mut self, tree: &[TokenTree], before: &[String], is_public: bool) {
        for branch in tree.split(|it| is_mark(Some(it), ',')).filter(|it| !it.is_empty()) {
            let mut path = before.to_vec();
            let mut name = None;
            for part in branch {
                match part {
                    TokenTree::Group(group) => {
                        self.read_use(&trees(group.stream()), &path, is_public);
                    }
                    // `a::{self}` is `a`, and of `a::*` the file of `a` is all that can be told.
                    TokenTree::Ident(part) if part == "self" && !path.is_empty() => {}
                    TokenTree::Ident(part) if part == "as" => name = Some(String::new()),
                    TokenTree::Ident(part) if name.is_some() => name = Some(part.to_string()),
                    TokenTree::Ident(part) => path.push(part.to_string()),
                    _ => {}
                }
            }
            if !matches!(branch.last(), Some(TokenTree::Group(_))) {
                let name = name.or_else(|| path.last().cloned()).unwrap_or_default();
                self.uses.push((path, name, is_public));
            }
        }
    }
}

fn trees(code: TokenStream) -> Vec<TokenTree> {
    code.into_iter().collect()
}

fn is_mark(tree: Option<&TokenTree>, mark: char) -> bool {
    matches!(tree, Some(TokenTree::Punct(it)) if it.as_char() == mark)
}

fn is_for_tests(attribute: &Group) -> bool {
    let text = attribute.to_string();
    let has = |word| text.split(|it: char| it != '_' && !it.is_alphanumeric()).any(|it| it == word);
    has("cfg") && has("test") && !has("not")
}

/// Counts the trees of an item: to the end of its block or to its semicolon.
fn item_length(code: &[TokenTree]) -> usize {
    let is_block = |tree: &TokenTree| matches!(tree, TokenTree::Group(it) if it.delimiter() == Delimiter::Brace);
    let is_end = |(at, tree): (usize, &TokenTree)| {
        is_mark(Some(tree), ';') || is_block(tree) && !is_mark(code.get(at + 1), ';')
    };
    code.iter().enumerate().position(is_end).map_or(code.len(), |end| end + 1)
}
