//! The keys of a YAML configuration as its Rust structs declare them: names, types, doc comments.

use std::collections::BTreeMap;
use std::path::Path;

use syn::{Attribute, Expr, Fields, GenericArgument, Item, ItemStruct, Lit, Meta, PathArguments, Type};

/// What one source file declares.
pub struct Source {
    structs: BTreeMap<String, ItemStruct>,
    /// Groups of keys that are taken without effect: `keys!(Name: key key …)`.
    ignored: BTreeMap<String, Vec<String>>,
}

/// One key of a configuration.
pub struct Key {
    /// With the keys above it, for instance `http.config[].path`.
    pub path: String,
    /// For readers: `string`, `duration`, `list of strings`.
    pub kind: String,
    /// What the key does.
    pub text: String,
    /// The default, or that it is required.
    pub default: String,
}

impl Source {
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let file = syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut out = Self { structs: BTreeMap::new(), ignored: BTreeMap::new() };
        for item in file.items {
            match item {
                Item::Struct(s) => drop(out.structs.insert(s.ident.to_string(), s)),
                Item::Macro(m) if m.mac.path.is_ident("keys") => {
                    let text = m.mac.tokens.to_string();
                    let (name, keys) = text.split_once(':').expect("`keys!` is Name: key key …");
                    let keys = keys.split_whitespace().map(str::to_owned).collect();
                    out.ignored.insert(name.trim().to_owned(), keys);
                }
                _ => {}
            }
        }
        out
    }

    /// Whether a struct or a group of keys of this name is here.
    pub fn declares(&self, name: &str) -> bool {
        self.structs.contains_key(name) || self.ignored.contains_key(name)
    }

    /// Structs whose unknown keys are errors: whatever such a struct reads is written by users.
    pub fn strict(&self) -> impl Iterator<Item = &String> {
        let is_strict = |s: &&ItemStruct| s.attrs.iter().any(|a| serde_argument(a, "deny_unknown_fields").is_some());
        self.structs.iter().filter(move |(_, s)| is_strict(s)).map(|(name, _)| name)
    }

    /// The keys of a group that is taken without effect.
    pub fn ignored(&self, name: &str) -> Option<&[String]> {
        self.ignored.get(name).map(Vec::as_slice)
    }

    /// The keys of struct `name`, with those of the structs of this file that its fields hold, except for `elsewhere`.
    /// Names of structs that were read go to `seen`.
    pub fn keys(&self, name: &str, elsewhere: &[&str], seen: &mut Vec<String>) -> Vec<Key> {
        let mut out = Vec::new();
        let top = self.structs.get(name).unwrap_or_else(|| panic!("there is no struct {name}"));
        self.collect("", top, &BTreeMap::new(), elsewhere, seen, &mut out);
        out
    }

    fn collect(
        &self,
        above: &str,
        of: &ItemStruct,
        outer: &BTreeMap<String, Type>,
        elsewhere: &[&str],
        seen: &mut Vec<String>,
        out: &mut Vec<Key>,
    ) {
        seen.push(of.ident.to_string());
        let Fields::Named(fields) = &of.fields else { panic!("{} has no named fields", of.ident) };
        for field in &fields.named {
            if field.attrs.iter().any(|a| serde_argument(a, "skip").is_some()) {
                continue;
            }
            let ident = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
            let renamed = field.attrs.iter().find_map(|a| serde_argument(a, "rename").flatten());
            let path = format!("{above}{}", renamed.unwrap_or(ident));
            let doc = doc(&field.attrs);
            assert!(!doc.is_empty(), "{}: the key {path} has no doc comment", of.ident);
            let (list, kind) = plain(&field.ty, outer);
            let (mut text, mut default) = split(&doc);
            if default.is_empty() && kind == "true or false" {
                default = "`false`".to_owned();
            }
            if text.is_empty() {
                text = std::mem::take(&mut default);
            }
            let is_map = kind.starts_with(char::is_uppercase);
            let named = |s: &&ItemStruct| matches!(s.fields, Fields::Named(_));
            let inner = self.structs.get(&kind).filter(|_| !elsewhere.contains(&kind.as_str())).filter(named);
            let kind = match path.as_str() {
                "type" => "string".to_owned(),
                _ if is_map => "map".to_owned(),
                _ => kind,
            };
            let kind = if list { format!("list of {}s", kind.trim_end_matches('s')) } else { kind };
            out.push(Key { path: path.clone(), kind, text, default });
            if let Some(inner) = inner {
                let arguments = substitutions(inner, &field.ty, outer);
                let above = format!("{path}{}.", if list { "[]" } else { "" });
                self.collect(&above, inner, &arguments, elsewhere, seen, out);
            }
        }
    }
}

