//! The imports of a crate, read from its source: for each file, the files whose items it uses. The reader understands as much of Rust's
//! syntax as that takes.
//!
//! A name that a file only re-exports (`pub use`) is traced to the file that defines it. The output of macros is not seen. Imports of
//! `mod tests` are left out, since tests may import anything.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// The path of a module, from the crate's root.
type Module = Vec<String>;

/// A file that uses an item of another file. Paths are relative to `src/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Import {
    pub from: String,
    pub to: String,
    /// The path of the item as it is written, but without braces: `crate::session::Client`.
    pub path: String,
}

/// The files of a crate and their modules.
#[derive(Default)]
pub struct Crate {
    /// The files by their paths relative to `src/`.
    pub files: BTreeSet<String>,
    /// The file of each module.
    modules: BTreeMap<Module, String>,
    /// The names that each module's `use` lines import, with the paths that they stand for.
    names: BTreeMap<Module, BTreeMap<String, Vec<String>>>,
    /// The paths that occur in each module, in `use` lines and elsewhere.
    paths: Vec<(Module, Vec<String>)>,
}

impl Crate {
    /// Reads the files below `src`.
    pub fn read(src: &Path) -> Crate {
        let mut files = Vec::new();
        let mut directories = vec![src.to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display())) {
                let path = entry.expect("the directory can be read").path();
                if path.is_dir() {
                    directories.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                    let relative =
                        path.strip_prefix(src).expect("the file is below src").to_str().expect("file names are UTF-8");
                    files.push((relative.to_owned(), text));
                }
            }
        }
        Crate::of(files.iter().map(|(path, text)| (&**path, &**text)))
    }

    /// A crate of these files: the path relative to `src/`, and the text.
    pub fn of<'t>(files: impl IntoIterator<Item = (&'t str, &'t str)>) -> Crate {
        let mut read = Crate::default();
        for (path, text) in files {
            read.files.insert(path.to_owned());
            read.add(path, module_of(path), &tokens(text));
        }
        read
    }

    /// Every import of one file from another, once.
    pub fn imports(&self) -> BTreeSet<Import> {
        let mut imports = BTreeSet::new();
        for (module, path) in &self.paths {
            let from = &self.modules[module];
            if let Some(to) = self.resolve(module, path, 0).filter(|to| to != from) {
                imports.insert(Import { from: from.clone(), to, path: path.join("::") });
            }
        }
        imports
    }

    fn add(&mut self, file: &str, module: Module, tokens: &[String]) {
        self.modules.insert(module.clone(), file.to_owned());
        let mut module = module;
        // For each open brace, whether it opens an inline module.
        let mut braces = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            let next = |ahead: usize| tokens.get(at + ahead).map_or("", |token| token.as_str());
            match tokens[at].as_str() {
                "mod" if next(1) == "tests" && next(2) == "{" => at = behind_braces(tokens, at + 2),
                "mod" if is_name(next(1)) && next(2) == "{" => {
                    module.push(next(1).to_owned());
                    self.modules.insert(module.clone(), file.to_owned());
                    braces.push(true);
                    at += 3;
                }
                // `use<'a>` is a bound.
                "use" if next(1) != "<" => {
                    at = self.add_use(&module, Vec::new(), tokens, at + 1);
                }
                "{" => {
                    braces.push(false);
                    at += 1;
                }
                "}" => {
                    if braces.pop() == Some(true) {
                        module.pop();
                    }
                    at += 1;
                }
                first if is_name(first) && next(1) == "::" => {
                    let mut path = vec![first.to_owned()];
                    at += 1;
                    while at + 1 < tokens.len() && tokens[at] == "::" && is_name(&tokens[at + 1]) {
                        path.push(tokens[at + 1].clone());
                        at += 2;
                    }
                    self.paths.push((module.clone(), path));
                }
                _ => at += 1,
            }
        }
    }

    /// Reads a tree of a `use` line, up to its end.
    fn add_use(&mut self, module: &Module, before: Vec<String>, tokens: &[String], mut at: usize) -> usize {
        let mut path = before;
        while at < tokens.len() {
            match tokens[at].as_str() {
                "{" => {
                    at += 1;
                    while at < tokens.len() && tokens[at] != "}" {
                        at = self.add_use(module, path.clone(), tokens, at);
                        at += usize::from(tokens.get(at).is_some_and(|token| token == ","));
                    }
                    return at + 1;
                }
                "}" | "," | ";" => break,
                "as" => {
                    self.add_name(module, tokens[at + 1].clone(), path);
                    return at + 2;
                }
                // The end of a tree: `a::{self, b}`.
                "self" if !path.is_empty() => at += 1,
                "::" | "*" => at += 1,
                name => {
                    path.push(name.to_owned());
                    at += 1;
                }
            }
        }
        if let Some(last) = path.last().cloned() {
            self.add_name(module, last, path);
        }
        at
    }

    fn add_name(&mut self, module: &Module, name: String, path: Vec<String>) {
        self.names.entry(module.clone()).or_default().insert(name, path.clone());
        self.paths.push((module.clone(), path));
    }

    /// The file that defines the item at a path in a module, or none if the path leads out of the crate.
    fn resolve(&self, module: &Module, path: &[String], depth: usize) -> Option<String> {
        let mut at = module.clone();
        for (index, name) in path.iter().enumerate() {
            match name.as_str() {
                "crate" => at.clear(),
                "self" => {}
                "super" => drop(at.pop()),
                name => {
                    let child: Module = at.iter().cloned().chain([name.to_owned()]).collect();
                    if self.modules.contains_key(&child) {
                        at = child;
                        continue;
                    }
                    let passed_on = self.names.get(&at).and_then(|names| names.get(name));
                    match passed_on {
                        // A `use` of an external crate imports the crate's name itself.
                        Some(meant) if depth < 8 && !(at == *module && meant[..] == path[..=index]) => {
                            let whole: Vec<String> = meant.iter().chain(&path[index + 1..]).cloned().collect();
                            return self.resolve(&at, &whole, depth + 1);
                        }
                        _ if index == 0 => return None,
                        _ => break,
                    }
                }
            }
        }
        self.modules.get(&at).cloned()
    }
}

