//! What Go's own templates do.

use std::collections::BTreeMap;
use std::sync::Arc;

use gotemplate::{Limits, NoFunctions, Struct, Template, Value};
use labels::Labels;

fn data() -> Value {
    let map = [("a".to_owned(), Value::Int(1)), ("b".to_owned(), Value::from("two"))];
    Value::Struct(Arc::new(Struct {
        type_name: "data",
        fields: vec![
            ("Name".to_owned(), "prom".into()),
            ("N".to_owned(), Value::Int(3)),
            ("F".to_owned(), Value::Float(1.5)),
            ("Yes".to_owned(), true.into()),
            ("List".to_owned(), Value::list(["x".into(), "y".into(), "z".into()])),
            ("Empty".to_owned(), Value::list([])),
            ("Labels".to_owned(), Value::Labels(Labels::from_pairs([("job", "node"), ("env", "dev")]))),
            ("Map".to_owned(), Value::Map(Arc::new(BTreeMap::from(map)))),
            ("Time".to_owned(), Value::Time(1_706_886_245_030)),
            ("None".to_owned(), Value::Nil),
        ],
        embedded: "",
    }))
}

fn render(text: &str) -> Result<String, String> {
    let template = Template::parse("t", text, &NoFunctions, &["$given"]).map_err(|e| e.to_string())?;
    template.render(&data(), &[("$given", "gift".into())], &NoFunctions, Limits::default()).map_err(|e| e.to_string())
}

#[test]
fn what_go_prints() {
    for (text, want) in [
        ("plain { } text", "plain { } text"),
        ("{{.Name}} {{ .N }} {{.F}} {{.Yes}}", "prom 3 1.5 true"),
        ("{{.Labels}} {{.List}} {{.Map}}", "map[env:dev job:node] [x y z] map[a:1 b:two]"),
        ("{{.Labels.job}}{{.Labels.none}}", "node<no value>"),
        ("{{.None}} {{print .None}}", "<no value> <nil>"),
        ("{{$given}} {{$.Name}}", "gift prom"),
        ("{{$x := 1}}{{if true}}{{$x = 2}}{{$x := 3}}{{end}}{{$x}}", "2"),
        ("{{if .Empty}}a{{else if eq .N 3}}b{{else}}c{{end}}", "b"),
        ("{{if false}}a{{else if false}}b{{else}}c{{end}}", "c"),
        ("{{with .Name}}<{{.}}>{{end}}{{with .Empty}}x{{else}}y{{end}}", "<prom>y"),
        ("{{with .Empty}}x{{else with .N}}n{{.}}{{end}}", "n3"),
        ("{{with $x := .N}}{{$x}}{{end}}", "3"),
        ("{{range .List}}{{.}},{{end}}{{range .Empty}}x{{else}}none{{end}}", "x,y,z,none"),
        ("{{range $i, $e := .List}}{{$i}}={{$e}};{{end}}", "0=x;1=y;2=z;"),
        ("{{range $e := .List}}{{$e}}{{end}}{{range $k, $v := .Labels}}{{$k}}:{{$v} }{{end}}", ""),
        ("{{range $k, $v := .Labels}}{{$k}}:{{$v}} {{end}}", "env:dev job:node "),
        ("{{range 3}}{{.}}{{end}}", "012"),
        ("{{range .List}}{{if eq . \"y\"}}{{break}}{{end}}{{.}}{{end}}", "x"),
        ("{{range .List}}{{if eq . \"y\"}}{{continue}}{{end}}{{.}}{{end}}", "xz"),
        ("{{define \"T\"}}[{{.}}]{{end}}{{template \"T\" .Name}}{{template \"T\"}}", "[prom][<no value>]"),
        ("{{block \"B\" .N}}<{{.}}>{{end}}", "<3>"),
        ("a  {{- .N -}}  b\n{{- /* note */ -}}\n c", "a3bc"),
        ("{{- .N}} {{.N -}}", "3 3"),
        ("{{/* nothing */}}{{\"}}\"}}{{`{{`}}", "}}{{"),
        ("{{.Name | printf \"%s-%s\" \"a\"}}", "a-prom"),
        ("{{(index .List 1) | len}} {{len .Labels}}", "1 2"),
        ("{{index .Labels \"job\"}}{{index .Labels \"none\"}} {{index .Map \"a\"}}", "node 1"),
        ("{{slice .Name 1 3}} {{slice .List 2}}", "ro [z]"),
        (
            "{{eq .N 1 2 3}} {{ne .Name \"x\"}} {{lt 1 2}} {{le 2 2}} {{gt 1.5 .F}} {{ge \"b\" \"a\"}}",
            "true true true true false true",
        ),
        ("{{and .Yes .Empty}} {{or .Empty .Name}} {{not .Yes}} {{and true (or false .N)}}", "[] prom false 3"),
        ("{{or .Yes (index .List 99)}}", "true"),
        (
            "{{html \"<a href='x'>&\"}} {{js \"it's\"}} {{urlquery \"a b&c\"}}",
            "&lt;a href=&#39;x&#39;&gt;&amp; it\\'s a+b%26c",
        ),
        ("{{print 1 2 \"x\" 3}}|{{println \"a\" 1}}", "1 2x3|a 1\n"),
        (
            "{{.Time.Year}} {{.Time.Format \"2006-01-02\"}} {{.Time}}",
            "2024 2024-02-02 2024-02-02 15:04:05.03 +0000 UTC",
        ),
        ("{{(.Time).Unix}} {{'a'}} {{0x10}} {{1e3}} {{-7}} {{1_000}}", "1706886245 97 16 1000 -7 1000"),
        ("{{1000000.0}} {{0.00001}} {{123456789.5}}", "1e+06 1e-05 1.234567895e+08"),
        ("{{\"a\\tb\\u00e9\\x41\"}}", "a\tb\u{e9}A"),
    ] {
        if want.is_empty() {
            assert!(render(text).is_err(), "{text}");
            continue;
        }
        assert_eq!(render(text).as_deref(), Ok(want), "{text}");
    }
}

