//! Modules that use each other in a circle, parent and child apart.
//!
//! Modules with the same parent are compared, each with all modules below it. So circles of files are found, and circles of
//! folders. Names are resolved through `use` to the module that defines them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The path of a module from the root of the crate.
type Module = Vec<String>;

/// The names and paths in the text of a module.
#[derive(Default)]
struct Source {
    /// Paths by the name that `use` gives them.
    names: HashMap<String, Vec<String>>,
    /// Paths outside of `use`.
    paths: Vec<Vec<String>>,
}

impl Source {
    fn read(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token {
                // `+ use<'a>` is not an import.
                TokenTree::Ident(word) if word == "use" && !is_punct(tokens.get(at), '<') => {
                    let end = at + tokens[at..].iter().take_while(|token| !is_punct(Some(token), ';')).count();
                    self.add_use(&[], &tokens[at..end]);
                    at = end;
                }
                TokenTree::Ident(_) => {
                    let (path, end) = path(&tokens, at - 1);
                    if path.len() > 1 {
                        self.paths.push(path);
                    }
                    at = end;
                }
                TokenTree::Punct(_) if is_test(&tokens[at - 1..]) => {
                    let is_end = |token: &&TokenTree| !is_punct(Some(token), ';') && !is_group(token, Delimiter::Brace);
                    at += 1 + tokens[at..].iter().take_while(is_end).count();
                }
                TokenTree::Group(group) => self.read(group.stream()),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }

    /// Adds the tree of a `use`, behind the path before its braces.
    fn add_use(&mut self, before: &[String], tree: &[TokenTree]) {
        let (names, end) = path(tree, 0);
        let whole = [before, &names].concat();
        let group = tree[end..].iter().find(|token| is_group(token, Delimiter::Brace));
        if let Some(TokenTree::Group(group)) = group {
            let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
            return tokens.split(|token| is_punct(Some(token), ',')).for_each(|tree| self.add_use(&whole, tree));
        }
        if is_punct(tree.get(end), '*') {
            return self.paths.push([whole, vec!["*".to_owned()]].concat());
        }
        let (path, name) = match whole.split_last() {
            Some((last, path)) if last == "self" => (path.to_vec(), path.last()),
            Some((last, _)) => (whole.clone(), Some(last)),
            None => return,
        };
        // `as` is followed by the new name.
        let other =
            tree[end..].iter().rev().find(|token| matches!(token, TokenTree::Ident(_))).map(ToString::to_string);
        if let Some(name) = other.or_else(|| name.cloned()) {
            self.names.insert(name, path);
        }
    }
}

fn is_punct(token: Option<&TokenTree>, character: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == character)
}

fn is_group(token: &TokenTree, delimiter: Delimiter) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == delimiter)
}

/// Returns whether the item that follows is only compiled for tests.
fn is_test(tokens: &[TokenTree]) -> bool {
    is_punct(tokens.first(), '#')
        && tokens.get(1).is_some_and(|token| token.to_string().replace(' ', "") == "[cfg(test)]")
}

/// Returns the names joined by `::` from a position on, and the position behind them.
fn path(tokens: &[TokenTree], mut at: usize) -> (Vec<String>, usize) {
    let mut names = Vec::new();
    while let Some(TokenTree::Ident(name)) = tokens.get(at) {
        names.push(name.to_string());
        at += 1;
        if !(is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':')) {
            break;
        }
        at += 2;
    }
    (names, at)
}

/// The modules of a crate.
#[derive(Default)]
struct Crate(BTreeMap<Module, Source>);

impl Crate {
    /// Reads the crate of a folder, without the files of tests.
    fn of_folder(folder: &str) -> Self {
        let mut sources = Self::default();
        for entry in walkdir::WalkDir::new(folder) {
            let entry = entry.expect(folder);
            let file = entry.path();
            if file.extension().is_none_or(|extension| extension != "rs") || file.ends_with("tests.rs") {
                continue;
            }
            let text = std::fs::read_to_string(file).expect("a file of the repository");
            sources.add(file.strip_prefix(folder).expect("a file below the folder"), &text);
        }
        sources
    }

