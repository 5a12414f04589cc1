//! Each action, and each refusal.

use labels::Labels;

fn set(text: &str) -> Labels {
    Labels::from_pairs(text.split_whitespace().map(|pair| pair.split_once('=').unwrap()))
}

#[test]
fn actions() {
    for (rule, before, after) in [
        ("{source_labels: [a], regex: f, action: drop}", "a=foo", Some("a=foo")),
        ("{source_labels: [a, b], regex: 'foo;.*', action: drop}", "a=foo b=x", None),
        ("{source_labels: [a], regex: 'no-match', action: keep}", "a=foo", None),
        ("{source_labels: [a], regex: 'f|foo', action: KEEP}", "a=foo", Some("a=foo")),
        (
            "{source_labels: [a], regex: 'f(.*)', target_label: d, replacement: 'ch$1-ch$1'}",
            "a=foo",
            Some("a=foo d=choo-choo"),
        ),
        ("{source_labels: [a], target_label: a, replacement: ''}", "a=foo b=x", Some("b=x")),
        ("{target_label: a, replacement: new}", "b=x", Some("a=new b=x")),
        ("{source_labels: [a], regex: '(b).*', target_label: d}", "a=foo", Some("a=foo")),
        (
            "{source_labels: [a], regex: 'some-([^-]+)-([^,]+)', target_label: '${1}', replacement: '${2}'}",
            "a=some-name-value",
            Some("a=some-name-value name=value"),
        ),
        ("{source_labels: [c], target_label: d, action: hashmod, modulus: 1000}", "c=baz", Some("c=baz d=976")),
        (
            "{regex: '(b.*)', replacement: 'bar_${1}', action: labelmap}",
            "a=1 b1=2 b2=3",
            Some("a=1 b1=2 b2=3 bar_b1=2 bar_b2=3"),
        ),
        (
            "{regex: '__meta_(my.*)', replacement: '$1', action: labelmap}",
            "__meta_my_bar=aaa",
            Some("__meta_my_bar=aaa my_bar=aaa"),
        ),
        ("{regex: 'b.*', action: labeldrop}", "a=1 b1=2", Some("a=1")),
        ("{regex: 'a', action: labelkeep}", "a=1 b1=2", Some("a=1")),
        ("{source_labels: [f], target_label: g, action: uppercase}", "f=Bar", Some("f=Bar g=BAR")),
        ("{source_labels: [f], target_label: g, action: uppercase}", "f=Maß", Some("f=Maß g=MAß")),
        ("{source_labels: [f], target_label: f, action: lowercase}", "f=Bar", Some("f=bar")),
        ("{source_labels: [p], target_label: q, action: keepequal}", "p=1 q=1", Some("p=1 q=1")),
        ("{source_labels: [p], target_label: q, action: keepequal}", "p=1 q=2", None),
        ("{source_labels: [p], target_label: q, action: dropequal}", "p=1 q=1", None),
        ("{source_labels: [p], target_label: q, action: dropequal}", "p=1 q=2", Some("p=1 q=2")),
    ] {
        let rules = relabel::parse_rules(&format!("- {rule}\n")).unwrap_or_else(|e| panic!("{rule}: {e}"));
        assert_eq!(relabel::apply(&rules, &set(before)), after.map(set), "{rule} on {before}");
    }
}

#[test]
fn refusals() {
    for (rule, words) in [
        ("{action: explode}", "unknown relabel action \"explode\""),
        ("{action: hashmod, target_label: a}", "non-zero modulus"),
        ("{action: replace}", "requires 'target_label'"),
        ("{action: lowercase, target_label: a, replacement: b}", "'replacement' can not be set"),
        ("{action: keepequal, target_label: a, regex: b}", "no other fields"),
        ("{action: labeldrop, source_labels: [a]}", "requires only 'regex'"),
        ("{action: keep, regex: '('}", "error parsing regexp: missing closing )"),
        ("{acton: keep}", "acton"),
    ] {
        let error = relabel::parse_rules(&format!("\n- {rule}\n")).unwrap_err();
        assert!(error.to_string().contains(words), "{rule}: {error}");
        assert_eq!(error.line, 2, "{rule}: {error}");
    }
    assert!(relabel::parse_rules("").unwrap().is_empty());
}

/// Rules see what the rules before them left.
#[test]
fn a_label_that_was_removed_can_be_set_again() {
    for (rules, before, after) in [
        ("- {regex: a, action: labeldrop}\n- {target_label: a, replacement: new}\n", "a=old b=x", "a=new b=x"),
        (
            "- {target_label: a, replacement: ''}\n- {source_labels: [a, b], target_label: c}\n\
             - {source_labels: [c], target_label: a}\n",
            "a=old b=x",
            "a=;x b=x c=;x",
        ),
        (
            "- {regex: '__tmp_(.*)', action: labelmap}\n- {regex: '__tmp_.*', action: labeldrop}\n",
            "__tmp_a=1 a=0",
            "a=1",
        ),
    ] {
        let parsed = relabel::parse_rules(rules).unwrap();
        assert_eq!(relabel::apply(&parsed, &set(before)), Some(set(after)), "{rules}");
    }
}
