//! Acceptance, meaning, groups and error texts are those of Go's `regexp`, case by case. See testdata/re2/README.md.

use re2::{Matcher, Regex};

const CASES: &str = include_str!("../../../testdata/re2/cases.tsv");

/// Go's `QuoteToASCII`, taken back.
fn unquote(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text[1..text.len() - 1].chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let digits = match chars.next().unwrap() {
            'n' => 0x0a_usize << 8,
            't' => 0x09 << 8,
            'r' => 0x0d << 8,
            'a' => 0x07 << 8,
            'b' => 0x08 << 8,
            'f' => 0x0c << 8,
            'v' => 0x0b << 8,
            'x' => 2,
            'u' => 4,
            'U' => 8,
            other => (other as usize) << 8,
        };
        let code = if digits > 8 {
            (digits >> 8) as u32
        } else {
            let hex: String = chars.by_ref().take(digits).collect();
            u32::from_str_radix(&hex, 16).unwrap()
        };
        out.push(char::from_u32(code).unwrap());
    }
    out
}

fn check(cases: &str) -> (usize, Vec<String>) {
    let (mut count, mut wrong) = (0, Vec::new());
    for line in cases.lines() {
        count += 1;
        let fields: Vec<&str> = line.split('\t').collect();
        let pattern = unquote(fields[0]);
        if fields[1] == "E" {
            let want = unquote(fields[2]);
            let got = Matcher::new(&pattern).map_or_else(|e| e.to_string(), |_| "accepted".to_owned());
            if got != want {
                wrong.push(format!("{pattern:?}: want {want}, got {got}"));
            }
            continue;
        }
        let text = unquote(fields[2]);
        let got = match (Matcher::new(&pattern), Regex::new(&pattern), Regex::new_anchored(&pattern)) {
            (Ok(matcher), Ok(regex), Ok(anchored)) => {
                assert_eq!(
                    matcher.matches(&text),
                    anchored.is_match(&text),
                    "fast path and automaton differ: {pattern:?} on {text:?}"
                );
                if matcher.matches(&text) {
                    assert!(text.starts_with(matcher.prefix()), "{pattern:?} on {text:?}");
                    let listed = matcher.literals().is_none_or(|l| l.contains(&text));
                    assert!(listed, "{pattern:?} does not list {text:?}");
                }
                let groups = regex.captures(&text).map_or("-".to_owned(), |c| {
                    let spans: Vec<String> = (0..=regex.group_count())
                        .map(|i| c.span(i).map_or("-".to_owned(), |s| format!("{}..{}", s.start, s.end)))
                        .collect();
                    spans.join(",")
                });
                format!("{}\t{groups}", u8::from(matcher.matches(&text)))
            }
            (m, r, a) => format!("refused: {:?} {:?} {:?}", m.err(), r.err(), a.err()),
        };
        let want = format!("{}\t{}", fields[1], fields[3]);
        if got != want {
            wrong.push(format!("{pattern:?} on {text:?}: want {want:?}, got {got:?}"));
        }
    }
    (count, wrong)
}

#[test]
fn agrees_with_go() {
    let (count, wrong) = check(CASES);
    assert!(count > 1500, "only {count} cases");
    assert!(wrong.is_empty(), "{} of {count} cases:\n{}", wrong.len(), wrong.join("\n"));
}
