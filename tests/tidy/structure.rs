//! The structure of the code as figures, held within limits: circles of files, the heaviest chain of crates, the length of
//! functions and files, comments that say nothing. `cargo test -p tests --test tidy structure -- --nocapture` prints the
//! table of docs/architecture.md.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use tests::root;

/// A circle of more files than these is refused.
const CIRCLE_MAX: usize = 3;
/// The heaviest chain of crates that build one after the other, in percent of all lines.
const CHAIN_MAX_PERCENT: usize = 30;
/// Lines of a file.
const LONG_FILE: usize = 400;

/// One file of product code.
struct File {
    path: PathBuf,
    /// Where the file stands in its crate: `a::b` for `src/a/b.rs`, nothing for `src/lib.rs`.
    module: Vec<String>,
    /// A `lib.rs` or `mod.rs`: names that others import from here are followed to where they are defined.
    is_face: bool,
    lines: usize,
    test_lines: usize,
    doc_lines: usize,
    short_doc_lines: usize,
    functions: Vec<Function>,
    imports: Vec<Import>,
    /// Paths that the file names, absolute in the crate.
    names: BTreeSet<Vec<String>>,
    defined: BTreeSet<String>,
}

struct Function {
    name: String,
    lines: usize,
    parameters: usize,
}

/// `use target as name`; a glob has the name `*`.
struct Import {
    name: String,
    target: Vec<String>,
}

struct Crate {
    name: String,
    dependencies: Vec<String>,
    files: Vec<File>,
    /// Lines below `tests/` and `benches/`.
    test_lines: usize,
}

impl Crate {
    fn lines(&self) -> usize {
        self.files.iter().map(|f| f.lines).sum()
    }

    fn module(&self, path: &[String]) -> Option<usize> {
        self.files.iter().position(|f| f.module == path)
    }

    /// The file that defines what `path` names.
    fn resolve(&self, path: &[String], depth: usize) -> Option<usize> {
        let known = (0..=path.len()).rev().find(|n| self.module(&path[..*n]).is_some())?;
        let at = self.module(&path[..known])?;
        let (file, rest) = (&self.files[at], &path[known..]);
        let Some(name) = rest.first() else { return Some(at) };
        if !file.is_face || file.defined.contains(name) || depth == 0 {
            return Some(at);
        }
        if let Some(import) = file.imports.iter().find(|i| i.name == *name) {
            let target: Vec<_> = import.target.iter().chain(&rest[1..]).cloned().collect();
            return self.resolve(&target, depth - 1);
        }
        let globs = file.imports.iter().filter(|i| i.name == "*");
        let mut behind = globs.filter_map(|i| self.module(&i.target)).filter(|m| self.files[*m].defined.contains(name));
        behind.next().or(Some(at))
    }

    /// For each file those that it takes names from.
    fn arrows(&self) -> Vec<BTreeSet<usize>> {
        let to = |at: usize, file: &File| {
            let imported = file.imports.iter().filter(|_| !file.is_face).map(|i| match i.name.as_str() {
                "*" => i.target.as_slice(),
                _ => &i.target,
            });
            let targets = imported.chain(file.names.iter().map(Vec::as_slice));
            targets.filter_map(|t| self.resolve(t, 8)).filter(|t| *t != at).collect()
        };
        self.files.iter().enumerate().map(|(at, file)| to(at, file)).collect()
    }

    /// Files that import one another in a loop, as lists of paths.
    fn circles(&self) -> Vec<Vec<String>> {
        let arrows = self.arrows();
        let reach = |from: usize| {
            let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
            while let Some(at) = open.pop() {
                open.extend(arrows[at].iter().filter(|to| seen.insert(**to)));
            }
            seen
        };
        let reached: Vec<_> = (0..self.files.len()).map(reach).collect();
        let mut done = BTreeSet::new();
        let mut circles = Vec::new();
        for at in 0..self.files.len() {
            let circle: Vec<_> = reached[at].iter().copied().filter(|to| reached[*to].contains(&at)).collect();
            if circle.len() > 1 && done.insert(circle.clone()) {
                circles.push(circle.iter().map(|f| self.files[*f].path.display().to_string()).collect());
            }
        }
        circles
    }
}

