//! A real Prometheus reads what is written here.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use histogram::{Histogram, Span};
use testkit::{Process, free_port};
use wal::record::{encode_histograms, encode_samples, encode_series};
use wal::{Compression, Options, Writer};

use super::open;

const T0_MS: i64 = 1_700_000_000_000;

/// Ten series of floats and one of histograms, in several segments and openings.
fn write(dir: &Path, compression: Compression) {
    let options = Options { compression, segment_bytes: 100_000, ..Options::default() };
    let mut writer = open(dir, options.clone());
    let refs: Vec<u64> = (1..=10).collect();
    let names: Vec<_> = refs.iter().map(|r| r.to_string()).collect();
    let labels = |n: &'static str, v| [("__name__", n), ("n", v)].into_iter();
    let mut record = Vec::new();
    let floats = refs.iter().zip(&names).map(|(r, n)| (*r, labels("floats", n.as_str())));
    encode_series(&mut record, floats.chain([(11, labels("hist", "h"))]));
    writer.log(&[&record]).unwrap();
    for step in 0..600 {
        let t = T0_MS + step * 1000;
        let values: Vec<_> = refs.iter().map(|r| *r as f64 * step as f64).collect();
        let (mut floats, mut histograms) = (Vec::new(), Vec::new());
        encode_samples(&mut floats, &refs, &[t; 10], &values);
        let histogram = Histogram {
            schema: 1,
            count: step as u64 + 1,
            sum: 2.5,
            positive_spans: vec![Span { offset: -1, length: 1 }],
            positive_deltas: vec![step + 1],
            ..Histogram::default()
        };
        encode_histograms(&mut histograms, false, [(11, t, &histogram)]);
        writer.log(&[floats, histograms]).unwrap();
        if step % 100 == 50 {
            writer = reopen(writer, dir, &options);
        }
    }
}

/// As after a crash: a torn record lies at the end.
fn reopen(writer: Writer, dir: &Path, options: &Options) -> Writer {
    let position = writer.position();
    drop(writer);
    let path = dir.join(format!("{:08}", position.segment));
    let file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    std::io::Write::write_all(&mut &file, &[1, 0, 200, 1, 2, 3, 4, 5]).unwrap();
    let (writer, torn) = Writer::open(dir, options.clone()).unwrap();
    assert_eq!(torn.map(|t| (t.position, t.bytes)), Some((position, 8)));
    writer
}

fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

#[test]
fn promtool_dumps_our_log() {
    if !testkit::prometheus::have_prometheus("promtool_dumps_our_log") {
        return;
    }
    for compression in [Compression::None, Compression::Snappy] {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("wal"), compression);
        let output = run(Command::new("promtool").args(["tsdb", "dump"]).arg(dir.path()));
        let text = String::from_utf8(output.stdout).unwrap();
        let floats = text.lines().filter(|l| l.contains("floats")).count();
        assert_eq!(floats, 6000, "{compression:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(
            text.contains(&format!("{{__name__=\"floats\", n=\"7\"}} 4193 {}", T0_MS + 599_000)),
            "{compression:?}"
        );
    }
}

#[tokio::test]
async fn prometheus_replays_our_log() {
    if !testkit::prometheus::have_prometheus("prometheus_replays_our_log") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("data/wal"), Compression::Snappy);
    let config = dir.path().join("prometheus.yml");
    std::fs::write(&config, "scrape_configs: []\n").unwrap();
    let address = format!("127.0.0.1:{}", free_port().unwrap());
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
        .arg(format!("--web.listen-address={address}"))
        .arg("--enable-feature=native-histograms")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _process = Process::start(&mut command).unwrap();
    let query = |text: &str| {
        let time = format!("--time={}", (T0_MS + 599_000) / 1000);
        let url = format!("http://{address}");
        run(Command::new("promtool").args(["query", "instant", &time, &url, text]))
    };
    testkit::wait_for("prometheus to answer", Duration::from_secs(60), async || query("1").status.success()).await;
    for (text, expected) in [
        ("sum(count_over_time(floats[20m]))", "6000"),
        ("floats{n=\"7\"}", "4193"),
        ("histogram_count(hist)", "600"),
        ("count_over_time(hist[20m])", "600"),
    ] {
        let answer = String::from_utf8(query(text).stdout).unwrap();
        assert!(answer.contains(&format!("=> {expected} @")), "{text}: {answer}");
    }
}