    fn add(&mut self, file: &Path, text: &str) {
        let mut module: Module = file.with_extension("").iter().map(|name| name.display().to_string()).collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib")) {
            module.pop();
        }
        let mut source = Source::default();
        source.read(text.parse().unwrap_or_else(|error| panic!("{}: {error}", file.display())));
        self.0.insert(module, source);
    }

    /// Returns the module that a path leads to, and whether the path names an item in it. Returns `None` for a path into another crate.
    fn resolve(&self, from: &[String], path: &[String], steps: usize) -> Option<(Module, bool)> {
        let (first, mut rest) = path.split_first()?;
        let steps = steps.checked_sub(1)?;
        let mut module = match first.as_str() {
            "crate" => Module::new(),
            "self" => from.to_vec(),
            "super" => from.split_last()?.1.to_vec(),
            name => match self.child(from, name) {
                Some(child) => child,
                None => match self.resolve(from, self.0.get(from)?.names.get(name)?, steps)? {
                    (module, false) => module,
                    item => return Some(item),
                },
            },
        };
        while let Some((name, after)) = rest.split_first() {
            rest = after;
            if name == "super" {
                module.pop();
            } else if let Some(child) = self.child(&module, name) {
                module = child;
            } else if let Some(path) = self.0.get(&module)?.names.get(name) {
                match self.resolve(&module, path, steps)? {
                    (found, false) => module = found,
                    item => return Some(item),
                }
            } else {
                return Some((module, true));
            }
        }
        Some((module, false))
    }

    fn child(&self, parent: &[String], name: &str) -> Option<Module> {
        let child = [parent, &[name.to_owned()]].concat();
        self.0.contains_key(&child).then_some(child)
    }

    /// Returns the uses that form circles, each with an example.
    fn circles(&self) -> Vec<String> {
        let mut uses: BTreeMap<(Module, Module), String> = BTreeMap::new();
        for (from, source) in &self.0 {
            for path in source.names.values().chain(&source.paths) {
                let Some((to, true)) = self.resolve(from, path, 32) else { continue };
                let same = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
                // One module is the other, or is above it.
                if same == from.len().min(to.len()) {
                    continue;
                }
                let (user, used) = (from[..=same].to_vec(), to[..=same].to_vec());
                uses.insert((user, used), format!("{}: {}", from.join("::"), path.join("::")));
            }
        }
        let mut steps: BTreeMap<&Module, Vec<&Module>> = BTreeMap::new();
        uses.keys().for_each(|(user, used)| steps.entry(user).or_default().push(used));
        let leads_to = |from: &Module, to: &Module| {
            let (mut seen, mut left) = (BTreeSet::new(), vec![from]);
            while let Some(module) = left.pop() {
                left.extend(steps.get(module).into_iter().flatten().copied().filter(|module| seen.insert(*module)));
            }
            seen.contains(to)
        };
        let on_circles = uses.iter().filter(|((user, used), _)| leads_to(used, user));
        let line = |((user, used), example): (&(Module, Module), &String)| {
            format!("{} uses {} ({example})", user.join("::"), used.join("::"))
        };
        on_circles.map(line).collect()
    }
}

#[test]
fn modules_have_no_circles() {
    for folder in ["src", "engine/src"] {
        let sources = Crate::of_folder(folder);
        assert!(sources.0.len() > 20, "{folder}");
        let circles = sources.circles();
        assert!(
            circles.is_empty(),
            "modules of {folder} use each other in a circle: move what they share into a module of its own\n{}",
            circles.join("\n")
        );
    }
}

#[test]
fn circles_are_found() {
    let circles = |files: &[(&str, &str)]| {
        let mut sources = Crate::default();
        files.iter().for_each(|(file, text)| sources.add(Path::new(file), text));
        sources.circles()
    };
    let b_uses_a = "fn f(_: super::a::A) {}";
    for (name, a, expected) in [
        ("an import", "use super::b::B;", 2),
        ("a group", "use super::{c::C, b::{self, B as Other}};", 2),
        ("a path", "fn f() { super::b::g() }", 2),
        ("a path in a macro", "fn f() { println!(\"{}\", crate::b::g()) }", 2),
        ("a path through a module", "use super::b; fn f() { b::g() }", 2),
        ("all names of a module", "use super::b::*;", 2),
        ("another name", "use crate::b as other; fn f() { other::g() }", 2),
        ("an import in a function", "fn f() { use crate::b::B; }", 2),
        ("an import of the parent", "use super::OfB;", 2),
        ("a file below", "use crate::b::below::D;", 2),
        ("captured lifetimes", "fn f<'a>() -> impl Sized + use<'a> { crate::b::g() }", 2),
        ("tests", "#[cfg(test)] mod tests { use crate::b::B; } struct A;", 0),
        ("an import of tests", "#[cfg(test)] use crate::b::B; struct A;", 0),
        ("what follows tests", "#[cfg(test)] use crate::c::C; use crate::b::B;", 2),
        ("a comment", "//! See [`super::b::B`].\n/* crate::b::B */ const A: &str = \"crate::b::B\";", 0),
        ("another module", "use super::c::C;", 0),
        ("the parent", "use super::P;", 0),
        ("another crate", "use std::b::B; fn f() { b::g() }", 0),
    ] {
        let root = "mod a; mod b; mod c; pub use b::B as OfB; struct P;";
        let files =
            [("lib.rs", root), ("a.rs", a), ("b/mod.rs", b_uses_a), ("b/below.rs", "struct D;"), ("c.rs", "struct C;")];
        assert_eq!(circles(&files).len(), expected, "{name}: {:?}", circles(&files));
    }
    // Folders with a circle between them, where no file is on a circle.
    let rooms = [
        ("lib.rs", ""),
        ("a.rs", ""),
        ("a/x.rs", "use crate::b::y::Y;"),
        ("a/z.rs", ""),
        ("b.rs", ""),
        ("b/y.rs", ""),
        ("b/w.rs", "use crate::a::z::Z;"),
    ];
    assert_eq!(circles(&rooms), ["a uses b (a::x: crate::b::y::Y)", "b uses a (b::w: crate::a::z::Z)"]);
}
