//! A disk that is full for a while: commits are refused, nothing that was acknowledged is lost, and all goes on by itself.

mod common;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use common::*;
use model::FakeClock;
use storage::Ctx;
use storage::append::{AppendOptions, Appendable, Floats};
use tsdb::db::Tsdb;

const MINUTE: i64 = 60_000;
const START: i64 = 1_700_006_400_000;

/// A small file system, unmounted when dropped. `None` where nobody may mount one.
struct Small(tempfile::TempDir);

impl Small {
    fn mount(bytes: u64) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={bytes}");
        let mut command = Command::new("mount");
        let mounted = command.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir.path()).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(dir))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// A minute of 200 series; whether it was acknowledged.
async fn append_minute(tsdb: &Tsdb, minute: i64, acknowledged: &mut Data) -> bool {
    let mut appender = tsdb.appender(&Ctx::background(), AppendOptions::default());
    let names: Vec<String> = (0..200).map(|n| format!("a_rather_long_name_of_a_metric_{n}")).collect();
    let labels: Vec<[(&str, &str); 1]> = names.iter().map(|name| [("__name__", name.as_str())]).collect();
    let pairs: Vec<&[(&str, &str)]> = labels.iter().map(|l| &l[..]).collect();
    let series: Vec<_> = appender.resolve(&pairs).unwrap().into_iter().map(|s| s.unwrap()).collect();
    let time = START + minute * MINUTE;
    // Digits that do not compress.
    let values: Vec<f64> = (0..200).map(|n| ((minute * 7919 + n) as f64).sin()).collect();
    let times = vec![time; 200];
    let rows = Floats { series: &series, times_ms: &times, values: &values, starts_ms: &[] };
    assert!(appender.floats(rows).unwrap().is_empty());
    let committed = appender.commit().await;
    if committed.is_ok() {
        for (name, value) in names.iter().zip(&values) {
            acknowledged.insert((format!("__name__=\"{name}\""), time), vec![canonical(*value)]);
        }
    }
    committed.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_survived() {
    let Some(small) = Small::mount(8 << 20) else {
        eprintln!("=== SKIPPED a_full_disk_is_survived: no file system can be mounted here ===");
        return;
    };
    let data_dir = small.path().join("data");
    let ballast = small.path().join("ballast");
    let clock = Arc::new(FakeClock::at(START));
    let tsdb = open(&data_dir, &clock).await;
    let mut acknowledged = Data::new();
    let (mut refused, mut failed_rounds) = (0, 0);
    for minute in 0..600 {
        clock.set(START + minute * MINUTE);
        match minute {
            // Somebody fills the disk to the last byte, and goes away again.
            100 | 300 => {
                let mut file = std::fs::File::create(&ballast).unwrap();
                while std::io::Write::write_all(&mut file, &[7; 4096]).is_ok() {}
            }
            200 | 400 => std::fs::remove_file(&ballast).unwrap(),
            _ => {}
        }
        refused += usize::from(!append_minute(&tsdb, minute, &mut acknowledged).await);
        if minute % 20 == 19 {
            // Fails for want of room, and does no harm.
            failed_rounds += usize::from(tsdb.maintain().await.is_err());
        }
    }
    assert!(refused > 50 && refused < 250, "{refused} commits were refused");
    assert!(acknowledged.len() > 300 * 200);
    assert_same(&data(&*tsdb).await, &acknowledged, "afterwards");
    tsdb.maintain().await.unwrap();
    assert_same(&data(&*tsdb).await, &acknowledged, "after a round");
    assert!(!testkit::prometheus::block_dirs(&data_dir).is_empty(), "{failed_rounds} rounds failed");
    tsdb.close().await.unwrap();
    drop(tsdb);
    let again = open(&data_dir, &clock).await;
    assert_same(&data(&*again).await, &acknowledged, "after a restart");
    again.close().await.unwrap();
}
