//! Which part of a YAML stream is read.

/// The first document of `yaml`, as Go's YAML readers take it: what follows a second `---`, or a `...`, is left out. Lines
/// keep their numbers.
///
/// ```
/// assert_eq!(model::first_document("---\na: 1\n---\nb: 2\n"), "---\na: 1\n");
/// assert_eq!(model::first_document("a: 1\n...\nb"), "a: 1\n");
/// ```
pub fn first_document(yaml: &str) -> &str {
    let (mut at, mut begun) = (0, false);
    for line in yaml.split_inclusive('\n') {
        let text = line.trim_start_matches('\u{feff}').trim_end();
        if begun && (is_marker(text, "---") || is_marker(text, "...")) {
            return &yaml[..at];
        }
        // Comments and directives stand before a document without beginning it.
        begun |= !text.is_empty() && !text.starts_with(['#', '%']);
        at += line.len();
    }
    yaml
}

fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_where_the_first_document_ends() {
        for (yaml, first) in [
            ("", ""),
            ("a: 1", "a: 1"),
            ("a: 1\r\n---\r\nb: 2\r\n", "a: 1\r\n"),
            ("\u{feff}---\na: 1\n--- {b: 2}\n", "\u{feff}---\na: 1\n"),
            ("# why\n\n%YAML 1.1\n---\na: 1\n", "# why\n\n%YAML 1.1\n---\na: 1\n"),
            ("# a --- b\n--- {a: 1}\n...\n{", "# a --- b\n--- {a: 1}\n"),
            ("a: |\n  ---\n  x\n----\n", "a: |\n  ---\n  x\n----\n"),
            ("---\n---\na: 1\n", "---\n"),
        ] {
            assert_eq!(first_document(yaml), first, "{yaml:?}");
        }
    }
}
