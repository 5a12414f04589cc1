//! The page beside that of a real node_exporter, which runs at the same time.

#![cfg(target_os = "linux")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use hostmetrics::{Host, Options};
use model::SystemClock;

/// What node_exporter shows by default and this crate does not, by the start of the metric's name.
const LACKING: &[(&str, &str)] = &[
    ("node_bcache_", "bcache: few hosts have it"),
    ("node_bonding_", "bonding"),
    ("node_btrfs_", "btrfs: asks the kernel in ways of its own"),
    ("node_cpu_core_throttles_total", "throttling by temperature"),
    ("node_cpu_package_throttles_total", "throttling by temperature"),
    ("node_cpu_scaling_governor", "a word, not a figure"),
    ("node_disk_ata_", "udev's properties of disks, but for those in node_disk_info"),
    ("node_disk_device_mapper_info", "udev's properties of disks, but for those in node_disk_info"),
    ("node_disk_filesystem_info", "udev's properties of disks, but for those in node_disk_info"),
    ("node_dmi_info", "the maker of the host"),
    ("node_edac_", "errors of memory modules"),
    ("node_exporter_build_info", "the exporter about itself"),
    ("node_fibrechannel_", "Fibre Channel"),
    ("node_hwmon_", "sensors other than temperatures, fans and voltages"),
    ("node_infiniband_", "InfiniBand"),
    ("node_ipvs_", "virtual servers"),
    ("node_md_", "software RAID"),
    ("node_nfs_", "NFS clients"),
    ("node_nfsd_", "NFS servers"),
    ("node_nvme_info", "serial numbers of NVMe devices"),
    ("node_power_supply_", "batteries and mains"),
    ("node_rapl_", "electric power"),
    ("node_selinux_", "SELinux"),
    ("node_systemd_", "Debian switches systemd's units on"),
    ("node_tape_", "tape drives"),
    ("node_textfile_", "metrics that other programs write into files"),
    ("node_time_zone_offset_seconds", "the time zone"),
    ("node_timex_", "the kernel's clock discipline, which is asked by a system call of its own"),
    ("node_xfs_", "XFS"),
    ("node_zfs_", "ZFS"),
    // What all programs of its kind show.
    ("go_", "the exporter about itself"),
    ("process_", "the exporter about itself"),
    ("promhttp_", "the exporter about itself"),
];

/// What node_exporter 1.5 does not have yet; 1.8 does.
const NEWER: &[&str] =
    &["node_netstat_TcpExt_TCPOFOQueue", "node_netstat_TcpExt_TCPRcvQDrop", "node_pressure_irq_stalled_seconds_total"];

/// Gauges that do not change while the test runs.
const STEADY: &[&str] = &[
    "node_boot_time_seconds",
    "node_disk_info",
    "node_entropy_pool_size_bits",
    "node_filefd_maximum",
    "node_filesystem_device_error",
    "node_filesystem_files{",
    "node_filesystem_readonly",
    "node_filesystem_size_bytes",
    "node_memory_HugePages_Total",
    "node_memory_Hugepagesize_bytes",
    "node_memory_MemTotal_bytes",
    "node_memory_SwapTotal_bytes",
    "node_network_flags",
    "node_network_info",
    "node_network_mtu_bytes",
    "node_network_protocol_type",
    "node_network_speed_bytes",
    "node_network_transmit_queue_length",
    "node_network_up",
    "node_nf_conntrack_entries_limit",
    "node_os_",
    "node_time_clocksource_",
    "node_uname_info",
];

/// Untyped metrics that may fall.
const NO_COUNTERS: &[&str] = &["node_netstat_Tcp_CurrEstab", "node_netstat_Ip_Forwarding"];

/// A parsed page.
struct Page {
    /// Values by series, as written.
    samples: BTreeMap<String, f64>,
    /// Types by family.
    types: BTreeMap<String, String>,
}

fn parse(text: &str) -> Page {
    let mut page = Page { samples: BTreeMap::new(), types: BTreeMap::new() };
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' ')) {
            assert!(page.types.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} has two heads");
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let earlier = page.samples.insert(series.to_owned(), value.parse().unwrap());
            assert!(earlier.is_none(), "{series} is there twice");
        }
    }
    page
}

fn fetch(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.contains(" 200 ").then(|| body.to_owned())
}

fn name(series: &str) -> &str {
    series.split('{').next().unwrap_or_default()
}

/// Theirs before and after ours; nothing where there is no node_exporter.
async fn pages() -> Option<[Page; 3]> {
    let port = testkit::free_port().unwrap();
    let mut command = Command::new("prometheus-node-exporter");
    command
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        // Debian changed these two defaults.
        .arg("--collector.netdev.device-exclude=^$")
        .arg("--collector.filesystem.mount-points-exclude=^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)")
        // The default of later versions.
        .arg("--collector.diskstats.device-exclude=^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\\d+n\\d+p)\\d+$")
        .stderr(Stdio::null());
    let Ok(_exporter) = testkit::Process::start(&mut command) else {
        testkit::skip_without("prometheus-node-exporter on the path", "beside_node_exporter");
        return None;
    };
    testkit::wait_for("node_exporter", Duration::from_secs(60), async || fetch(port).is_some()).await;
    let host = Host::new(Options::default(), Arc::new(SystemClock));
    let before = fetch(port).unwrap();
    let ours = host.collect();
    let after = fetch(port).unwrap();
    Some([before, ours, after].map(|text| parse(&text)))
}

fn is_covered(series: &str, table: &[&str]) -> bool {
    table.iter().any(|start| series.starts_with(start))
}

#[tokio::test]
async fn the_same_series_with_the_same_types_and_values() {
    let Some([before, ours, after]) = pages().await else { return };
    let mut wrong = Vec::new();
    for (series, value) in ours.samples.iter().filter(|(s, _)| !is_covered(s, NEWER)) {
        let (Some(low), Some(high)) = (before.samples.get(series), after.samples.get(series)) else {
            wrong.push(format!("{series} is only here"));
            continue;
        };
        let family = name(series);
        let kinds = [&before, &ours].map(|page| page.types.get(family).map(String::as_str).unwrap_or_default());
        if kinds[0] != kinds[1] {
            wrong.push(format!("{family} is a {}, here a {}", kinds[0], kinds[1]));
        }
        let counts = kinds[0] == "counter" || (kinds[0] == "untyped" && !NO_COUNTERS.contains(&family));
        let slack = 1e-9 * value.abs();
        if (counts || family == "node_time_seconds") && !(low - slack..=high + slack).contains(value) {
            wrong.push(format!("{series} is {value}, should be within {low} and {high}"));
        } else if is_covered(series, STEADY) && value != low {
            wrong.push(format!("{series} is {value}, should be {low}"));
        }
    }
    assert!(ours.samples.len() > 200, "only {} series", ours.samples.len());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test]
async fn what_is_lacking_is_listed() {
    let Some([before, ours, _]) = pages().await else { return };
    let own: BTreeSet<&String> = ours.samples.keys().collect();
    let listed = |series: &str| LACKING.iter().any(|(start, _)| series.starts_with(start));
    let their_collector = |series: &str| series.starts_with("node_scrape_collector_");
    let lacking: Vec<_> =
        before.samples.keys().filter(|s| !own.contains(s) && !listed(s) && !their_collector(s)).collect();
    assert!(lacking.is_empty(), "{lacking:#?}");
}
