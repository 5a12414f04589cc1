//! All collectors, one after the other.

use std::sync::Arc;
use std::time::Duration;

use model::Clock;
use telemetry::Occasionally;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::cpu::{self, Cpu};
use crate::files::{Error, Result, Roots};
use crate::page::{Kind, Page};
use crate::statfs::{self, Rooms};
use crate::{disks, filesystems, identity, interfaces, kernel, memory, protocols, sensors};

/// Where and how a host is looked at.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the host's files are.
    pub roots: Roots,
    /// How long one file system may take to tell its room. Default: 1 s, so that a page with a mount that hangs is still
    /// ready within a usual scrape timeout.
    pub mount_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { roots: Roots::default(), mount_timeout: Duration::from_secs(1) }
    }
}

/// A collector that needs files only.
type Read = fn(&Roots, &mut Page) -> Result;

const FROM_FILES: [(&str, Read); 22] = [
    ("arp", protocols::arp),
    ("conntrack", protocols::conntrack),
    ("cpufreq", cpu::frequencies),
    ("diskstats", disks::diskstats),
    ("entropy", kernel::entropy),
    ("filefd", kernel::filefd),
    ("hwmon", sensors::hwmon),
    ("loadavg", kernel::loadavg),
    ("meminfo", memory::meminfo),
    ("netclass", interfaces::netclass),
    ("netdev", interfaces::netdev),
    ("netstat", protocols::netstat),
    ("os", identity::os),
    ("pressure", kernel::pressure),
    ("schedstat", kernel::schedstat),
    ("sockstat", protocols::sockstat),
    ("softnet", protocols::softnet),
    ("stat", kernel::stat),
    ("thermal_zone", sensors::thermal),
    ("udp_queues", protocols::udp_queues),
    ("uname", identity::uname),
    ("vmstat", memory::vmstat),
];

/// The host that the program runs on.
#[derive(Debug)]
pub struct Host {
    roots: Roots,
    clock: Arc<dyn Clock>,
    cpu: Cpu,
    rooms: Rooms,
    odd: Occasionally,
}

impl Host {
    /// The host whose files `options` names, at the time of `clock`. Elsewhere than on Linux a log line says that there
    /// will be nothing.
    pub fn new(options: Options, clock: Arc<dyn Clock>) -> Self {
        if !cfg!(target_os = "linux") {
            info!("metrics of the host are read on Linux only: their page stays empty");
        }
        let rooms = Rooms::new(statfs::system(), options.mount_timeout);
        Self { roots: options.roots, clock, cpu: Cpu::default(), rooms, odd: Occasionally::minutely() }
    }

    /// The host's name, `localhost` where it is not told.
    pub fn name(&self) -> String {
        let name = self.roots.proc("sys/kernel/hostname").map(|t| t.text.trim().to_owned());
        name.ok().filter(|n| !n.is_empty()).unwrap_or_else(|| "localhost".to_owned())
    }

    /// The page of metrics, in Prometheus' text format ([`telemetry::CONTENT_TYPE`]). It reads files, and a file system
    /// that hangs takes a while: not to be called where tasks run.
    pub fn collect(&self) -> String {
        if !cfg!(target_os = "linux") {
            return String::new();
        }
        let mut run = Run { page: Page::default(), done: Vec::new(), odd: &self.odd };
        for (name, read) in FROM_FILES {
            run.collector(name, |page| read(&self.roots, page));
        }
        run.collector("cpu", |page| self.cpu.read(&self.roots, page));
        run.collector("filesystem", |page| filesystems::filesystem(&self.rooms, &self.roots, page));
        run.collector("time", |page| identity::time(&*self.clock, &self.roots, page));
        run.finish()
    }
}

struct Run<'a> {
    page: Page,
    done: Vec<Done>,
    odd: &'a Occasionally,
}

struct Done {
    collector: &'static str,
    took: Duration,
    succeeded: bool,
}

impl Run<'_> {
    /// Runs a collector; of one that fails, nothing stays.
    fn collector(&mut self, collector: &'static str, read: impl FnOnce(&mut Page) -> Result) {
        let (mark, begun) = (self.page.mark(), Instant::now());
        let read = read(&mut self.page);
        match &read {
            Ok(()) => {}
            Err(e @ Error::Missing(_)) => debug!(err = %e, collector, "this host does not have it"),
            Err(e) => {
                if let Some(failures) = self.odd.count() {
                    warn!(err = %e, collector, failures, "a collector of the host's metrics failed, its metrics are missing");
                }
            }
        }
        if read.is_err() {
            self.page.back_to(mark);
        }
        self.done.push(Done { collector, took: begun.elapsed(), succeeded: read.is_ok() });
    }

    fn finish(mut self) -> String {
        self.done.sort_by_key(|d| d.collector);
        let help = "Seconds that the collector took for this page.";
        let mut family = self.page.family(Kind::Gauge, "node_scrape_collector_duration_seconds", help);
        for done in &self.done {
            family.sample(&[("collector", done.collector)], done.took.as_secs_f64());
        }
        let help = "1 where the collector could read what it shows.";
        let mut family = self.page.family(Kind::Gauge, "node_scrape_collector_success", help);
        for done in &self.done {
            family.sample(&[("collector", done.collector)], u64::from(done.succeeded));
        }
        self.page.into_text()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use model::FakeClock;

    use super::*;
    use crate::files::fixture::roots;

    fn page(files: &[(&str, &str)]) -> String {
        let (_dir, roots) = roots(files);
        let options = Options { roots, ..Options::default() };
        Host::new(options, Arc::new(FakeClock::at(5000))).collect()
    }

    #[test]
    fn what_is_missing_or_odd_costs_its_collector_only() {
        let disks = "8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n8 16 sdb 1 x\n";
        let text = page(&[("proc/loadavg", "1 2 3 1/2 3\n"), ("proc/diskstats", disks), ("proc/vmstat", "pgfault\n")]);
        for line in [
            "node_load1 1\n",
            "node_time_seconds 5\n",
            "node_scrape_collector_success{collector=\"loadavg\"} 1\n",
            "node_scrape_collector_success{collector=\"diskstats\"} 0\n",
            "node_scrape_collector_success{collector=\"vmstat\"} 0\n",
            "node_scrape_collector_success{collector=\"meminfo\"} 0\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("node_disk") && !text.contains("node_vmstat"), "{text}");
    }

    #[test]
    fn the_name_of_the_host() {
        for (files, want) in [(&[("proc/sys/kernel/hostname", "vm\n")][..], "vm"), (&[], "localhost")] {
            let (_dir, roots) = roots(files);
            let options = Options { roots, ..Options::default() };
            assert_eq!(Host::new(options, Arc::new(FakeClock::at(0))).name(), want);
        }
    }

    #[test]
    fn each_collector_is_told_of() {
        let text = page(&[]);
        for metric in ["success", "duration_seconds"] {
            let start = format!("node_scrape_collector_{metric}{{");
            assert_eq!(text.lines().filter(|l| l.starts_with(&start)).count(), FROM_FILES.len() + 3);
        }
    }
}
