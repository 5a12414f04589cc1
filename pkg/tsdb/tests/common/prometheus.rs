//! A real Prometheus over a data directory: written to by remote write, read by its HTTP API.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::{Process, free_port};

/// Everything in a database but stale markers: by series (as `name="value"` pairs) and time the bits of the value, or of a
/// histogram's count and sum.
pub type Data = BTreeMap<(String, i64), Vec<u64>>;

pub struct Prometheus {
    process: Process,
    port: u16,
}

impl Prometheus {
    /// Starts one over `data`, which scrapes nothing, and waits until it is ready.
    pub fn start(data: &Path, flags: &[&str]) -> Self {
        let dir = data.parent().unwrap();
        let config = dir.join("prometheus.yml");
        std::fs::write(&config, "storage: {tsdb: {out_of_order_time_window: 300d}}\n").unwrap();
        let port = free_port().unwrap();
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args([
                "--storage.tsdb.retention.time=100y",
                "--web.enable-remote-write-receiver",
                "--web.enable-admin-api",
            ])
            .args(["--query.max-samples=500000000"])
            .args(flags)
            .stdout(File::create(dir.join("prometheus.out")).unwrap())
            .stderr(File::create(dir.join("prometheus.log")).unwrap());
        let mut prometheus = Self { process: Process::start(&mut command).unwrap(), port };
        let begin = Instant::now();
        while prometheus.get("/-/ready").is_none_or(|(status, _)| status != 200) {
            let log = || std::fs::read_to_string(dir.join("prometheus.log")).unwrap_or_default();
            assert!(prometheus.process.child().try_wait().unwrap().is_none(), "it ended: {}", log());
            assert!(begin.elapsed() < Duration::from_secs(60), "not ready: {}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
        prometheus
    }

    /// Ends it as a service manager would, and waits for that.
    pub fn stop(mut self) {
        let ended = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status().unwrap();
        assert!(ended.success());
        self.process.child().wait().unwrap();
    }

    /// Remote-writes samples of one series.
    pub fn write(&self, labels: &[(&str, &str)], samples: &[(i64, f64)]) {
        let field = |out: &mut Vec<u8>, number: u8, bytes: &[u8]| {
            out.push(number << 3 | 2);
            varint(out, bytes.len() as u64);
            out.extend_from_slice(bytes);
        };
        let mut series = Vec::new();
        for (name, value) in labels {
            let mut label = Vec::new();
            field(&mut label, 1, name.as_bytes());
            field(&mut label, 2, value.as_bytes());
            field(&mut series, 1, &label);
        }
        for (t, v) in samples {
            let mut sample = vec![1 << 3 | 1];
            sample.extend_from_slice(&v.to_le_bytes());
            sample.push(2 << 3);
            varint(&mut sample, *t as u64);
            field(&mut series, 2, &sample);
        }
        let mut request = Vec::new();
        field(&mut request, 1, &series);
        let body = snap::raw::Encoder::new().compress_vec(&request).unwrap();
        let (status, text) = self.ask("POST", "/api/v1/write", &body).unwrap_or_else(|| panic!("no answer"));
        assert!(status / 100 == 2, "{status} {text}");
    }

    /// All there is.
    pub fn data(&self) -> Data {
        let query = "/api/v1/query?time=4000000000&query=%7B__name__%3D~%22.%2B%22%7D%5B100y%5D";
        let (status, text) = self.get(query).unwrap();
        assert_eq!(status, 200, "{text}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        let mut data = Data::new();
        for series in answer["data"]["result"].as_array().unwrap() {
            let labels: Vec<String> =
                series["metric"].as_object().unwrap().iter().map(|(name, value)| format!("{name}={value}")).collect();
            let labels = labels.join(",");
            let time = |v: &Value| (v.as_f64().unwrap() * 1000.0).round() as i64;
            for value in series["values"].as_array().into_iter().flatten() {
                data.insert((labels.clone(), time(&value[0])), vec![bits(&value[1])]);
            }
            for value in series["histograms"].as_array().into_iter().flatten() {
                let parts = ["count", "sum"].map(|key| bits(&value[1][key]));
                data.insert((labels.clone(), time(&value[0])), parts.to_vec());
            }
        }
        data
    }

    /// POST to the admin API.
    pub fn admin(&self, path: &str) {
        let (status, text) = self.ask("POST", &format!("/api/v1/admin/tsdb/{path}"), b"").unwrap();
        assert!(status / 100 == 2, "{status} {text}");
    }

    fn get(&self, path: &str) -> Option<(u16, String)> {
        self.ask("GET", path, b"")
    }

    fn ask(&self, method: &str, path: &str, body: &[u8]) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: test\r\nContent-Type: application/x-protobuf\r\nContent-Encoding: \
             snappy\r\nX-Prometheus-Remote-Write-Version: 0.1.0\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }
}

/// Of a number in a string, as the API has them.
fn bits(value: &Value) -> u64 {
    canonical(value.as_str().unwrap().parse().unwrap())
}

/// There is one NaN in the API.
pub fn canonical(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
