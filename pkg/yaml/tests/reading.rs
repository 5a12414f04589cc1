//! Trees and typed values, as Go's reader has them; and places of errors.

use std::collections::BTreeMap;

use serde::Deserialize;
use yaml::{Bytes, DurationMs, Error, Secret, parse};

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Section {
    text: String,
    number: u16,
    yes: bool,
    ratio: f64,
    list: Vec<String>,
    map: BTreeMap<String, String>,
    every: DurationMs,
    size: Bytes,
    token: Option<Secret>,
}

fn read(text: &str) -> Result<Section, Error> {
    parse(text)?.decode()
}

#[test]
fn values() {
    let section = read(
        "text: 0123\nnumber: 0x1F\nyes: on\nratio: 1e3\nlist: [1, no, ~, 'x y']\nmap: {a: 1, b: null}\n\
         every: 1m30s\nsize: 15MB\ntoken: 07\n",
    );
    let want = Section {
        text: "0123".to_owned(),
        number: 31,
        yes: true,
        ratio: 1000.0,
        list: ["1", "no", "", "x y"].map(str::to_owned).into(),
        map: [("a", "1"), ("b", "")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        every: DurationMs(90_000),
        size: Bytes(15 << 20),
        token: Some(Secret("07".to_owned())),
    };
    assert_eq!(section, Ok(want));
}

#[test]
fn nulls_leave_defaults() {
    for text in ["", "# nothing\n", "---\n...\n", "text:\nlist: null\ntoken: ~\nmap:\n"] {
        assert_eq!(read(text), Ok(Section::default()), "{text}");
    }
}

#[test]
fn aliases_merges_and_tags() {
    let section = read("map: &m {a: x, b: y}\nlist: &l [p]\ntext: !!str true\n").unwrap();
    assert_eq!((section.text.as_str(), section.list.len()), ("true", 1));
    let node = parse("base: &m {a: x, b: y}\nmore: {<<: *m, b: z}\n").unwrap();
    let more: BTreeMap<String, String> = node.get("more").unwrap().decode().unwrap();
    assert_eq!(more, BTreeMap::from([("a".to_owned(), "x".to_owned()), ("b".to_owned(), "z".to_owned())]));
    assert_eq!(read("text: !!binary aGk=").unwrap().text, "hi");
}

#[test]
fn errors_have_places() {
    for (text, line, column, why) in [
        ("text: a\ntxet: b", 2, 1, "unknown key \"txet\""),
        ("numbr: 1", 1, 1, "did you mean number?"),
        ("text: a\nnope:", 2, 1, "unknown key \"nope\""),
        ("text: [a]", 1, 7, "a string is expected here, not a list"),
        ("list:\n  - a\n  - {b: c}", 3, 5, "a string is expected here, not a map"),
        ("list: a", 1, 7, "a list is expected here, not a scalar"),
        ("number: 70000", 1, 9, "out of range"),
        ("number: '1'", 1, 9, "an integer is expected"),
        ("yes: maybe", 1, 6, "true or false is expected"),
        ("every: 5", 1, 8, "not a valid duration"),
        ("size: 100", 1, 7, "has no unit"),
        ("text: a\ntext: b", 2, 1, "there already"),
        ("text: !!binary /w==", 1, 16, "valid UTF-8"),
        ("text: 'a\n", 0, 0, ""),
        ("[a]: b", 1, 1, "a key must be a string"),
        ("- a", 1, 1, "a map of keys is expected here, not a list"),
        ("text: *nobody", 1, 7, ""),
        ("map: &m {a: *m}", 1, 13, ""),
    ] {
        let error = read(text).unwrap_err();
        assert!(line == 0 || (error.line, error.column) == (line, column), "{text}: {error}");
        assert!(error.line > 0 && error.text.contains(why), "{text}: {error}");
    }
}

#[test]
fn aliases_cannot_fill_the_memory() {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for pair in ["ab", "bc", "cd", "de", "ef", "fg", "gh"] {
        let (of, name) = pair.split_at(1);
        let refs = vec![format!("*{of}"); 10].join(", ");
        text.push_str(&format!("{name}: &{name} [{refs}]\n"));
    }
    assert!(parse(&text).unwrap_err().text.contains("more than"));
    let deep = "[".repeat(10_000);
    assert!(parse(&deep).is_err());
}

#[test]
fn secrets_are_not_shown() {
    let secret = Secret("hidden".to_owned());
    assert_eq!(format!("{secret:?}"), "<secret>");
    assert_eq!(yaml::print(&BTreeMap::from([("a", secret)])).unwrap(), "a: <secret>\n");
}
