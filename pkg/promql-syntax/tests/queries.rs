//! Acceptance, error texts, printing and layout are those of Prometheus 3.14. See testdata/promql/README.md.

use promql_syntax::{Expr, ParseOptions, parse, parse_with, pretty, unquote, walk};

const QUERIES: &str = include_str!("../../../testdata/promql/queries.tsv");

#[test]
fn agrees_with_prometheus() {
    let (mut valid, mut invalid) = (0, 0);
    for line in QUERIES.lines() {
        let fields: Vec<String> = line.split('\t').map(|f| unquote(f).unwrap_or_else(|| f.to_owned())).collect();
        let query = fields[0].as_str();
        match fields[1].as_str() {
            "ok" => {
                valid += 1;
                let expr = parse(query).unwrap_or_else(|e| panic!("{query:?}: {e}"));
                assert_eq!(expr.to_string(), fields[2], "{query:?}");
                assert_eq!(pretty(&expr), fields[3], "{query:?}");
            }
            kind => {
                invalid += 1;
                let options = if kind == "stable" { ParseOptions::STABLE } else { ParseOptions::ALL };
                let got = parse_with(query, &options).map_or_else(|e| e.to_string(), |e| format!("accepted as {e}"));
                assert_eq!(got, fields[2], "{query:?}, {kind}");
            }
        }
    }
    assert!(valid > 150 && invalid > 150, "{valid} valid, {invalid} invalid");
}

/// What is printed parses, and prints the same again.
#[test]
fn printed_text_is_stable() {
    for line in QUERIES.lines().filter(|l| l.split('\t').nth(1) == Some("ok")) {
        let query = unquote(line.split('\t').next().unwrap()).unwrap();
        // In the reference too, a signed operand of `^` loses its grouping, and less than a ms is printed as 0s.
        if query.contains('^') || query.contains("0.0001") {
            continue;
        }
        let once = parse(&query).unwrap().to_string();
        let twice = parse(&once).unwrap_or_else(|e| panic!("{query:?} printed as {once:?}: {e}")).to_string();
        assert_eq!(once, twice, "{query:?}");
    }
}

#[test]
fn spans_point_at_the_text() {
    for (query, spans) in [
        ("a + b", "a + b|a|b"),
        (
            " sum by (x) ( rate(foo[5m] offset 1m) ) ",
            "sum by (x) ( rate(foo[5m] offset 1m) )|rate(foo[5m] offset 1m)|foo[5m] offset 1m",
        ),
        ("(sum(x) )", "(sum(x) )|sum(x)|x"),
        ("sum(x) without (y) / 2", "sum(x) without (y) / 2|sum(x) without (y)|x|2"),
        ("-foo{a=\"b\"} @ 5", "-foo{a=\"b\"} @ 5|foo{a=\"b\"} @ 5"),
        ("max_over_time(x[1h:5m] @ end())", "max_over_time(x[1h:5m] @ end())|x[1h:5m] @ end()|x"),
        ("time() - -3", "time() - -3|time()|-3"),
    ] {
        let expr = parse(query).unwrap();
        let mut seen = Vec::new();
        walk(&expr, &mut |e: &Expr| seen.push(&query[e.span().start..e.span().end]));
        assert_eq!(seen.join("|"), spans, "{query}");
    }
}

#[test]
fn hostile_queries_are_refused() {
    let many = 100_000;
    for query in [
        "(".repeat(many),
        "-".repeat(many) + "1",
        "abs(".repeat(many),
        "sum by (x) (".repeat(many),
        "1^".repeat(many) + "1",
        "a + ".repeat(many) + "a",
        "foo".to_owned() + &"[1m:]".repeat(many),
        "foo[".to_owned() + &"(".repeat(many),
        "foo[".to_owned() + &"-".repeat(many) + "1m]",
        "foo[1m".to_owned() + &"+1m".repeat(many) + "]",
        "x".repeat(2 << 20),
    ] {
        let error = parse(&query).unwrap_err();
        assert!(error.message.len() < 200, "{error}");
    }
    // What people write passes.
    assert!(parse(&(vec!["up{job=\"x\"}"; 900].join(" or "))).is_ok());
    assert!(parse(&format!("{}1{}", "(".repeat(150), ")".repeat(150))).is_ok());
}

