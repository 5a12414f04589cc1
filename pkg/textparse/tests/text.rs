//! The text format: what is taken, as what, and what is refused with which words.

mod common;

use common::dump;
use textparse::{Entry, Format, Options, Parser};

fn text(body: &str) -> Vec<String> {
    dump(body.as_bytes(), Format::Text, Options::default())
}

#[test]
fn taken() {
    for (body, want) in [
        ("", &[][..]),
        ("\n\n \t\n", &[]),
        ("a 1", &["a{} 1"]),
        ("a 1\n", &["a{} 1"]),
        ("a 1\nb 2", &["a{} 1", "b{} 2"]),
        (":a:b_1 1\n", &[":a:b_1{} 1"]),
        ("a{} 1\n", &["a{} 1"]),
        ("a{b=\"c\"} 1\n", &["a{b=\"c\"} 1"]),
        ("a{b=\"c\",} 1 123\n", &["a{b=\"c\"} 1 @123"]),
        ("a { b = \"c\" , d = \"e\" } 1\t123 \n", &["a{b=\"c\",d=\"e\"} 1 @123"]),
        // Commas may be missing in this format.
        ("a{b=\"c\" d=\"e\"f=\"g\"} 1\n", &["a{b=\"c\",d=\"e\",f=\"g\"} 1"]),
        ("a{b=\"c\"}1\n", &["a{b=\"c\"} 1"]),
        ("a+1\n", &["a{} 1"]),
        ("a{b=\"}{,\"} 1\n", &["a{b=\"}{,\"} 1"]),
        ("a{b=\"x\\\\y\\nz\\\"\\t\"} 1\n", &["a{b=\"x\\\\y\\nz\\\"\\\\t\"} 1"]),
        ("a{b=\"two\nlines\"} 1\n", &["a{b=\"two\\nlines\"} 1"]),
        ("a{b=\"\"} 1\n", &["a{b=\"\"} 1"]),
        ("a{b=\"é\"} 1\n", &["a{b=\"é\"} 1"]),
        ("a{b=\"\0s\"} 1\n", &["a{b=\"\\0s\"} 1"]),
        ("{\"a.b\"} 1\n", &["a.b{} 1"]),
        ("{\"a.b\",} 1\n", &["a.b{} 1"]),
        ("{\"a.b\",\"c.d\"=\"e\",f=\"g\"} 1\n", &["a.b{c.d=\"e\",f=\"g\"} 1"]),
        ("{f=\"g\",\"a.b\"} 1\n", &["a.b{f=\"g\"} 1"]),
        ("{\"a\\\"b\"} 1\n", &["a\"b{} 1"]),
        (
            "a NaN\nb nan\nc +Inf\nd -Inf\n",
            &["a{} NaN 7ff8000000000001", "b{} NaN 7ff8000000000001", "c{} inf", "d{} -inf"],
        ),
        ("a 1.5e-3\nb -0\n", &["a{} 0.0015", "b{} -0"]),
        ("a 1 9223372036854775807\n", &["a{} 1 @9223372036854775807"]),
        ("# a comment\n#\n#HELP no\n# HELPER a b\n# TYPES a counter\n# HELP\n", &["comment"; 6]),
        ("# \u{fffd}\n", &["comment"]),
        ("# HELP a some text \n", &["help a \"some text \""]),
        ("#\tHELP\ta\tsome text\n", &["help a \"some text\""]),
        ("# HELP a  two\n", &["help a \" two\""]),
        ("# HELP a\n# HELP b  \n", &["help a \"\"", "help b \"\""]),
        ("# HELP a x\\ny\\\\z\\\"", &["help a \"x\\ny\\\\z\\\\\\\"\""]),
        ("# HELP a x\0y\n", &["help a \"x\\0y\""]),
        ("# HELP \"a.b\" x\n# TYPE \"a.b\" gauge\n", &["help a.b \"x\"", "type a.b gauge"]),
        ("# TYPE a counter\n# TYPE b untyped\n", &["type a counter", "type b unknown"]),
        // Bounds are written in one way, whatever the target writes.
        (
            "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"1e6\"} 1\nh_bucket{le=\"+Inf\",quantile=\"1\"} 2\n",
            &[
                "type h histogram",
                "h_bucket{le=\"1.0\"} 1",
                "h_bucket{le=\"1e+06\"} 1",
                "h_bucket{le=\"+Inf\",quantile=\"1\"} 2",
            ],
        ),
        ("# TYPE s summary\ns{quantile=\"0\",le=\"1\"} 1\n", &["type s summary", "s{quantile=\"0.0\",le=\"1\"} 1"]),
        ("s{quantile=\"0\",le=\"1\"} 1\n", &["s{quantile=\"0\",le=\"1\"} 1"]),
    ] {
        assert_eq!(text(body), want, "{body:?}");
    }
}