/// Reads a file's tree; what is compiled for tests only is counted and not read.
struct Reader {
    module: Vec<String>,
    children: BTreeSet<String>,
    test_lines: usize,
    functions: Vec<Function>,
    imports: Vec<Import>,
    names: BTreeSet<Vec<String>>,
    defined: BTreeSet<String>,
    inside: usize,
}

fn lines_of(item: &impl Spanned) -> usize {
    let span = item.span();
    span.end().line + 1 - span.start().line
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    let cfg = |a: &syn::Attribute| match &a.meta {
        syn::Meta::List(list) => {
            list.path.is_ident("cfg") && list.tokens.to_string().split_whitespace().next() == Some("test")
        }
        _ => false,
    };
    attributes.iter().any(|a| cfg(a) || a.path().is_ident("test"))
}

impl Reader {
    /// The path from the crate's root on, if it begins in this crate.
    fn absolute(&self, path: &[String]) -> Option<Vec<String>> {
        let mut base = self.module.clone();
        let mut rest = path;
        match rest.first()?.as_str() {
            "crate" => (base.clear(), rest = &rest[1..]).1,
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|s| s == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            first if self.children.contains(first) => {}
            _ => return None,
        }
        base.extend(rest.iter().cloned());
        Some(base)
    }

    fn import(&mut self, tree: &syn::UseTree, before: &mut Vec<String>) {
        let (name, last) = match tree {
            syn::UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.import(&path.tree, before);
                before.pop();
                return;
            }
            syn::UseTree::Group(group) => return group.items.iter().for_each(|t| self.import(t, before)),
            syn::UseTree::Name(name) => (name.ident.to_string(), Some(name.ident.to_string())),
            syn::UseTree::Rename(name) => (name.rename.to_string(), Some(name.ident.to_string())),
            syn::UseTree::Glob(_) => ("*".to_owned(), None),
        };
        let last = last.filter(|l| l != "self");
        let path: Vec<_> = before.iter().cloned().chain(last).collect();
        if let Some(target) = self.absolute(&path) {
            let name = if name == "self" { target.last().cloned().unwrap_or(name) } else { name };
            self.imports.push(Import { name, target });
        }
    }

    fn function(&mut self, signature: &syn::Signature, whole: &impl Spanned) {
        let (name, parameters) = (signature.ident.to_string(), signature.inputs.len());
        self.functions.push(Function { name, lines: lines_of(whole), parameters });
    }
}

impl<'a> Visit<'a> for Reader {
    fn visit_item(&mut self, item: &'a syn::Item) {
        let (attributes, name) = match item {
            syn::Item::Fn(i) => (&i.attrs, Some(&i.sig.ident)),
            syn::Item::Struct(i) => (&i.attrs, Some(&i.ident)),
            syn::Item::Enum(i) => (&i.attrs, Some(&i.ident)),
            syn::Item::Trait(i) => (&i.attrs, Some(&i.ident)),
            syn::Item::Type(i) => (&i.attrs, Some(&i.ident)),
            syn::Item::Const(i) => (&i.attrs, Some(&i.ident)),
            syn::Item::Static(i) => (&i.attrs, Some(&i.ident)),
            syn::Item::Mod(i) => (&i.attrs, None),
            syn::Item::Impl(i) => (&i.attrs, None),
            syn::Item::Use(i) => (&i.attrs, None),
            _ => return visit::visit_item(self, item),
        };
        if is_test(attributes) {
            self.test_lines += lines_of(item);
            return;
        }
        if let (Some(name), 0) = (name, self.inside) {
            self.defined.insert(name.to_string());
        }
        match item {
            syn::Item::Use(item) => self.import(&item.tree, &mut Vec::new()),
            syn::Item::Mod(module) if module.content.is_some() => {
                // `super` within it is this file.
                self.module.push(module.ident.to_string());
                self.inside += 1;
                visit::visit_item_mod(self, module);
                self.inside -= 1;
                self.module.pop();
            }
            _ => visit::visit_item(self, item),
        }
    }

    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        self.function(&item.sig, item);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        if is_test(&item.attrs) {
            self.test_lines += lines_of(item);
            return;
        }
        self.function(&item.sig, item);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let named: Vec<_> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        if named.len() > 1
            && let Some(absolute) = self.absolute(&named)
        {
            self.names.insert(absolute);
        }
        visit::visit_path(self, path);
    }
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && entry.file_name() == "generated" {
            continue;
        } else if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
}

