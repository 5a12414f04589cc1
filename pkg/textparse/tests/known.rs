//! Series that are known by their bytes are passed over; everything else stays as it is.

use std::collections::HashSet;

use proptest::prelude::*;
use textparse::{Entry, Format, Options, Parser};

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
    fn bodies_of_series(
        lines in proptest::collection::vec("[ab]{1,2}( ?\\{([ab]=\"[ab\\\\}\"]{0,3}\",?){0,2}\\})? ?1( 5)?", 0..8)
    ) {
        let body = lines.join("\n") + "\n";
        check(body.as_bytes(), Format::Text);
        check((body + "# EOF\n").as_bytes(), Format::OpenMetrics);
    }
}