#[test]
fn selectors_and_metrics() {
    use promql_syntax::{parse_metric_labels, parse_series_matchers};
    let matchers = |s: &str| parse_series_matchers(s).map(|m| format!("{m:?}")).map_err(|e| e.to_string());
    assert_eq!(matchers("up{a!~\"b.*\"}").unwrap(), r#"[a!~"b.*", __name__="up"]"#);
    assert_eq!(matchers("{a=\"\"}").unwrap(), r#"[a=""]"#);
    assert_eq!(matchers("sum(up)").unwrap_err(), "1:4: parse error: unexpected \"(\"");
    assert_eq!(matchers("up[5m]").unwrap_err(), "1:3: parse error: unexpected \"[\"");
    assert_eq!(matchers("").unwrap_err(), "unknown position: parse error: unexpected end of input");

    let metric = |s: &str| parse_metric_labels(s).map(|l| l.to_string()).map_err(|e| e.to_string());
    assert_eq!(metric("up{b='2', a=\"1\",}").unwrap(), r#"{__name__="up", a="1", b="2"}"#);
    assert_eq!(metric("{\"my.up\", \"x y\"=\"z\"}").unwrap(), r#"{__name__="my.up", "x y"="z"}"#);
    assert_eq!(metric("up").unwrap(), r#"{__name__="up"}"#);
    assert_eq!(
        metric("up{a=~\"1\"}").unwrap_err(),
        "1:5: parse error: unexpected <op:=~> in label set, expected \"=\""
    );
    assert_eq!(metric("up{a}").unwrap_err(), "1:5: parse error: unexpected \"}\" in label set, expected \"=\"");
}

/// An aggregation ended at the parenthesis that closes what is around it, because the parser had read ahead.
#[test]
fn r16053_aggregations_end_at_their_own_parenthesis() {
    let query = "(avg(a) ) / (sum(b)\n )";
    let expr = parse(query).unwrap();
    let mut ends = Vec::new();
    walk(&expr, &mut |e: &Expr| {
        if let Expr::Aggregate(a) = e {
            ends.push(&query[a.span.start..a.span.end]);
        }
    });
    assert_eq!(ends, ["avg(a)", "sum(b)"]);
}

/// Digits of other scripts were taken for digits.
#[test]
fn r939_only_latin_digits_are_digits() {
    assert_eq!(parse("١").unwrap_err().to_string(), "1:1: parse error: unexpected character: '١'");
}

proptest::proptest! {
    /// Nothing that is made of the language's own pieces, or of anything, makes the parser panic; what it accepts, it
    /// prints and lays out.
    #[test]
    fn never_panics(
        words in proptest::collection::vec(
            "foo|sum|rate|by|on|offset|bool|group_left|fill|step|min_of|anchored|[-+*/%^@(){}\\[\\],:=!<>~#\"'` ]|5m|1e3|0x|\\PC",
            0..24,
        )
    ) {
        for separator in ["", " "] {
            let query = words.join(separator);
            if let Ok(expr) = parse(&query) {
                proptest::prop_assert!(!expr.to_string().is_empty() && !pretty(&expr).is_empty());
            }
            let _ = promql_syntax::parse_series_description(&query, 100);
            let _ = promql_syntax::testlang::parse_script(&query, 100);
        }
    }
}

#[test]
fn what_was_no_utf8_is_printed_so_that_it_can_be_parsed() {
    for (query, printed) in [
        (r#"a{b="x\xba"}"#, r#"a{b="x\ufffd"}"#),
        (r#""\xff""#, r#""\xff""#),
        (r#"sum by ("\xff") (a)"#, r#"sum by ("\ufffd") (a)"#),
    ] {
        let expr = promql_syntax::parse(query).unwrap();
        assert_eq!(expr.to_string(), printed);
        assert_eq!(promql_syntax::parse(printed).unwrap().to_string(), printed);
        assert_eq!(promql_syntax::parse(&promql_syntax::pretty(&expr)).unwrap().to_string(), printed);
    }
}
