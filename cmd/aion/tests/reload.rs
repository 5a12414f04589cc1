//! SIGHUP as an operator sends it: a new file of endpoints takes effect, one with an error does not and the log says so.

use std::io::Read;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use testkit::{Process, free_port};

const LONG: Duration = Duration::from_secs(30);

/// The body that `address` answers a GET of `path` with; nothing where it does not answer.
fn get(address: &str, path: &str) -> String {
    let mut text = String::new();
    if let Ok(mut stream) = TcpStream::connect(address) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        let _ = std::io::Write::write_all(&mut stream, request.as_bytes());
        let _ = stream.read_to_string(&mut text);
    }
    text
}

/// Waits until `is` holds.
fn wait(what: &str, log: &Path, is: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < LONG, "{what}: {}", std::fs::read_to_string(log).unwrap());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_querier_reads_its_files_of_endpoints_again() {
    let dir = tempfile::tempdir().unwrap();
    let (file, log) = (dir.path().join("endpoints.yml"), dir.path().join("log"));
    // Nobody listens on these ports of loopback.
    std::fs::write(&file, "endpoints: [{address: '127.0.0.1:1'}]").unwrap();
    let address = format!("127.0.0.1:{}", free_port().unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_aion"));
    command
        .arg("query")
        .arg(format!("--http-address={address}"))
        .args(["--grpc-address=127.0.0.1:0", "--endpoint.sd-config-reload-interval=1h"])
        .arg(format!("--endpoint.sd-config-file={}", file.display()))
        .stdin(Stdio::null())
        .stderr(std::fs::File::create(&log).unwrap());
    let process = Process::start(&mut command).unwrap();
    let hang_up = || {
        let status = Command::new("kill").args(["-HUP", &process.id().to_string()]).status().unwrap();
        assert!(status.success());
    };
    let asks = |port: u16| get(&address, "/api/v1/stores").contains(&format!("\"127.0.0.1:{port}\""));
    let metric =
        |value: u8| get(&address, "/metrics").contains(&format!("thanos_query_config_last_reload_successful {value}"));
    let logged = |text: &str| std::fs::read_to_string(&log).unwrap().contains(text);
    wait("the first endpoint", &log, || asks(1));

    std::fs::write(&file, "endpoints: [{address: '127.0.0.1:2'}]").unwrap();
    hang_up();
    wait("the endpoint of the new file", &log, || asks(2) && !asks(1));
    wait("the outcome", &log, || logged("msg=\"reload done"));
    assert!(metric(1));

    std::fs::write(&file, "endpoints: [{addres: '127.0.0.1:3'}]").unwrap();
    hang_up();
    wait("the refusal", &log, || metric(0));
    assert!(asks(2), "the old endpoint stays");
    assert!(logged("what was loaded before stays in force") && logged("line 1"), "it says so");
    assert!(logged("what=\"endpoint.sd-config-file, store.sd-files\""));
}
