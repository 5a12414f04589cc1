//! Two real Alertmanagers.

use std::process::{Command, Stdio};
use std::time::Duration;

use model::{Clock, SystemClock};
use notifier::Notify;
use serde_json::Value;
use testkit::{Process, free_port, wait_for};
use transport::http::ClientConfig;

use crate::{Rig, alert, config, options, set};

struct Alertmanager {
    address: String,
    _dir: tempfile::TempDir,
    process: Process,
}

impl Alertmanager {
    /// `None` where there is none on the path.
    fn start(address: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("alertmanager.yml");
        std::fs::write(&file, "route: {receiver: none}\nreceivers: [{name: none}]\n").unwrap();
        let mut command = Command::new("prometheus-alertmanager");
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.path={}", dir.path().display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = match Process::start(&mut command) {
            Ok(process) => process,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                testkit::skip_without("prometheus-alertmanager on the path", "alertmanagers");
                return None;
            }
            Err(e) => panic!("{e}"),
        };
        Some(Self { address: address.to_owned(), _dir: dir, process })
    }

    /// The alerts that it has: names, and whether each is active.
    async fn alerts(&self) -> Vec<(String, bool)> {
        let client = ClientConfig::default().build().unwrap();
        let request = client.get(&format!("http://{}/api/v2/alerts", self.address)).unwrap();
        let Ok(answer) = request.send().await else { return Vec::new() };
        let alerts: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default();
        let one = |alert: &Value| {
            let name = alert["labels"]["alertname"].as_str().unwrap_or_default().to_owned();
            (name, alert["status"]["state"] == "active")
        };
        let mut all: Vec<_> = alerts.as_array().map(|all| all.iter().map(one).collect()).unwrap_or_default();
        all.sort();
        all
    }
}

fn free_address() -> String {
    format!("127.0.0.1:{}", free_port().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn both_get_every_alert_through_a_restart_of_one() {
    let addresses = [free_address(), free_address()];
    let Some(first) = Alertmanager::start(&addresses[0]) else { return };
    let Some(mut second) = Alertmanager::start(&addresses[1]) else { return };
    let rig = Rig::new(options(), config(vec![set(0, "", "")]), &[&addresses]);
    rig.active(2).await;
    let in_minutes = |minutes: i64| SystemClock.now_ms() + minutes * 60_000;
    rig.notifier.notify(vec![alert("one", in_minutes(4)), alert("two", in_minutes(4))]);
    let both = |name: &str, other: &str| vec![(name.to_owned(), true), (other.to_owned(), true)];
    for alertmanager in [&first, &second] {
        let has = async || alertmanager.alerts().await == both("one", "two");
        wait_for("both alerts", Duration::from_secs(30), has).await;
    }
    // While one is away, the other one gets all; the first gets them when it is back.
    second.process.kill().unwrap();
    rig.notifier.notify(vec![alert("three", in_minutes(4)), alert("two", in_minutes(0))]);
    let has = async || first.alerts().await == both("one", "three");
    wait_for("the third alert, and the end of the second", Duration::from_secs(30), has).await;
    let second = Alertmanager::start(&addresses[1]).unwrap();
    let has = async || second.alerts().await == vec![("three".to_owned(), true)];
    wait_for("the third alert after the restart", Duration::from_secs(30), has).await;
    for address in &addresses {
        rig.counts("sent_total", address, 4).await;
        assert_eq!(rig.of("dropped_total", address), 0);
    }
    rig.end().await;
}
