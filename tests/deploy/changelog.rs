//! The changelog has one form, which is Prometheus': kinds in order, a part before each text.

#[test]
fn entries_have_a_kind_and_a_part() {
    const KINDS: [&str; 4] = ["CHANGE", "FEATURE", "ENHANCEMENT", "BUGFIX"];
    let text = std::fs::read_to_string(tests::root().join("CHANGELOG.md")).unwrap();
    let (mut last, mut entries) = (0, 0);
    for line in text.lines() {
        if line.starts_with("## ") {
            last = 0;
        }
        let Some(entry) = line.strip_prefix("- ") else {
            assert!(!line.starts_with("  ") && !line.starts_with('*'), "an entry is one line: {line}");
            continue;
        };
        let (kind, rest) = entry.strip_prefix('[').and_then(|e| e.split_once("] ")).unwrap_or_default();
        let at = KINDS.iter().position(|k| *k == kind);
        let at = at.unwrap_or_else(|| panic!("begins with none of {KINDS:?} in brackets: {line}"));
        assert!(at >= last, "comes after others of its version, in the order {KINDS:?}: {line}");
        let part = rest.split_once(": ").map_or("", |(part, _)| part);
        assert!(!part.is_empty() && part.len() < 30 && !part.contains('`'), "has no part, as `Store: …`: {line}");
        (last, entries) = (at, entries + 1);
    }
    assert!(entries > 20, "{entries} entries");
}
