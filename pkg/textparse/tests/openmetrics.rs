//! OpenMetrics: what is taken, as what, and what is refused.

mod common;

use common::dump;
use textparse::{Format, Options};

fn openmetrics(body: &str) -> Vec<String> {
    let options = Options { exemplars: true, ..Options::default() };
    dump(format!("{body}# EOF\n").as_bytes(), Format::OpenMetrics, options)
}

#[test]
fn taken() {
    for (body, want) in [
        ("", &[][..]),
        ("a 1\n", &["a{} 1"]),
        ("a{b=\"c\",} 1 1.5\n", &["a{b=\"c\"} 1 @1500"]),
        ("a 1 -1\n", &["a{} 1 @-1000"]),
        ("a 1 1.0001234\n", &["a{} 1 @1000"]),
        ("{\"a.b\",\"c.d\"=\"e\"} 1\n", &["a.b{c.d=\"e\"} 1"]),
        ("a{\"b\"=\"c\"} 1\n", &["a{b=\"c\"} 1"]),
        ("a NaN\n", &["a{} NaN 7ff8000000000001"]),
        ("# HELP a x\\ny\\\"\n", &["help a \"x\\ny\\\"\""]),
        ("# HELP a \n", &["help a \"\""]),
        ("# HELP \"a.b\" x\n", &["help a.b \"x\""]),
        (
            "# TYPE a info\n# TYPE b stateset\n# TYPE c unknown\n# TYPE d gaugehistogram\n",
            &["type a info", "type b stateset", "type c unknown", "type d gaugehistogram"],
        ),
        ("# UNIT a_seconds seconds\n# UNIT b \n", &["unit a_seconds \"seconds\"", "unit b \"\""]),
        ("# UNIT \"a.b_seconds\" seconds\n", &["unit a.b_seconds \"seconds\""]),
        ("a_total 1 # {} 2\n", &["a_total{} 1 # {} 2"]),
        ("a_total 1 2 # {t=\"x\"} 3 4.5\n", &["a_total{} 1 @2000 # {t=\"x\"} 3 @4500"]),
        ("a_total 1 # {\"t.u\"=\"x\\\"\",v=\"w\",} 3\n", &["a_total{} 1 # {\"t.u\"=\"x\\\"\", v=\"w\"} 3"]),
        ("# TYPE h histogram\nh_bucket{le=\"1\"} 1\n", &["type h histogram", "h_bucket{le=\"1.0\"} 1"]),
    ] {
        assert_eq!(openmetrics(body), want, "{body:?}");
    }
    // Exemplars are built on demand only.
    let plain = dump(b"a_total 1 # {t=\"x\"} 3\n# EOF", Format::OpenMetrics, Options::default());
    assert_eq!(plain, ["a_total{} 1"]);
}

