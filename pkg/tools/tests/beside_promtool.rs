//! Commands on data directories and servers beside Debian's promtool: the same output.

#![allow(clippy::unwrap_used, reason = "tests")]

mod running;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use running::run;
use testkit::prometheus::{block_dirs, have_prometheus};
use testkit::{Process, free_port, wait_for};

/// The time of the first sample, s: the begin of a block.
const START_S: i64 = 1_700_006_400;

fn promtool(args: &[&str]) -> String {
    let output = Command::new("promtool").args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

async fn ours(args: &[&str]) -> String {
    let (code, printed) = run(args).await;
    assert_eq!(code, 0, "{args:?}: {printed}");
    printed
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

/// Counters and gauges over two and a half blocks, some of which end early.
fn openmetrics() -> String {
    let mut out = "# TYPE a counter\n# TYPE temp gauge\n# TYPE h histogram\n".to_owned();
    for (number, name) in [("1", "a_total"), ("2", "a_total"), ("3", "temp")] {
        for step in 0..300_i64 {
            if number == "2" && step > 100 {
                break;
            }
            let value = if name == "temp" { (step as f64).sin() * 1e-7 } else { step as f64 * 1.5e6 };
            out += &format!("{name}{{n=\"{number}\",job=\"x\\\"y\"}} {value} {}.25\n", START_S + 60 * step);
        }
    }
    for (le, count) in [("1.0", 1), ("2.0", 1), ("+Inf", 4)] {
        for step in 0..20 {
            out += &format!("h_bucket{{le=\"{le}\"}} {} {}\n", count * (step + 1), START_S + 60 * step);
        }
    }
    out + "# EOF\n"
}

/// The directory with what promtool makes of [`openmetrics`].
fn filled(dir: &Path) -> (PathBuf, PathBuf) {
    let (input, data) = (dir.join("in.om"), dir.join("data"));
    std::fs::write(&input, openmetrics()).unwrap();
    promtool(&["tsdb", "create-blocks-from", "openmetrics", input.to_str().unwrap(), data.to_str().unwrap()]);
    (input, data)
}

#[tokio::test(flavor = "multi_thread")]
async fn data_directories() {
    if !have_prometheus("data_directories") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (input, theirs) = filled(dir.path());
    let made = dir.path().join("made");
    let printed =
        ours(&["tsdb", "create-blocks-from", "openmetrics", input.to_str().unwrap(), made.to_str().unwrap()]).await;
    assert_eq!(printed.lines().count(), 4, "a header and three blocks: {printed}");
    let (theirs, made) = (theirs.to_str().unwrap(), made.to_str().unwrap());
    // Each reads what each has written; promtool wants a log.
    [theirs, made].iter().for_each(|dir| std::fs::create_dir_all(Path::new(dir).join("wal")).unwrap());
    let want = promtool(&["tsdb", "dump", theirs]);
    assert_eq!(want.lines().count(), 300 + 101 + 300 + 60);
    for (got, what) in [
        (promtool(&["tsdb", "dump", made]), "their dump of ours"),
        (ours(&["tsdb", "dump", theirs]).await, "our dump of theirs"),
        (ours(&["tsdb", "dump", made]).await, "our dump of ours"),
    ] {
        assert_eq!(sorted(&got), sorted(&want), "{what}");
    }
    let (from, to) = ((START_S + 60) * 1000, (START_S + 7200) * 1000);
    let (from, to) = (format!("--min-time={from}"), format!("--max-time={to}"));
    let some = ["tsdb", "dump", &from, &to, "--match={n=~'1|3'}", made];
    assert_eq!(sorted(&ours(&some).await), sorted(&promtool(&some)));
    let two = ours(&["tsdb", "dump", "--match=temp", "--match={n=~'1|3'}", made]).await;
    assert_eq!(two.lines().count(), 600, "a series that two selectors select comes once");
    let labels = ours(&["tsdb", "dump", "--format=seriesjson", "--match=temp", made]).await;
    assert_eq!(labels, "{\"__name__\":\"temp\",\"job\":\"x\\\"y\",\"n\":\"3\"}\n");
    // There and back.
    let text = ours(&["tsdb", "dump-openmetrics", made]).await;
    let (again, back) = (dir.path().join("again.om"), dir.path().join("back"));
    std::fs::write(&again, text).unwrap();
    let (again, back) = (again.to_str().unwrap(), back.to_str().unwrap());
    assert_eq!(ours(&["tsdb", "create-blocks-from", "openmetrics", "-q", again, back]).await, "");
    assert_eq!(sorted(&ours(&["tsdb", "dump", back]).await), sorted(&want));

    for dir in [theirs, made] {
        for args in [&["tsdb", "list", dir][..], &["tsdb", "list", "-r", dir]] {
            assert_eq!(ours(args).await, promtool(args), "{args:?}");
        }
        let args = ["tsdb", "analyze", "--limit=1000", "--extended", dir];
        // The second column of names differs by version.
        let got = ours(&args).await.replace("Total Series:", "Series:");
        let want = promtool(&args).replace("Total Series:", "Series:");
        assert_eq!(first_lines(&got), first_lines(&want));
        for title in ["Most common label pairs", "Highest cardinality labels", "Label names most involved"] {
            assert_eq!(sorted(section(&got, title)), sorted(section(&want, title)), "{title}");
        }
    }
    assert_eq!(run(&["tsdb", "analyze", made, "01ARZ3NDEKTSV4RRFFQ69G5FAV"]).await.0, 1);
    assert_eq!(run(&["tsdb", "list", "no-such-dir"]).await.0, 1);
    let bad = dir.path().join("bad.om");
    std::fs::write(&bad, "a 1 1\na 2 1\n# EOF\n").unwrap();
    let (code, printed) = run(&["tsdb", "create-blocks-from", "openmetrics", bad.to_str().unwrap(), made]).await;
    assert!(code == 1 && printed.contains("duplicate sample for timestamp 1000"), "{printed}");
}

fn first_lines(text: &str) -> Vec<&str> {
    text.lines().take_while(|line| !line.is_empty()).collect()
}

fn section<'a>(text: &'a str, title: &str) -> &'a str {
    let from = text.find(title).unwrap_or_else(|| panic!("no {title} in {text}"));
    text[from..].split("\n\n").next().unwrap()
}