/// `None` without this argument of `#[serde(…)]`; else its value, if it has one.
fn serde_argument(attribute: &Attribute, name: &str) -> Option<Option<String>> {
    if !attribute.path().is_ident("serde") {
        return None;
    }
    let mut found = None;
    attribute
        .parse_nested_meta(|meta| {
            let value = match meta.value() {
                Ok(value) => match value.parse::<Lit>()? {
                    Lit::Str(text) => Some(text.value()),
                    _ => None,
                },
                Err(_) => None,
            };
            if meta.path.is_ident(name) {
                found = Some(value);
            }
            Ok(())
        })
        .unwrap_or_else(|e| panic!("#[serde(…)]: {e}"));
    found
}

/// The doc comment as one line.
fn doc(attributes: &[Attribute]) -> String {
    let line = |attribute: &Attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Some(text.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    };
    attributes.iter().filter_map(line).collect::<Vec<_>>().join(" ")
}

/// `What it does. Default: this.` in its two parts.
fn split(doc: &str) -> (String, String) {
    for (mark, before) in [("Default: ", ""), ("Required", "required")] {
        let at = doc.rfind(mark).filter(|at| *at == 0 || doc[..*at].ends_with(". "));
        if let Some(at) = at {
            let rest = doc[at + mark.len()..].trim_end_matches('.');
            return (doc[..at].trim().to_owned(), format!("{before}{rest}"));
        }
    }
    (doc.to_owned(), String::new())
}

/// Whether it is a list, and of what: a word for readers, or the name of a struct.
fn plain(ty: &Type, outer: &BTreeMap<String, Type>) -> (bool, String) {
    let Type::Path(path) = ty else { return (false, "any".to_owned()) };
    let Some(last) = path.path.segments.last() else { return (false, "any".to_owned()) };
    let name = last.ident.to_string();
    if let Some(ty) = outer.get(&name) {
        return plain(ty, &BTreeMap::new());
    }
    let first = arguments(&last.arguments).into_iter().next();
    match (name.as_str(), first) {
        ("Option" | "Key" | "Spanned" | "Box", Some(inner)) => plain(&inner, outer),
        ("Vec", Some(inner)) => (true, plain(&inner, outer).1),
        ("BTreeMap" | "HashMap", _) => (false, "map of strings".to_owned()),
        ("String", _) => (false, "string".to_owned()),
        ("PathBuf", _) => (false, "file".to_owned()),
        ("bool", _) => (false, "true or false".to_owned()),
        ("i64" | "u64" | "u16" | "usize" | "f64", _) => (false, "number".to_owned()),
        ("Span" | "DurationMs", _) => (false, "duration".to_owned()),
        ("Bytes", _) => (false, "size".to_owned()),
        ("Rule", _) => (false, "rule".to_owned()),
        ("Secret" | "Role" | "DnsType" | "ScrapeProtocol" | "ValidationScheme" | "EscapingScheme", _)
        | ("FloatEncoding" | "TranslationStrategy" | "ApiVersion" | "ClientType", _) => (false, "string".to_owned()),
        ("Text", _) => (false, "string or number".to_owned()),
        ("Value", _) => (false, "size".to_owned()),
        ("IgnoredAny", _) => (false, "any".to_owned()),
        _ => (false, name),
    }
}

fn arguments(arguments: &PathArguments) -> Vec<Type> {
    let PathArguments::AngleBracketed(list) = arguments else { return Vec::new() };
    let ty = |a: &GenericArgument| if let GenericArgument::Type(ty) = a { Some(ty.clone()) } else { None };
    list.args.iter().filter_map(ty).collect()
}

/// What the type parameters of `of` stand for where a field has type `ty`.
fn substitutions(of: &ItemStruct, ty: &Type, outer: &BTreeMap<String, Type>) -> BTreeMap<String, Type> {
    let Type::Path(path) = ty else { return BTreeMap::new() };
    let given = path.path.segments.last().map(|s| arguments(&s.arguments)).unwrap_or_default();
    let names = of.generics.type_params().map(|p| p.ident.to_string());
    let resolve = |ty: Type| match &ty {
        Type::Path(p) => p.path.get_ident().and_then(|i| outer.get(&i.to_string())).cloned().unwrap_or(ty),
        _ => ty,
    };
    names.zip(given.into_iter().map(resolve)).collect()
}