fn filled(text: &str) -> usize {
    text.lines().filter(|l| !l.trim().is_empty()).count()
}

fn read_file(src: &Path, path: &Path) -> File {
    let text = std::fs::read_to_string(path).unwrap();
    let tree = syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let relative = path.strip_prefix(src).unwrap().with_extension("");
    let mut module: Vec<_> = relative.iter().map(|s| s.to_string_lossy().replace('-', "_")).collect();
    let is_face = module.last().is_some_and(|l| ["lib", "mod", "main"].contains(&l.as_str()));
    if is_face {
        module.pop();
    }
    let declared = tree.items.iter().filter_map(|i| match i {
        syn::Item::Mod(m) => Some(m.ident.to_string()),
        _ => None,
    });
    let mut reader = Reader {
        module: module.clone(),
        children: declared.collect(),
        test_lines: 0,
        functions: Vec::new(),
        imports: Vec::new(),
        names: BTreeSet::new(),
        defined: BTreeSet::new(),
        inside: 0,
    };
    reader.visit_file(&tree);
    let docs = text.lines().map(str::trim).filter(|l| l.starts_with("///") || l.starts_with("//!"));
    let short = docs.clone().filter(|l| (1..=4).contains(&l[3..].split_whitespace().count()));
    File {
        path: path.strip_prefix(root()).unwrap().to_owned(),
        module,
        is_face,
        lines: filled(&text).saturating_sub(reader.test_lines),
        test_lines: reader.test_lines,
        doc_lines: docs.clone().count(),
        short_doc_lines: short.count(),
        functions: reader.functions,
        imports: reader.imports,
        names: reader.names,
        defined: reader.defined,
    }
}

/// Modules that a crate declares for its tests alone: their files are no product code.
fn test_modules(src: &Path) -> BTreeSet<PathBuf> {
    let mut files = Vec::new();
    rust_files(src, &mut files);
    let mut found = BTreeSet::new();
    for path in &files {
        let text = std::fs::read_to_string(path).unwrap();
        let Some(tree) = text.contains("cfg(test)").then(|| syn::parse_file(&text).ok()).flatten() else { continue };
        let dir = match path.file_stem().and_then(|s| s.to_str()) {
            Some("lib" | "mod" | "main") | None => path.parent().unwrap().to_owned(),
            Some(_) => path.with_extension(""),
        };
        for item in &tree.items {
            if let syn::Item::Mod(module) = item
                && module.content.is_none()
                && is_test(&module.attrs)
            {
                found.insert(dir.join(module.ident.to_string()));
            }
        }
    }
    found
}

fn crates() -> Vec<Crate> {
    let root = root();
    let folders = ["pkg", "cmd"].into_iter().flat_map(|f| std::fs::read_dir(root.join(f)).unwrap());
    let mut dirs: Vec<_> = folders.map(|e| e.unwrap().path()).chain([root.join("proto")]).collect();
    dirs.sort();
    let read = |dir: PathBuf| {
        let manifest = std::fs::read_to_string(dir.join("Cargo.toml")).ok()?;
        let section = manifest.split("[dependencies]").nth(1).unwrap_or("").split("\n[").next().unwrap_or("");
        let dependencies = section.lines().map(|l| l.split(['.', ' ', '=']).next().unwrap_or("").to_owned()).collect();
        let (src, mut paths, mut others) = (dir.join("src"), Vec::new(), Vec::new());
        rust_files(&src, &mut paths);
        ["tests", "benches", "examples"].iter().for_each(|d| rust_files(&dir.join(d), &mut others));
        let for_tests = test_modules(&src);
        let is_for_tests = |p: &PathBuf| for_tests.iter().any(|t| p.starts_with(t) || p.with_extension("") == *t);
        let (tests, product): (Vec<_>, Vec<_>) = paths.into_iter().partition(is_for_tests);
        let count = |p: &PathBuf| filled(&std::fs::read_to_string(p).unwrap());
        Some(Crate {
            name: dir.file_name()?.to_str()?.to_owned(),
            dependencies,
            files: product.iter().map(|p| read_file(&src, p)).collect(),
            test_lines: others.iter().chain(&tests).map(count).sum(),
        })
    };
    dirs.into_iter().filter_map(read).collect()
}