/// A Prometheus on `data`.
struct Server {
    _process: Process,
    url: String,
}

impl Server {
    async fn start(dir: &Path, data: &Path) -> Self {
        let port = free_port().unwrap();
        let config = dir.join("prometheus.yml");
        std::fs::write(&config, "global: {}\n").unwrap();
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(["--storage.tsdb.retention.time=100y", "--web.enable-remote-write-receiver"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = Process::start(&mut command).unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let ready = async || run(&["check", "ready", "--url", &url]).await.0 == 0;
        wait_for("prometheus", Duration::from_secs(60), ready).await;
        Self { _process: process, url }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_to_a_server() {
    if !have_prometheus("questions_to_a_server") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (_, data) = filled(dir.path());
    let server = Server::start(dir.path(), &data).await;
    let url = server.url.as_str();
    let time = format!("--time={}", START_S + 3600);
    let (start, end) = (format!("--start={START_S}"), format!("--end={}", START_S + 600));
    for args in [
        &["query", "instant", "X", &time, url, "a_total"][..],
        &["query", "instant", "X", &time, url, "rate(a_total[5m]) > 1e9"],
        &["query", "instant", "X", &time, url, "sum(a_total)"],
        &["query", "instant", "X", &time, url, "temp[2m]"],
        &["query", "instant", "X", &time, url, "1.5"],
        &["query", "instant", "X", "--time=2023-11-15T01:00:00Z", url, "a_total"],
        &["query", "range", "X", &start, &end, "--step=1m", url, "{__name__=~'a_total|temp|h_bucket'}"],
        &["query", "range", "X", &start, &end, url, "temp * -1e30"],
        &["query", "series", "X", "--match=a_total", "--match=temp", &start, &end, url],
        &["query", "labels", "X", &start, &end, url, "__name__"],
        &["query", "labels", "X", "--match=a_total", url, "n"],
    ] {
        for format in ["--format=promql", "--format=json"] {
            let args: Vec<&str> = args.iter().map(|arg| if *arg == "X" { format } else { *arg }).collect();
            assert_eq!(ours(&args).await, promtool(&args), "{args:?}");
        }
    }
    // promtool knows no strings.
    assert_eq!(ours(&["query", "instant", url, "\"te<xt\""]).await, "te<xt\n");
    let (code, printed) = run(&["query", "instant", url, "sum("]).await;
    assert!(code == 1 && printed.contains("query error") && printed.contains("parse error"), "{printed}");
    assert_eq!(run(&["query", "range", url, "a", "--start=5", "--end=4"]).await.0, 2);
    let analyzed = ours(&[
        "query",
        "analyze",
        "--server",
        url,
        "--type=histogram",
        "--match=h_bucket",
        "--duration=19m",
        &format!("--time={}", START_S + 1140),
    ])
    .await;
    assert!(analyzed.contains("- h_bucket{} (classic): 2/2.000/2/3\n"), "{analyzed}");

    // What is pushed is answered, and is in a directory that its server has open.
    let metrics = dir.path().join("m.prom");
    std::fs::write(&metrics, "# TYPE pushed gauge\npushed{job=\"mine\"} 7\n").unwrap();
    let write = format!("{url}/api/v1/write");
    let pushed = ours(&["push", "metrics", "--label=team=a", &write, metrics.to_str().unwrap()]).await;
    assert!(pushed.contains("SUCCESS"), "{pushed}");
    let got = ours(&["query", "instant", url, "pushed"]).await;
    assert!(got.starts_with("pushed{exported_job=\"mine\", team=\"a\"} => 7 @["), "{got}");
    let dumped = ours(&["tsdb", "dump", "--match=pushed", data.to_str().unwrap()]).await;
    assert!(dumped.starts_with("{__name__=\"pushed\", exported_job=\"mine\", team=\"a\"} 7 "), "{dumped}");
    let nowhere = run(&["push", "metrics", &format!("{url}/no"), metrics.to_str().unwrap()]).await;
    assert!(nowhere.0 == 1 && nowhere.1.contains("404"), "{}", nowhere.1);
    assert!(ours(&["check", "healthy", "--url", url]).await.contains("Healthy"));
    assert_eq!(run(&["check", "healthy", "--url=http://127.0.0.1:1"]).await.0, 1);
}

/// The same series and values. Slots lie between milliseconds, and promtool's times are the ones after them.
fn assert_same_rules(got: &str, want: &str) {
    let rows = |text: &str| {
        let row = |line: &str| {
            let (rest, time) = line.rsplit_once(' ').unwrap();
            let (labels, value) = rest.rsplit_once(' ').unwrap();
            (labels.to_owned(), time.parse::<i64>().unwrap(), value.parse::<f64>().unwrap())
        };
        let mut rows: Vec<_> = text.lines().map(row).collect();
        rows.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        rows
    };
    let (got, want) = (rows(got), rows(want));
    assert_eq!(got.len(), want.len());
    for (a, b) in got.iter().zip(&want) {
        // Rates at the end of a series differ by that millisecond.
        let is_near = (a.2 - b.2).abs() <= 1e-4 * b.2.abs();
        assert!(a.0 == b.0 && (0..=1).contains(&(b.1 - a.1)) && is_near, "{a:?} {b:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_filled_in_from_the_past() {
    if !have_prometheus("rules_are_filled_in_from_the_past") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (_, data) = filled(dir.path());
    let server = Server::start(dir.path(), &data).await;
    let rules = dir.path().join("rules.yml");
    let text = "groups:\n- name: g\n  interval: 2m\n  rules:\n  - {record: 'job:a:sum', expr: 'sum by (job) (a_total)', labels: {l: x}}\n  - {record: r, expr: 'rate(a_total[5m])'}\n- name: h\n  rules:\n  - {record: t, expr: 'temp * 2'}\n";
    std::fs::write(&rules, text).unwrap();
    let rules = rules.to_str().unwrap();
    let (start, end) = (START_S + 1800, START_S + 16_000);
    let args = |output: &Path, end: i64| {
        let mut args = vec!["tsdb".to_owned(), "create-blocks-from".to_owned(), "rules".to_owned()];
        args.push(format!("--url={}", server.url));
        args.extend([format!("--start={start}"), format!("--end={end}"), rules.to_owned()]);
        args.push(format!("--output-dir={}", output.display()));
        args
    };
    let call = |args: Vec<String>| async move {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        run(&args).await
    };
    let theirs = dir.path().join("theirs");
    let their_args = args(&theirs, end);
    promtool(&their_args.iter().map(String::as_str).collect::<Vec<_>>());
    let want = ours(&["tsdb", "dump", theirs.to_str().unwrap()]).await;
    assert!(want.contains("job:a:sum") && want.contains("l=\"x\""), "{want}");

    // In two parts, the second of which goes on where the first has ended, in the middle of a block.
    let made = dir.path().join("made");
    for (end, lines) in [(start + 7000, 2), (end, 2), (end, 0)] {
        let (code, printed) = call(args(&made, end)).await;
        assert_eq!((code, printed.lines().count()), (0, lines), "{printed}");
    }
    assert_same_rules(&ours(&["tsdb", "dump", made.to_str().unwrap()]).await, &want);

    // Straight into a bucket.
    let (bucket, work) = (dir.path().join("bucket"), dir.path().join("work"));
    let config = format!("{{type: FILESYSTEM, config: {{directory: '{}'}}}}", bucket.display());
    let mut more = args(&work, end);
    more.push(format!("--objstore.config={config}"));
    let (code, printed) = call(more.clone()).await;
    assert!(code == 2 && printed.contains("--label"), "{printed}");
    more.push("--label=cluster=\"c\"".to_owned());
    let (code, printed) = call(more.clone()).await;
    assert_eq!((code, printed.lines().count()), (0, 3), "{printed}");
    assert_same_rules(&ours(&["tsdb", "dump", bucket.to_str().unwrap()]).await, &want);
    let (code, printed) = call(more).await;
    assert_eq!((code, printed), (0, String::new()), "it is done");
    assert_eq!(block_dirs(&bucket).len(), 3);
    let left: Vec<_> = std::fs::read_dir(&work).unwrap().flatten().map(|entry| entry.path()).collect();
    assert!(block_dirs(&left[0]).is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn service_discovery() {
    if !have_prometheus("service_discovery") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let targets = "[{\"targets\":[\"b:2\",\"gone:1\"],\"labels\":{\"e\":\"f\"}}]";
    std::fs::write(dir.path().join("targets.json"), targets).unwrap();
    let config = dir.path().join("c.yml");
    let relabel = "relabel_configs: [{source_labels: [__address__], regex: 'gone.*', action: drop}, {target_label: z, replacement: w}]";
    let text = format!(
        "scrape_configs:\n- job_name: j\n  static_configs: [{{targets: ['a:1', 'a:1', 'gone:2'], labels: {{x: y}}}}]\n  {relabel}\n\
         - job_name: files\n  file_sd_configs: [{{files: [targets.json]}}]\n  {relabel}\n"
    );
    std::fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    let list = |text: &str| serde_json::from_str::<Vec<serde_json::Value>>(text).unwrap();
    let mut got = list(&ours(&["check", "service-discovery", config, "j"]).await);
    // Labels of Prometheus 3.
    for labels in got.iter_mut().flat_map(|target| target.as_object_mut().unwrap().values_mut()) {
        labels.as_object_mut().unwrap().retain(|name, _| !name.contains("_histograms_"));
    }
    let want = list(&promtool(&["check", "service-discovery", "--timeout=2s", config, "j"]));
    assert_eq!(got, want);
    // Debian's promtool may panic with files.
    let got = list(&ours(&["check", "service-discovery", config, "files"]).await);
    assert_eq!(got.len(), 2);
    assert_eq!((&got[0]["labels"]["instance"], &got[0]["labels"]["e"]), (&"b:2".into(), &"f".into()));
    assert_eq!(
        (&got[1]["discoveredLabels"]["__address__"], &got[1]["labels"]),
        (&"gone:1".into(), &serde_json::json!({}))
    );
    let (code, printed) = run(&["check", "service-discovery", config, "other"]).await;
    assert!(code == 1 && printed.contains("Job other not found. Select one of:\n\tj"), "{printed}");
}