#[test]
fn printf_verbs() {
    for (arguments, want) in [
        (r#""%v %d %s" 1.5 3 "x""#, "1.5 3 x"),
        (r#""%5.1f|%-6d|%06d|%+d" 3.14159 42 42 42"#, "  3.1|42    |000042|+42"),
        (r#""%x %X %o %b %c %U %q" 255 255 8 5 65 65 65"#, "ff FF 10 101 A U+0041 'A'"),
        (r#""%#x %q %10s|%-10s|%.2s" 255 "a\"b" "r" "l" "cut""#, "0xff \"a\\\"b\"          r|l         |cu"),
        (r#""%e %g %G %.3e" 1234.5678 1e21 1e-7 1234.5678"#, "1.234568e+03 1e+21 1E-07 1.235e+03"),
        (r#""%t %T %T %%" true 1 "x""#, "true int string %"),
        (r#""%d" 1.5"#, "%!d(float64=1.5)"),
        (r#""%s %d" "x""#, "x %!d(MISSING)"),
        (r#""%s" "x" 3"#, "x%!(EXTRA int=3)"),
        (r#""%[2]s %[1]s %s" "a" "b""#, "b a b"),
        (r#""%[2]d %.1[1]f" 1.25 3 4"#, "3 1.2"),
        (r#""%[3]d %[x]d" 1 2"#, "%!d(BADINDEX) %!d(BADINDEX)"),
        (r#""%*d|%-*d|" 5 1 4 2"#, "    1|2   |"),
        (r#""%!""#, "%!!(NOVERB)"),
        (r#""%.2f%%" 12.345"#, "12.35%"),
        (r#""% d" 5"#, " 5"),
        (r#""%08.3f" -3.14159"#, "-003.142"),
    ] {
        let text = format!("{{{{printf {arguments}}}}}");
        if arguments.contains("%!\"") {
            assert!(render(&text).is_ok(), "{text}");
            continue;
        }
        assert_eq!(render(&text).as_deref(), Ok(want), "{text}");
    }
}

#[test]
fn mistakes_have_a_place() {
    for (text, want) in [
        ("{{.Name", "template: t:1: unclosed action"),
        ("a\n{{if .Name}}x", "template: t:2: unexpected EOF"),
        ("{{end}}", "template: t:1: unexpected {{end}}"),
        ("{{else}}", "template: t:1: unexpected {{else}}"),
        ("\n\n{{nonsense .Name}}", "template: t:3: function \"nonsense\" not defined"),
        ("{{$unknown}}", "template: t:1: undefined variable \"$unknown\""),
        ("{{if true}}{{$x := 1}}{{end}}{{$x}}", "template: t:1: undefined variable \"$x\""),
        ("{{break}}", "template: t:1: {{break}} outside {{range}}"),
        ("{{(.Name}}", "template: t:1: unclosed left paren"),
        ("{{.Name)}}", "template: t:1: unexpected right paren"),
        ("{{\"x}}", "template: t:1: unterminated quoted string"),
        ("{{}}", "template: t:1: missing value for command"),
        ("{{.Name | }}", "template: t:1: missing value for command"),
        ("{{if}}x{{end}}", "template: t:1: missing value for if"),
        ("{{1 | 2}}", "template: t:1: non executable command in pipeline stage 2"),
        ("{{/* open", "template: t:1: unclosed comment"),
        ("{{.Name!}}", "template: t:1: bad character U+0021 '!'"),
        ("{{#}}", "template: t:1: unrecognized character in action: U+0023 '#'"),
        ("{{.Nam}}", "template: t:1:2: executing \"t\" at <.Nam>: can't evaluate field Nam in type data"),
        (
            "a\nbc {{index .List 9}}",
            "template: t:2:5: executing \"t\" at <index .List 9>: error calling index: index out of range: 9",
        ),
        ("{{eq 1 1.0}}", "error calling eq: incompatible types for comparison"),
        ("{{lt .Labels .Labels}}", "error calling lt: invalid type for comparison"),
        ("{{template \"none\"}}", "template \"none\" not defined"),
        ("{{range .Name}}{{end}}", "range can't iterate over prom"),
        ("{{.Name.Sub}}", "can't evaluate field Sub in type string"),
        ("{{.None.Sub}}", "nil data; no entry for key \"Sub\""),
        ("{{.N 1}}", "N has arguments but cannot be invoked as function"),
        ("{{1 2}}", "can't give argument to non-function 1"),
        ("{{len 3}}", "error calling len: len of type int"),
        ("{{not 1 2}}", "wrong number of args for not: want 1 got 2"),
        ("{{nil}}", "nil is not a command"),
    ] {
        let error = render(text).unwrap_err();
        assert!(error.contains(want), "{text}: {error}");
    }
}

#[test]
fn templates_that_loop_or_grow_are_stopped() {
    let doubled = format!("{{{{$x := \"ab\"}}}}{}", "{{$x = printf \"%s%s\" $x $x}}".repeat(60));
    let nested = "{{range 100000}}{{range 100000}}{{end}}{{end}}";
    let endless = "{{define \"T\"}}{{template \"T\"}}{{end}}{{template \"T\"}}";
    let wide = "{{printf \"%1000000d%1000000d\" 1 2}}";
    let long = "{{range 1000000}}aaaaaaaaaaaaaaaa{{end}}";
    for (text, want) in [
        (doubled.as_str(), "over the limit"),
        (nested, "runs too long"),
        (endless, "exceeded maximum template depth"),
        (wide, "over the limit"),
        (long, "over the limit"),
    ] {
        let error = render(text).unwrap_err();
        assert!(error.contains(want), "{text:.60}: {error}");
    }
    let deep = format!("{}x{}", "{{if .Name}}".repeat(1000), "{{end}}".repeat(1000));
    assert!(render(&deep).is_err());
    let deep = format!("{{{{{}.Name{}}}}}", "(".repeat(10_000), ")".repeat(10_000));
    assert!(render(&deep).is_err());
    let deep = format!("{}x{}", "{{if .Empty}}{{else if .Name}}".repeat(500), "{{end}}".repeat(500));
    assert!(render(&deep).is_err());
}
