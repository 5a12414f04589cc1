//! Series that are known by their bytes are passed over; everything else stays as it is.

use std::collections::HashSet;

use proptest::prelude::*;
use textparse::{Entry, Format, Known, Options, Parser};

const LINE: &str = "[ab]{1,2}( ?\\{([ab]=\"[ab\\\\}\"]{0,3}\",?){0,2}\\})? ?1( 5)?";

type Row = (Vec<u8>, u64, Option<i64>);

/// Keys, values and times of a body's samples, or the error. With `known` those series are passed over.
fn rows(body: &[u8], format: Format, known: &HashSet<Vec<u8>>) -> Result<Vec<Row>, String> {
    let mut parser = Parser::new(body, format, Options::default()).map_err(|e| e.to_string())?;
    let mut out = Vec::new();
    let mut asked = Vec::new();
    loop {
        let mut is_known = |key: &[u8]| {
            asked.push(key.to_vec());
            known.contains(key)
        };
        if !parser.advance_known(&mut is_known).map_err(|e| e.to_string())? {
            return Ok(out);
        }
        if let Entry::Sample(sample) = parser.entry() {
            // Whoever was asked about a series was asked about this one.
            if let Some(asked) = asked.pop() {
                assert_eq!(asked, sample.series.key());
            }
            out.push((sample.series.key().to_vec(), sample.value.to_bits(), sample.timestamp_ms));
        }
        asked.clear();
    }
}

/// A second scrape of what the first one read gives the same.
fn check(body: &[u8], format: Format) {
    let first = rows(body, format, &HashSet::new());
    let Ok(read) = &first else { return };
    let known = read.iter().map(|(key, ..)| key.clone()).collect();
    assert_eq!(rows(body, format, &known), first, "{:?}", String::from_utf8_lossy(body));
}

#[test]
fn lines() {
    for line in [
        "a 1",
        "a\t1",
        "a{} 1",
        "a {b=\"c\"} 1",
        "a  {b=\"c\"} 1",
        "a{b=\"c\"}1",
        "a{b=\"}\"} 1",
        "a{b=\"\\\"}\"} 1 5",
        "a{b=\"\\\\\"} 1",
        "{\"a\"} 1",
        "{\"a}\",b=\"c\"} 1",
        "a+1",
        "a{b=\"x\ny\"} 1",
        "{ \"a\" , b = \"c\" } 1",
        "a",
    ] {
        check(format!("{line}\nz 2\n{line}\n").as_bytes(), Format::Text);
        check(format!("{line}\nz 2\n{line}\n# EOF\n").as_bytes(), Format::OpenMetrics);
    }
}

/// Series in the order of the body before, as the cache of a target has them.
struct Before<'a> {
    order: &'a [Vec<u8>],
    next: usize,
    /// How many were recognised without a look for their ends.
    expected: usize,
}

impl Known for Before<'_> {
    fn expected_bytes(&self) -> usize {
        self.order.get(self.next).map_or(0, Vec::len)
    }

    fn is_expected(&mut self, key: &[u8]) -> bool {
        let is_expected = self.order.get(self.next).is_some_and(|expected| expected == key);
        self.next += usize::from(is_expected);
        self.expected += usize::from(is_expected);
        is_expected
    }

    fn is_known(&mut self, key: &[u8]) -> bool {
        let Some(at) = self.order.iter().position(|known| known == key) else { return false };
        self.next = at + 1;
        true
    }
}

/// A body is read as it is, whatever was read before it; gives how many series were where they were expected.
fn check_behind(before: &str, body: &str, format: Format) -> usize {
    let Ok(read) = rows(before.as_bytes(), format, &HashSet::new()) else { return 0 };
    let order: Vec<Vec<u8>> = read.into_iter().map(|(key, ..)| key).collect();
    let mut known = Before { order: &order, next: 0, expected: 0 };
    let mut parser = Parser::new(body.as_bytes(), format, Options::default()).unwrap();
    let mut out = Vec::new();
    let read = loop {
        match parser.advance_known(&mut known) {
            Ok(true) => {}
            Ok(false) => break Ok(out),
            Err(e) => break Err(e.to_string()),
        }
        if let Entry::Sample(sample) = parser.entry() {
            out.push((sample.series.key().to_vec(), sample.value.to_bits(), sample.timestamp_ms));
        }
    };
    let plain = rows(body.as_bytes(), format, &HashSet::new());
    assert_eq!(read, plain, "{before:?} {body:?}");
    known.expected
}

#[test]
fn expected_series() {
    let before = "a{b=\"c\"} 1\na 1\nb{x=\" } \"} 1\n{\"u.v\",b=\"c\"} 1\n";
    for end in ["", "# EOF\n"] {
        let format = if end.is_empty() { Format::Text } else { Format::OpenMetrics };
        let before = format!("{before}{end}");
        assert_eq!(check_behind(&before, &before.replace(" 1\n", " -2.5\n"), format), 4);
        // One has gone, one has come.
        assert_eq!(check_behind(&before, &before.replace("a 1\n", ""), format), 2);
        assert_eq!(check_behind(&before, &before.replace("a 1\n", "a 1\nnew 1\n"), format), 4);
        for (old, new) in [
            ("a 1\n", "a {b=\"c\"} 1\n"),
            ("a 1\n", "a  1\n"),
            ("a 1\n", "a\t1\n"),
            ("a 1\n", "ab 1\n"),
            ("a 1\n", "a{} 1\n"),
            ("a 1\n", "a \n"),
            ("a 1\n", "a x\n"),
            ("a 1\n", "a 1 5\n"),
            ("a 1\n", "a 1e3\n"),
            ("\"c\"} 1", "\"c\"}1"),
            ("\"c\"} 1", "\"c\"}  1"),
        ] {
            check_behind(&before, &before.replacen(old, new, 1), format);
        }
    }
}

/// A known name does not hide that something is wrong behind it.
#[test]
fn what_follows_is_still_read() {
    let known = HashSet::from([b"a".to_vec()]);
    assert!(rows(b"a x\n", Format::Text, &known).is_err());
    assert!(rows(b"a{ 1\n", Format::Text, &known).is_err());
    assert_eq!(rows(b"a {b=\"c\"} 1\n", Format::Text, &known).unwrap()[0].0, b"a {b=\"c\"}");
}

proptest! {
    #[test]
    fn any_body(lines in proptest::collection::vec("[ab{}\",=\\\\ \t1\n]{0,12}", 0..8)) {
        let body = lines.join("\n") + "\n";
        check(body.as_bytes(), Format::Text);
        check((body + "# EOF\n").as_bytes(), Format::OpenMetrics);
    }

    #[test]
    fn what_was_before_changes_nothing(
        before in proptest::collection::vec(LINE, 0..8),
        changes in proptest::collection::vec((0usize..8, LINE), 0..3),
        end in "( ?1(\\.5|e2| 5| )?\n)?",
    ) {
        let mut lines = before.clone();
        for (at, line) in changes {
            lines.insert(at.min(lines.len()), line);
        }
        let body = |lines: &[String], end: &str| lines.join("\n") + "\n" + end;
        let eof = "# EOF\n";
        check_behind(&body(&before, ""), &body(&lines, &end), Format::Text);
        check_behind(&body(&before, eof), &(body(&lines, &end) + eof), Format::OpenMetrics);
    }

    #[test]
    fn bodies_of_series(
        lines in proptest::collection::vec(LINE, 0..8)
    ) {
        let body = lines.join("\n") + "\n";
        check(body.as_bytes(), Format::Text);
        check((body + "# EOF\n").as_bytes(), Format::OpenMetrics);
    }
}