fn module_of(path: &str) -> Module {
    let path = path.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if path == "lib" || path == "main" { Vec::new() } else { path.split('/').map(str::to_owned).collect() }
}

/// The end of the braces that open at `at`.
fn behind_braces(tokens: &[String], mut at: usize) -> usize {
    let mut depth = 0;
    while at < tokens.len() {
        match tokens[at].as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            break;
        }
    }
    at
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// The tokens of a text, without comments and literals. `::` is one token.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let len = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(len) = quoted_len(rest) {
            len
        } else if first.is_alphanumeric() || first == '_' {
            let len = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.push(rest[..len].to_owned());
            len
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                tokens.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[len..];
    }
    tokens
}

/// The length of the string or character literal at the beginning of a text, if there is one.
fn quoted_len(text: &str) -> Option<usize> {
    let prefix = text.len() - text.trim_start_matches(['b', 'c', 'r']).len();
    let quoted = &text[prefix..];
    let hashes = quoted.len() - quoted.trim_start_matches('#').len();
    if text[..prefix].ends_with('r') && quoted[hashes..].starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        let start = prefix + hashes + 1;
        return Some(text[start..].find(&end).map_or(text.len(), |at| start + at + end.len()));
    }
    let end = quoted.chars().next().filter(|quote| *quote == '"' || *quote == '\'')?;
    if end == '\'' {
        // 'a is a lifetime, 'a' is a character.
        let mut after = quoted[1..].chars();
        let (first, second) = (after.next()?, after.next()?);
        if first != '\\' && second != '\'' {
            return None;
        }
    }
    let mut escaped = false;
    for (at, c) in quoted.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == end => return Some(prefix + at + 1),
            _ => {}
        }
    }
    Some(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(files: &[(&str, &str)]) -> Vec<String> {
        let imports = Crate::of(files.iter().copied()).imports();
        imports.iter().map(|it| format!("{} → {} ({})", it.from, it.to, it.path)).collect()
    }

    #[test]
    fn reads_braces_aliases_and_paths_in_code() {
        let found = imports(&[
            ("lib.rs", "pub mod a; pub mod b; mod c;"),
            ("a.rs", "use std::fmt; use crate::{b::{self as other, Thing}, c::deep::{self, Leaf}};"),
            ("b/mod.rs", "pub mod inner; pub struct Thing; fn f() { crate::c::g::<u8>(); inner::h(); }"),
            ("b/inner.rs", "use super::super::a; /* use crate::c; */ const S: &str = \"crate::c\";"),
            ("c/mod.rs", "pub mod deep; // use crate::a;"),
            ("c/deep.rs", "fn f<'a>(c: char) { match c { '\"' => super::g(), _ => r#\"crate::a \" \"# } }"),
        ]);
        assert_eq!(
            found,
            [
                "a.rs → b/mod.rs (crate::b)",
                "a.rs → b/mod.rs (crate::b::Thing)",
                "a.rs → c/deep.rs (crate::c::deep)",
                "a.rs → c/deep.rs (crate::c::deep::Leaf)",
                "b/inner.rs → a.rs (super::super::a)",
                "b/mod.rs → b/inner.rs (inner::h)",
                "b/mod.rs → c/mod.rs (crate::c::g)",
                "c/deep.rs → c/mod.rs (super::g)",
            ]
        );
    }

    #[test]
    fn a_re_export_leads_to_the_definition() {
        let found = imports(&[
            ("a/mod.rs", "pub use thing::Thing; pub use crate::b::Other;"),
            ("a/thing.rs", "pub struct Thing;"),
            ("a/user.rs", "use super::{Other, Thing};"),
            ("b.rs", "pub struct Other;"),
        ]);
        assert_eq!(
            found,
            [
                "a/mod.rs → a/thing.rs (thing::Thing)",
                "a/mod.rs → b.rs (crate::b::Other)",
                "a/user.rs → a/thing.rs (super::Thing)",
                "a/user.rs → b.rs (super::Other)",
            ]
        );
    }

    #[test]
    fn an_inline_module_belongs_to_its_file_and_tests_are_left_out() {
        let found = imports(&[
            ("a.rs", "fn f() {} mod inner { use super::*; use super::super::b; fn g() { super::f() } } use crate::c;"),
            ("b.rs", "mod tests { use crate::a; mod more { use crate::c; } } use crate::d;"),
            ("c.rs", ""),
            ("d.rs", ""),
        ]);
        assert_eq!(found, ["a.rs → b.rs (super::super::b)", "a.rs → c.rs (crate::c)", "b.rs → d.rs (crate::d)"]);
    }
}
