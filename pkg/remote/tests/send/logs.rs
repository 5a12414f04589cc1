//! A log that is written as a head writes it.

use std::path::PathBuf;

use tokio::sync::watch;
use wal::record::{encode_samples, encode_series};
use wal::{Options, Position, Writer};

pub struct Log {
    folder: tempfile::TempDir,
    pub writer: Writer,
    pub written: watch::Sender<Position>,
    next: u64,
}

impl Log {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (writer, _) = Writer::open(&folder.path().join("wal"), Options::default()).unwrap();
        let (written, _) = watch::channel(writer.position());
        Self { folder, writer, written, next: 1 }
    }

    pub fn dir(&self) -> PathBuf {
        self.folder.path().join("wal")
    }

    pub fn cursor_dir(&self) -> PathBuf {
        self.folder.path().join("remote_write")
    }

    pub fn records(&mut self, records: &[Vec<u8>]) {
        self.writer.log(records).unwrap();
        self.written.send_replace(self.writer.position());
    }

    pub fn series(&mut self, labels: &[(&str, &str)]) -> u64 {
        let number = self.next;
        self.next += 1;
        let mut record = Vec::new();
        encode_series(&mut record, [(number, labels.iter().copied())]);
        self.records(&[record]);
        number
    }

    /// So many series `a{n="…"}`.
    pub fn many(&mut self, count: u64) -> Vec<u64> {
        (0..count).map(|n| self.series(&[("__name__", "a"), ("n", &n.to_string())])).collect()
    }

    /// A sample of each series at this time, in one record.
    pub fn samples(&mut self, series: &[u64], time_ms: i64, value: f64) {
        let mut record = Vec::new();
        encode_samples(&mut record, series, &vec![time_ms; series.len()], &vec![value; series.len()]);
        self.records(&[record]);
    }

    pub fn cut(&mut self) {
        self.writer.cut().unwrap();
        self.written.send_replace(self.writer.position());
    }
}
