//! Each command line in `deploy/` is started for real, on free ports and folders of its own, until it says that it is ready.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use testkit::{Process, free_port};
use tests::aion::binary;
use tests::client::http;
use tests::peer::tail;

use crate::texts::{Line, lines};

const READY_WITHIN: Duration = Duration::from_secs(120);

/// The line with what is of the place where it runs exchanged: addresses, folders, files; and its HTTP port.
fn adapted(line: &Line, dir: &Path) -> (Vec<String>, u16) {
    let port = free_port().unwrap();
    let (folder, bucket) = (dir.display().to_string(), dir.join("bucket"));
    std::fs::create_dir_all(&bucket).unwrap();
    std::fs::create_dir_all(dir.join("data")).unwrap();
    let config = "global:\n  external_labels: {cluster: test, replica: a}\n";
    std::fs::write(dir.join("prometheus.yml"), config).unwrap();
    std::fs::write(dir.join("web.yml"), "{}\n").unwrap();
    let rules = "groups: [{name: g, rules: [{record: a, expr: vector(1)}]}]\n";
    std::fs::write(dir.join("rules.yml"), rules).unwrap();
    // Nobody listens on the first ports of loopback.
    let mut nobody = 0;
    let of = |arg: &String| {
        let Some((name, value)) = arg.split_once('=') else { return arg.clone() };
        let scheme = if value.contains("://") { "http://" } else { "" };
        match name.trim_start_matches("--") {
            "objstore.config" | "objstore.config-file" => {
                format!("--objstore.config={{type: FILESYSTEM, config: {{directory: {:?}}}}}", bucket.display())
            }
            "data-dir" | "storage.tsdb.path" | "tsdb.path" => format!("{name}={folder}/data"),
            "storage.tsdb.delay-compact-file.path" => format!("{name}={folder}/data/thanos.shipper.json"),
            "config.file" => format!("{name}={folder}/prometheus.yml"),
            "web.config.file" => format!("{name}={folder}/web.yml"),
            "rule-file" => format!("{name}={folder}/rules.yml"),
            "http-address" | "web.listen-address" => format!("{name}=127.0.0.1:{port}"),
            "grpc-address" => format!("{name}=127.0.0.1:0"),
            "endpoint" | "endpoint-group" | "query" | "alertmanagers.url" | "prometheus.url" => {
                nobody += 1;
                format!("{name}={scheme}127.0.0.1:{nobody}")
            }
            _ => arg.clone(),
        }
    };
    let mut args: Vec<String> = line.args.iter().map(of).collect();
    // What is not given would be a default that others may listen on.
    let is_server = args[0] == "server" || args[0].starts_with('-');
    let http = if is_server { "--web.listen-address" } else { "--http-address" };
    let grpc = if is_server || args[0] == "compact" { None } else { Some("--grpc-address") };
    for (name, port) in [(Some(http), port), (grpc, 0)] {
        let missing = |name: &&str| !args.iter().any(|arg| arg.starts_with(&format!("{name}=")));
        if let Some(name) = name.filter(missing) {
            args.push(format!("{name}=127.0.0.1:{port}"));
        }
    }
    (args, port)
}

async fn starts(line: Line) -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    let (args, port) = adapted(&line, dir.path());
    let log = dir.path().join("log");
    let mut command = Command::new(binary());
    command.args(&args).current_dir(dir.path()).stdin(Stdio::null()).stdout(Stdio::null());
    let mut process = Process::start(command.stderr(File::create(&log).unwrap())).unwrap();
    // A sidecar is ready when its Prometheus is.
    let path = if args[0] == "sidecar" { "healthy" } else { "ready" };
    let (client, url) = (http().unwrap(), format!("http://127.0.0.1:{port}/-/{path}"));
    let began = std::time::Instant::now();
    loop {
        if client.get(&url).send().await.is_ok_and(|r| r.status().is_success()) {
            return Ok(());
        }
        let ended = process.child().try_wait().unwrap();
        if ended.is_some() || began.elapsed() > READY_WITHIN {
            return Err(format!("{} {args:?} is not {path} ({ended:?}): {}", line.origin, tail(&log)));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_command_line_starts() {
    const AT_ONCE: usize = 6;
    let mut seen = BTreeSet::new();
    let mut waiting: Vec<Line> = lines().into_iter().filter(|line| seen.insert(line.args.clone())).collect();
    let components: BTreeSet<&str> = waiting.iter().map(|line| line.args[0].as_str()).collect();
    for component in ["sidecar", "store", "query", "compact", "rule", "server"] {
        assert!(components.contains(component), "nothing starts {component}");
    }
    let (mut wrong, mut running) = (Vec::new(), tokio::task::JoinSet::new());
    while !waiting.is_empty() || !running.is_empty() {
        while running.len() < AT_ONCE
            && let Some(line) = waiting.pop()
        {
            running.spawn(starts(line));
        }
        wrong.extend(running.join_next().await.and_then(|ended| ended.unwrap().err()));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
