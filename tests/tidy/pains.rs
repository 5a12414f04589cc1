//! The table of properties that came out of other servers' faults names tests that exist.

use tests::root;

#[test]
fn each_row_of_pains_names_a_test() {
    let text = std::fs::read_to_string(root().join("tests/pains.md")).unwrap();
    let mut rows = 0;
    for line in text.lines().filter(|line| line.starts_with("| ") && line.contains('`')) {
        let cells: Vec<&str> = line.split('`').collect();
        let [.., path, " ", name, " |"] = &cells[..] else { panic!("{line}: no `file` `test` at the end") };
        let file = std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        let place = file.find(&format!("fn {name}(")).unwrap_or_else(|| panic!("{path} has no {name}"));
        // In a macro of properties the attribute stands in the same place.
        let before = file[..place].trim_end_matches("async ").trim_end();
        assert!(
            before.ends_with(']') && before[before.len().saturating_sub(80)..].contains("test"),
            "{name} is no test"
        );
        rows += 1;
    }
    assert!(rows > 50, "{rows} rows");
}