#[test]
fn refused() {
    for (body, want) in [
        ("\n", "expected a metric name"),
        ("# a comment\n", "expected `# HELP `"),
        ("#HELP a b\n", "expected `# HELP `"),
        ("#  HELP a b\n", "expected `# HELP `"),
        ("# HELP  a b\n", "expected a metric name after HELP"),
        ("# HELP a\n", "expected a space and text in HELP"),
        ("# TYPE a untyped\n", "invalid metric type \"untyped\""),
        ("# TYPE a  counter\n", "invalid metric type \" counter\""),
        ("# UNIT a seconds\n", "unit \"seconds\" is not a suffix of metric \"a\""),
        ("# UNIT aseconds seconds\n", "is not a suffix"),
        ("# UNIT seconds seconds\n", "is not a suffix"),
        (" a 1\n", "expected a metric name"),
        ("a  1\n", "expected a space and a value"),
        ("a\t1\n", "expected a space and a value"),
        ("a {b=\"c\"} 1\n", "value \"{b=\\\"c\\\"}\""),
        ("a{ b=\"c\"} 1\n", "expected a label name, found ' '"),
        ("a{b=\"c\" ,d=\"e\"} 1\n", "expected a comma or the closing brace"),
        ("a{b=\"c\"d=\"e\"} 1\n", "expected a comma or the closing brace"),
        ("a{b=\"x\ny\"} 1\n", "expected the closing quote"),
        ("a{b} 1\n", "expected `=`"),
        ("{} 1\n", "metric name not set"),
        ("a{\"b\"} 1\n", "metric name already set"),
        ("a 1 \n", "expected a space and the timestamp"),
        ("a 1 NaN\n", "invalid timestamp NaN"),
        ("a 1 Inf\n", "invalid timestamp inf"),
        ("a 1 x\n", "this is no number: timestamp \"x\""),
        ("a 1 2 3\n", "expected the end of the line"),
        ("a 1 # \n", "timestamp \"#\""),
        ("a 1 # {b} 2\n", "expected `=`"),
        ("a 1 # {\"b\"} 2\n", "expected `=`"),
        ("a 1 # {b=\"c\"}\n", "expected a space and a value after the exemplar's labels"),
        ("a 1 # {b=\"c\"} 1 NaN\n", "invalid exemplar timestamp"),
        ("a 1 # {b=\"c\"} 1 2 3\n", "expected the end of the line"),
        ("a 1 # {b=\"c\"} 1 # {d=\"e\"} 1\n", "exemplar timestamp \"#\""),
        ("a 1_0\n", "unsupported character"),
        ("a 0x1p1\n", "unsupported character"),
        ("# EOF\n", "unexpected data after # EOF"),
        ("a 1", "this is no number: value \"1#\""),
    ] {
        let got = openmetrics(body);
        assert!(got.last().is_some_and(|l| l.starts_with("error: ") && l.contains(want)), "{body:?}: {got:?}");
    }
    for (body, want) in [
        ("", "data does not end with # EOF"),
        ("a 1\n", "data does not end with # EOF"),
        ("a 1", "data does not end with # EOF"),
        ("a 1 2", "data does not end with # EOF"),
        ("# TYPE a counter", "expected the end of the line in TYPE"),
        ("# EOF\n\n", "unexpected data after # EOF"),
        ("# EOFx", "unexpected data after # EOF"),
    ] {
        let got = dump(body.as_bytes(), Format::OpenMetrics, Options::default());
        assert!(got.last().is_some_and(|l| l.contains(want)), "{body:?}: {got:?}");
    }
    assert!(dump(b"# EOF", Format::OpenMetrics, Options::default()).is_empty());
}

#[test]
fn start_times() {
    let body = "\
# TYPE a counter
a_total{x=\"1\"} 1
a_created{x=\"1\"} 10.5
a_total{x=\"2\"} 2
a_created{x=\"2\"} 20
a_total{x=\"3\"} 3
# TYPE h histogram
h_bucket{le=\"1.0\",x=\"1\"} 1
h_bucket{le=\"+Inf\",x=\"1\"} 1
h_count{x=\"1\"} 1
h_sum{x=\"1\"} 1
h_created{x=\"1\"} 30
# TYPE s summary
s{quantile=\"0.5\"} 1
s_created 40
# TYPE g gauge
g_created 5
# EOF
";
    let options = Options { start_timestamps: true, ..Options::default() };
    assert_eq!(
        dump(body.as_bytes(), Format::OpenMetrics, options),
        [
            "type a counter",
            "a_total{x=\"1\"} 1 st@10500",
            "a_total{x=\"2\"} 2 st@20000",
            "a_total{x=\"3\"} 3",
            "type h histogram",
            "h_bucket{le=\"1.0\",x=\"1\"} 1 st@30000",
            "h_bucket{le=\"+Inf\",x=\"1\"} 1 st@30000",
            "h_count{x=\"1\"} 1 st@30000",
            "h_sum{x=\"1\"} 1 st@30000",
            "type s summary",
            "s{quantile=\"0.5\"} 1 st@40000",
            "type g gauge",
            "g_created{} 5",
        ]
    );
    let plain = dump(body.as_bytes(), Format::OpenMetrics, Options::default());
    assert!(plain.contains(&"a_created{x=\"1\"} 10.5".to_owned()), "{plain:?}");
    // An error in what is looked ahead at is told where it stands.
    let broken = "# TYPE a counter\na_total 1\nb x\na_created 1\n# EOF\n";
    let got = dump(broken.as_bytes(), Format::OpenMetrics, options);
    assert_eq!(got[1], "a_total{} 1");
    assert!(got[2].contains("line 3"), "{got:?}");
}
