//! Costs are bounded, fast paths stay what they say, templates expand as in Go.

use re2::{Limits, Matcher, Regex};

#[test]
fn literals_and_prefixes() {
    for (pattern, literals, prefix) in [
        ("foo", Some("foo"), "foo"),
        ("foo|bar|foo", Some("bar foo"), ""),
        ("^(prod|prelive)-[ab]$", Some("prelive-a prelive-b prod-a prod-b"), "pr"),
        ("", Some(""), ""),
        ("node-.*", None, "node-"),
        ("(?:ab|ac).+", None, "a"),
        ("(?i)foo", Some("FOO FOo FoO Foo fOO fOo foO foo"), ""),
        (".*", None, ""),
        ("a+b", None, "a"),
        ("[a-z]+", None, ""),
        ("a?b", None, ""),
    ] {
        let m = Matcher::new(pattern).unwrap();
        assert_eq!(m.literals().map(|l| l.join(" ")).as_deref(), literals, "{pattern}");
        assert_eq!(m.prefix(), prefix, "{pattern}");
    }
}

#[test]
fn long_alternations_stay_lists() {
    let names: Vec<String> = (0..4000).map(|i| format!("instance-{i}")).collect();
    let m = Matcher::new(&names.join("|")).unwrap();
    assert_eq!(m.literals().map(<[_]>::len), Some(4000));
    assert!(m.matches("instance-3999") && !m.matches("instance-4000"));
}

/// A dashboard's variable with all its values chosen.
#[test]
fn alternations_of_dashboards_fit() {
    let names: Vec<String> = (0..5000).map(|i| format!("pod-with-a-rather-long-name-{i:05}-x7k2p9q")).collect();
    assert_eq!(names[0].len(), 41);
    let all = names.join("|");
    for (pattern, yes, no) in [
        (all.clone(), "pod-with-a-rather-long-name-04999-x7k2p9q", "pod-with-a-rather-long-name-05000-x7k2p9q"),
        (
            format!("({all}):.+"),
            "pod-with-a-rather-long-name-00000-x7k2p9q:1",
            "pod-with-a-rather-long-name-00000-x7k2p9q",
        ),
        (
            format!("(?i:{all})"),
            "POD-with-a-rather-long-name-04999-x7k2p9q",
            "pod-with-a-rather-long-name-05000-x7k2p9q",
        ),
        (
            format!(".*({all})"),
            "ns/pod-with-a-rather-long-name-02500-x7k2p9q",
            "ns/pod-with-a-rather-long-name-05000-x7k2p9q",
        ),
    ] {
        let m = Matcher::new(&pattern).unwrap();
        assert!(m.matches(yes) && !m.matches(no), "{}", &pattern[..60]);
    }
}

#[test]
fn hostile_patterns_are_refused_or_cheap() {
    let limits = Limits { max_program_bytes: 1 << 20, ..Limits::default() };
    let error = |pattern: &str| Matcher::with_limits(pattern, &limits).map(|_| ()).unwrap_err().message;
    assert_eq!(error(&"a".repeat(600_000)), "expression too large");
    assert_eq!(error(r"(?:\pL\pN){900}x"), "expression too large");
    assert_eq!(error(&format!("{}a{}", "(".repeat(1001), ")".repeat(1001))), "expression nests too deeply");
    assert_eq!(error(&"(".repeat(500_000)), "missing closing )");
    // Nothing grows with the product of small sets, or with the text's length squared.
    let m = Matcher::new("[a-z]{20}[0-9][0-9][0-9][0-9][0-9][0-9]").unwrap();
    assert_eq!(m.literals(), None);
    let text = "a".repeat(100_000);
    assert!(!Matcher::new("(a*)*(a|a)*b").unwrap().matches(&text));
    assert!(!Matcher::new(".*a.*a.*a.*b").unwrap().matches(&text));
}

#[test]
fn deep_but_allowed_nesting_compiles() {
    let pattern = format!("{}a{}", "(".repeat(990), ")".repeat(990));
    assert!(Matcher::new(&format!("{pattern}[b-z]+")).unwrap().matches("ax"));
    assert!(Regex::new_anchored(&pattern).unwrap().is_match("a"));
}

#[test]
fn templates() {
    let regex = Regex::new_anchored(r"(?P<host>[^:]+):(\d+)(x)?").unwrap();
    let captures = regex.captures("db-1:9090").unwrap();
    for (template, expanded) in [
        ("$1", "db-1"),
        ("${1}x", "db-1x"),
        ("$1x", ""),
        ("$host/$2", "db-1/9090"),
        ("${host}_$3", "db-1_"),
        ("$$1", "$1"),
        ("$", "$"),
        ("$-", "$-"),
        ("${1", "${1"),
        ("${}", "${}"),
        ("$0", "db-1:9090"),
        ("$01", ""),
        ("$9 é", " é"),
        ("plain", "plain"),
    ] {
        assert_eq!(regex.expand(template, &captures), expanded, "{template}");
    }
    assert!(regex.captures("db-1").is_none());
    assert_eq!(
        Regex::new_anchored("(").unwrap_err().to_string(),
        "error parsing regexp: missing closing ): `^(?s:()$`"
    );
}

proptest::proptest! {
    /// Nothing makes the compiler panic, and the two ways to match agree.
    #[test]
    fn never_panics(
        pattern in r"(a|b|é|\.|\*|\+|\?|\{2\}|\{|\[|\]|\^|\$|\(|\)|\(\?i\)|\(\?:|\||-|\\[a-zA-Z0-9]|\\|\[:alpha:\]|\\pL|\\x\{|:|\PC){0,12}",
        text in "[abé\n-]{0,8}",
    ) {
        if let (Ok(matcher), Ok(regex)) = (Matcher::new(&pattern), Regex::new_anchored(&pattern)) {
            proptest::prop_assert_eq!(matcher.matches(&text), regex.is_match(&text));
        }
    }
}