/// The chain of crates with the most lines, each built after the one before.
fn heaviest_chain(crates: &[Crate]) -> (usize, Vec<String>) {
    fn below<'a>(
        name: &'a str,
        crates: &'a BTreeMap<&str, &Crate>,
        known: &mut BTreeMap<&'a str, (usize, Vec<String>)>,
    ) -> (usize, Vec<String>) {
        if let Some(found) = known.get(name) {
            return found.clone();
        }
        let of = crates[name];
        let under = of.dependencies.iter().filter_map(|d| crates.get_key_value(d.as_str()));
        let mut best = (0, Vec::new());
        for (dependency, _) in under {
            best = best.max(below(dependency, crates, known));
        }
        best.0 += of.lines();
        best.1.insert(0, name.to_owned());
        known.insert(name, best.clone());
        best
    }
    let by_name: BTreeMap<_, _> = crates.iter().map(|c| (c.name.as_str(), c)).collect();
    let mut known = BTreeMap::new();
    by_name.keys().map(|name| below(name, &by_name, &mut known)).max().unwrap_or_default()
}

/// Crates that no product depends on.
const FOR_TESTS: [&str; 2] = ["testkit", "fuzz-targets"];

#[test]
fn structure_is_within_its_limits() {
    let all = crates();
    let whole_tests = {
        let mut files = Vec::new();
        rust_files(&root().join("tests"), &mut files);
        files.iter().map(|p| filled(&std::fs::read_to_string(p).unwrap())).sum::<usize>()
    };
    let (for_tests, product): (Vec<_>, Vec<_>) = all.into_iter().partition(|c| FOR_TESTS.contains(&c.name.as_str()));
    let files: Vec<&File> = product.iter().flat_map(|c| &c.files).collect();
    let lines: usize = product.iter().map(Crate::lines).sum();
    let test_lines =
        product.iter().map(|c| c.test_lines + c.files.iter().map(|f| f.test_lines).sum::<usize>()).sum::<usize>()
            + for_tests.iter().map(|c| c.lines() + c.test_lines).sum::<usize>()
            + whole_tests;
    let mut lengths: Vec<_> = files.iter().flat_map(|f| &f.functions).map(|f| f.lines).collect();
    lengths.sort_unstable();
    let many: Vec<_> = files
        .iter()
        .flat_map(|f| {
            f.functions.iter().filter(|x| x.parameters > 7).map(|x| format!("{}: {}", f.path.display(), x.name))
        })
        .collect();
    let long = files.iter().filter(|f| f.lines > LONG_FILE).count();
    let circles: Vec<_> =
        product.iter().flat_map(|c| c.circles().into_iter().map(|files| (c.name.clone(), files))).collect();
    let large: Vec<_> = circles.iter().filter(|(_, files)| files.len() > CIRCLE_MAX).collect();
    let (weight, chain) = heaviest_chain(&product);
    let (docs, short): (usize, usize) = files.iter().fold((0, 0), |(d, s), f| (d + f.doc_lines, s + f.short_doc_lines));
    let percent = |part: usize, of: usize| part * 100 / of.max(1);
    println!("| what | figure |\n|---|--:|");
    println!("| crates, files, lines of product code | {}, {}, {lines} |", product.len(), files.len());
    println!("| test lines per line of code | {:.2} |", test_lines as f64 / lines as f64);
    println!(
        "| lines of a function: median, 99th percentile | {}, {} |",
        lengths[lengths.len() / 2],
        lengths[lengths.len() * 99 / 100]
    );
    println!("| files over {LONG_FILE} lines | {long} ({} %) |", percent(long, files.len()));
    println!("| functions with more than 7 parameters | {} |", many.len());
    println!(
        "| circles of files; the largest | {}; {} |",
        circles.len(),
        circles.iter().map(|(_, c)| c.len()).max().unwrap_or(0)
    );
    println!("| doc lines of at most four words | {} % of {docs} |", percent(short, docs));
    println!("| heaviest chain of crates | {weight} lines, {} %: {} |", percent(weight, lines), chain.join(" → "));
    for (name, files) in &circles {
        println!("circle in {name}: {}", files.join(", "));
    }
    assert!(many.is_empty(), "functions with more than 7 parameters: {many:#?}");
    assert!(large.is_empty(), "circles of more than {CIRCLE_MAX} files: {large:#?}");
    assert!(weight * 100 <= lines * CHAIN_MAX_PERCENT, "the heaviest chain of crates is too heavy: {chain:?}");
}