#[test]
fn refused() {
    for (body, want) in [
        ("a", "line 1: expected a value after the series, found the end of the body after \"a\""),
        ("a\n", "line 1: expected a value after the series, found the end of the line after \"a\""),
        ("b 1\na{b='c'} 1\n", "line 2: expected a label value in quotes, found '\\'' after \"a{b=\""),
        ("a{b=\n", "expected a label value in quotes"),
        ("a{b=\"c\"", "expected a label name, found the end of the body"),
        ("a{=\"c\"} 1\n", "expected a label name, found '='"),
        ("a{,} 1\n", "expected a label name, found ','"),
        ("a{b=\"c\",,} 1\n", "expected a label name, found ','"),
        ("a{b} 1\n", "expected `=` after the label name, found '}'"),
        ("a{b,c=\"d\"} 1\n", "expected `=` after the label name, found ','"),
        ("a{b=\"c} 1\n", "expected the closing quote of a label value, found the end of the body"),
        ("a{b=\"c\\\nd\"} 1\n", "expected a character behind the backslash"),
        ("a{1b=\"c\"} 1\n", "expected a label name, found '1'"),
        ("a{b\0=\"c\"} 1\n", "expected `=` after the label name"),
        ("a{b=\0\"c\"} 1\n", "expected a label value in quotes"),
        ("a\0{b=\"c\"} 1\n", "value \"\\0\""),
        ("a{b=\"c\"}{d=\"e\"} 1\n", "expected a value after the series, found '{'"),
        ("{} 1\n", "metric name not set"),
        ("{a=\"ok\"} 1\n", "metric name not set"),
        ("a{\"b\"} 1\n", "metric name already set"),
        ("{\"a\",\"b\"} 1\n", "metric name already set"),
        ("{\"a\", \"b = \"c\"}\n", "expected `=`"),
        ("{\"a\" b=\"c\"} 1\n", "expected `=`"),
        ("1a 1\n", "expected a metric name"),
        ("a.b 1\n", "value \".b\""),
        ("\0a 1\n", "expected a metric name"),
        ("a true\n", "this is no number: value \"true\""),
        ("a 1_2\n", "unsupported character in float: value \"1_2\""),
        ("a 0x1p-3\n", "unsupported character in float"),
        ("a 0x10\n", "this is no number"),
        ("a 1e400\n", "larger than any 64-bit float"),
        ("a 1\r\n", "this is no number: value \"1\\r\""),
        ("a 1 -5\n", "expected a timestamp or the end of the line, found '-'"),
        ("a 1 1_2\n", "expected the end of the line, found '_'"),
        ("a 1 1.5\n", "expected the end of the line, found '.'"),
        ("a 1 9223372036854775808\n", "timestamp is out of range"),
        ("a 1 2 3\n", "expected the end of the line, found '3'"),
        ("a 1 # {b=\"c\"} 1\n", "expected a timestamp or the end of the line, found '#'"),
        ("# TYPE a\n", "invalid metric type \"\""),
        ("# TYPE a  counter\n", "invalid metric type \" counter\""),
        ("# TYPE a info\n", "invalid metric type \"info\""),
        ("# TYPE #\n", "expected a metric name after TYPE, found '#'"),
        ("# HELP 1a x\n", "expected a metric name after HELP, found '1'"),
    ] {
        let got = text(body);
        assert!(got.last().is_some_and(|l| l.starts_with("error: ") && l.contains(want)), "{body:?}: {got:?}");
    }
    for body in [&b"a{b=\"\xff\"} 1\n"[..], b"{\"\xff\"} 1\n", b"a{\"\xff\"=\"b\"} 1\n"] {
        let got = dump(body, Format::Text, Options::default());
        assert!(got[0].contains("invalid UTF-8 in a"), "{got:?}");
    }
    let got = dump(b"# HELP a \xff\n", Format::Text, Options::default());
    assert!(got[0].contains("the help text is not valid UTF-8"), "{got:?}");
    // What is no part of a series need not be UTF-8.
    assert_eq!(dump(b"# \xff\na{b=\"c\"} 1\n", Format::Text, Options::default()), ["comment", "a{b=\"c\"} 1"]);
}

/// What stands before an error was read, so that the caller decides what becomes of it.
#[test]
fn an_error_names_its_place() {
    let mut parser = Parser::new(b"a 1\nb 2\nc x\n", Format::Text, Options::default()).unwrap();
    assert!(parser.advance().unwrap() && parser.advance().unwrap());
    let error = parser.advance().unwrap_err();
    assert_eq!((error.line, error.offset), (3, 11));
}

#[test]
fn keys_are_the_bytes_of_the_body() {
    let body = b" a 1\n{\"b\"} 2 3\nc{d=\"e\\n\"} 4\n";
    let mut parser = Parser::new(body, Format::Text, Options::default()).unwrap();
    for want in [&b"a"[..], b"{\"b\"}", b"c{d=\"e\\n\"}"] {
        let Some(Entry::Sample(sample)) = parser.next().unwrap() else { panic!("a sample") };
        assert_eq!(sample.series.key(), want);
    }
}

#[test]
fn a_real_page() {
    let Some(dir) = std::env::var_os("AION_CONFORMANCE_DIR")
        .map(std::path::PathBuf::from)
        .or_else(|| Some(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data")))
        .filter(|dir| dir.is_dir())
    else {
        eprintln!("=== SKIPPED a_real_page: the conformance data is not there ===");
        return;
    };
    let page = dir.join("prometheus/model/textparse/testdata/alltypes.237mfs.prom.txt");
    let Ok(body) = std::fs::read(page) else { return };
    let lines = text(std::str::from_utf8(&body).unwrap());
    let count = |what: &str| lines.iter().filter(|l| l.starts_with(what)).count();
    let plain = body.split(|b| *b == b'\n').filter(|l| !l.is_empty() && !l.starts_with(b"#")).count();
    assert_eq!((count("type "), count("help "), count("error")), (237, 237, 0));
    // The page ends with a comment, as OpenMetrics wants it.
    assert_eq!(lines.len(), plain + 2 * 237 + 1);
}
