//! `process_*` metrics of this process, read from `/proc` when scraped. Elsewhere than on Linux they are absent.

use std::fs;
use std::path::{Path, PathBuf};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Clock ticks per second in `/proc`: the kernel's user-visible HZ, 100 on every architecture built for.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads `<root>/self/*`; register it with [`Metrics::collect`](crate::Metrics::collect).
#[derive(Debug, Clone)]
pub struct ProcessCollector {
    root: PathBuf,
}

impl Default for ProcessCollector {
    fn default() -> Self {
        Self::new("/proc")
    }
}

impl ProcessCollector {
    /// `root` is `/proc`, or a test's copy.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
}

/// What is known of the process; what cannot be read is `None` and not shown.
#[derive(Debug, Default, PartialEq)]
struct Reading {
    cpu_seconds: Option<f64>,
    start_time_seconds: Option<f64>,
    resident_bytes: Option<f64>,
    virtual_bytes: Option<f64>,
    open_fds: Option<f64>,
    max_fds: Option<f64>,
}

fn read(root: &Path) -> Reading {
    let text = |name: &str| fs::read_to_string(root.join(name)).unwrap_or_default();
    let stat = text("self/stat");
    // The command's name stands in brackets and may hold blanks and brackets itself.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    // fields[0] is the third of proc(5)
    let tick = |field: usize| fields.get(field - 3).and_then(|t| t.parse::<f64>().ok()).map(|t| t / TICKS_PER_SECOND);
    let booted = text("stat").lines().find_map(|l| l.strip_prefix("btime ")?.trim().parse::<f64>().ok());
    let status = text("self/status");
    let kib = |key: &str| -> Option<f64> {
        let line = status.lines().find_map(|l| l.strip_prefix(key))?;
        Some(line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok()? * 1024.0)
    };
    let limits = text("self/limits");
    let soft_limit = |l: &str| l.strip_prefix("Max open files")?.split_whitespace().next()?.parse::<f64>().ok();
    let max_fds = limits.lines().find_map(soft_limit);
    Reading {
        cpu_seconds: tick(14).zip(tick(15)).map(|(user, system)| user + system),
        start_time_seconds: booted.zip(tick(22)).map(|(at, after)| at + after),
        resident_bytes: kib("VmRSS:"),
        virtual_bytes: kib("VmSize:"),
        open_fds: fs::read_dir(root.join("self/fd")).ok().map(|list| list.count() as f64),
        max_fds,
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let now = read(&self.root);
        if let Some(seconds) = now.cpu_seconds {
            let counter = ConstCounter::new(seconds);
            let help = "User and system CPU time spent, in seconds";
            counter.encode(encoder.encode_descriptor("process_cpu_seconds", help, None, counter.metric_type())?)?;
        }
        for (name, help, value) in [
            ("process_start_time_seconds", "Start of the process, Unix seconds", now.start_time_seconds),
            ("process_resident_memory_bytes", "Resident memory, in bytes", now.resident_bytes),
            ("process_virtual_memory_bytes", "Virtual memory, in bytes", now.virtual_bytes),
            ("process_open_fds", "Open file descriptors", now.open_fds),
            ("process_max_fds", "Most file descriptors allowed", now.max_fds),
        ] {
            let Some(value) = value else { continue };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process() {
        let now = read(Path::new("/proc"));
        assert!(now.resident_bytes.unwrap() > 1e5, "{now:?}");
        assert!(now.open_fds.unwrap() >= 3.0, "{now:?}");
        assert!(now.start_time_seconds.unwrap() > 1.5e9, "{now:?}");
        let metrics = crate::Metrics::new();
        metrics.collect(ProcessCollector::default());
        let text = metrics.encode();
        assert!(text.contains("# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total "), "{text}");
    }

    #[test]
    fn nothing_there() {
        assert_eq!(read(Path::new("/nowhere")), Reading::default());
    }
}
