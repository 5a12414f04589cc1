//! Prometheus' own test scripts parse, with the number of commands found in them by a plain text search.

use std::path::PathBuf;

use promql_syntax::testlang::{Command, EvalTime, parse_script};

fn scripts() -> Option<Vec<PathBuf>> {
    let root = std::env::var_os("AION_CONFORMANCE_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    let Ok(dir) = std::fs::read_dir(root.join("promqltest")) else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "no conformance data in {}", root.display());
        eprintln!("SKIPPED: no conformance data in {}; set AION_CONFORMANCE_DIR", root.display());
        return None;
    };
    let mut files: Vec<_> = dir.filter_map(|e| Some(e.ok()?.path())).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "test"));
    files.sort();
    Some(files)
}

#[test]
fn reference_scripts_parse() {
    let Some(files) = scripts() else { return };
    let (mut loads, mut instants, mut ranges) = (0, 0, 0);
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        for command in parse_script(&text, 100_000).unwrap_or_else(|e| panic!("{}: {e}", file.display())) {
            match command {
                Command::Clear { .. } | Command::Store(_) => {}
                Command::Load(_) => loads += 1,
                Command::Eval(e) if matches!(e.time, EvalTime::Instant { .. }) => instants += 1,
                Command::Eval(_) => ranges += 1,
            }
        }
    }
    assert_eq!((files.len(), loads, instants, ranges), (21, 310, 1885, 329));
}

/// The text of a script, line by line as the parser understood it.
fn outline(script: &str) -> Result<String, String> {
    let commands = parse_script(script, 1000).map_err(|e| e.to_string())?;
    Ok(commands
        .iter()
        .map(|c| match c {
            Command::Clear { line } => format!("{line} clear"),
            Command::Store(s) => format!("store {} {} {}", s.labels, s.min_ms, s.max_ms),
            Command::Load(l) => {
                let series: Vec<String> = l
                    .series
                    .iter()
                    .map(|s| {
                        let starts = s.start_offsets.as_ref().map(|o| o.iter().collect::<Vec<_>>());
                        format!("{} x{} {starts:?}", s.description.labels, s.description.points())
                    })
                    .collect();
                format!("{} load {} {} [{}]", l.line, l.step_ms, l.with_nhcb, series.join("; "))
            }
            Command::Eval(e) => {
                let series: Vec<String> =
                    e.series.iter().map(|s| format!("{}:{}", s.position, s.description.labels)).collect();
                format!("{} eval {:?} {} {:?} {series:?} {:?}", e.line, e.time, e.query, e.expect, e.scalar)
            }
        })
        .collect::<Vec<_>>()
        .join("\n"))
}

#[test]
fn stores_of_thanos() {
    assert_eq!(outline("store {} 0 30m").unwrap(), "store {} 0 1800000");
    assert_eq!(outline("store {cluster=\"a b\"} 5m  1h").unwrap(), "store {cluster=\"a b\"} 300000 3600000");
    for wrong in ["store", "store {}", "store {} 5m", "store {} a 5m", "store {x 0 5m"] {
        assert!(outline(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn commands() {
    let script = "# first\nclear\n\nload 1m\n  a{x=\"1\"}@st _ -30s-1mx1 _x1\n  a{x=\"1\"} _ 0+60x1 7\n  # closes the block\n\
                  load_with_nhcb 30s\n\nEVAL";
    assert_eq!(
        outline(script.trim_end_matches("EVAL")).unwrap(),
        "2 clear\n4 load 60000 false [{__name__=\"a\", x=\"1\"} x4 Some([None, Some(-30000), Some(-90000), None])]\n\
         8 load 30000 true []"
    );
    let shown =
        outline("eval instant at 1m30s sum(a) # why\n  expect ordered\n  expect warn msg: hm \n  {} 3\n  b 4").unwrap();
    assert!(shown.starts_with("1 eval Instant { at_ms: 90000 } sum(a) # why Expectations"), "{shown}");
    assert!(shown.contains("ordered: true, warn: [Message(\"hm\")]"), "{shown}");
    assert!(shown.ends_with("[\"1:{}\", \"2:{__name__=\\\"b\\\"}\"] None"), "{shown}");
    let shown = outline("eval range from 0 to 5m step 1m a\n  {} 1+1x4").unwrap();
    assert!(shown.starts_with("1 eval Range(Grid { start_ms: 0, end_ms: 300000, step_ms: 60000 }) a"), "{shown}");
    let shown = outline("eval instant at 5m a[1m]\n  expect range vector from 1m to 2m step 30s\n  a 1 2 3").unwrap();
    assert!(shown.contains("at_ms: 120000") && shown.contains("range_vector: Some(Grid { start_ms: 60000"), "{shown}");
    assert!(outline("eval instant at 0 \"a\"\n  expect string \"a\\n\"").unwrap().contains("string: Some(\"a\\n\")"));
    assert!(outline("eval instant at 0 1\n  0x10").unwrap().ends_with("Some(16.0)"));
    assert!(outline("eval_fail instant at 0 a\n  expected_fail_message x y").unwrap().contains("Message(\"x y\")"));
    assert!(outline("eval instant at 0 a\n  expect{} 1").unwrap().contains("__name__"));
}

#[test]
fn refusals_name_the_line() {
    for (script, error) in [
        ("foo", "line 1: invalid command \"foo\""),
        ("clear\nload x", "line 2: invalid step definition \"x\": not a valid duration string: \"x\""),
        ("load_x 1m", "line 1: invalid load command. (load[_with_nhcb] <step:duration>)"),
        ("load 1m\n a@st 0s\n\n", "line 2: @st line has no following sample line"),
        ("load 1m\n a@st 0s\n b 1", "line 2: @st metric does not match the following sample line metric"),
        ("load 1m\n a@st 0sx1\n a 1", "line 2: @st line has 2 values but sample line has 1"),
        (
            "load 1m\n a@st x\n a 1",
            "line 2: invalid @st sequence: invalid ST item \"x\": invalid duration \"\": empty duration string",
        ),
        ("load 1m\n a 1x5000", "line 2: 1:9: parse error: series of more than 1000 points in series \"a 1x5000\""),
        ("eval instant at 0 sum(", "line 1: query \"sum(\": 1:5: parse error: unclosed left parenthesis"),
        (
            "eval range from 5m to 1m step 1m a",
            "line 1: invalid test definition, end timestamp (1m) is before start timestamp (5m)",
        ),
        (
            "eval instant at 0 a\n a 1 2",
            "line 2: error in eval a (line 1): many values expected of an instant query; write 'expect range vector' before them",
        ),
        (
            "eval instant at 0 a\n expect info\n expect no_info",
            "line 3: error in eval a (line 1): invalid expect lines, info and no_info cannot be used together",
        ),
        (
            "eval instant at 0 a\n expect foo",
            "line 2: error in eval a (line 1): invalid expect statement, must match `expect <type> <match_type>: <string>` format",
        ),
        (
            "eval instant at 0 a\n expect string a",
            "line 2: error in eval a (line 1): expected string literal not valid: a quoted string is required",
        ),
    ] {
        assert_eq!(outline(script).unwrap_err(), error, "{script}");
    }
}
