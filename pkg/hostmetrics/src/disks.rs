//! Block devices.

use std::collections::BTreeMap;

use crate::files::{Result, Roots, Text};
use crate::page::{Kind, Page};

/// How a column's figure becomes the metric's.
#[derive(Clone, Copy)]
enum Unit {
    Count,
    /// Sectors are 512 bytes here, whatever the device has.
    Sectors,
    Millis,
}

/// The columns of `/proc/diskstats` after the device's name; older kernels have the first 11 or 15.
const COLUMNS: [(&str, &str, Unit); 17] = [
    ("reads_completed_total", "Reads that were completed.", Unit::Count),
    ("reads_merged_total", "Reads that were merged with another.", Unit::Count),
    ("read_bytes_total", "Bytes read.", Unit::Sectors),
    ("read_time_seconds_total", "Seconds that all reads took together.", Unit::Millis),
    ("writes_completed_total", "Writes that were completed.", Unit::Count),
    ("writes_merged_total", "Writes that were merged with another.", Unit::Count),
    ("written_bytes_total", "Bytes written.", Unit::Sectors),
    ("write_time_seconds_total", "Seconds that all writes took together.", Unit::Millis),
    (IO_NOW, "Requests in progress.", Unit::Count),
    ("io_time_seconds_total", "Seconds in which the device had requests.", Unit::Millis),
    (
        "io_time_weighted_seconds_total",
        "Seconds that requests spent in the device and its queue together.",
        Unit::Millis,
    ),
    ("discards_completed_total", "Discards that were completed.", Unit::Count),
    ("discards_merged_total", "Discards that were merged with another.", Unit::Count),
    ("discarded_sectors_total", "Sectors discarded.", Unit::Count),
    ("discard_time_seconds_total", "Seconds that all discards took together.", Unit::Millis),
    ("flush_requests_total", "Flushes that were completed.", Unit::Count),
    ("flush_requests_time_seconds_total", "Seconds that all flushes took together.", Unit::Millis),
];
/// The one column that is no counter.
const IO_NOW: &str = "io_now";
/// Numbers and name before the columns.
const HEAD: usize = 3;

struct Disk {
    major: String,
    minor: String,
    device: String,
    figures: Vec<u64>,
}

/// `/proc/diskstats`, without partitions, RAM disks, loop devices and floppies.
pub(crate) fn diskstats(roots: &Roots, page: &mut Page) -> Result {
    let disks = parse(&roots.proc("diskstats")?)?;
    let told: Vec<BTreeMap<String, String>> = disks.iter().map(|d| udev(roots, d)).collect();
    let mut family = page.family(Kind::Gauge, "node_disk_info", "The device, as udev knows it.");
    for (disk, told) in disks.iter().zip(&told) {
        let value = |keys: &[&str]| keys.iter().find_map(|k| told.get(*k)).map_or("", String::as_str);
        let labels = [
            ("device", &*disk.device),
            ("major", &disk.major),
            ("minor", &disk.minor),
            ("model", value(&["ID_MODEL"])),
            ("path", value(&["ID_PATH"])),
            ("revision", value(&["ID_REVISION"])),
            ("serial", value(&["SCSI_IDENT_SERIAL", "ID_SERIAL_SHORT", "ID_SERIAL"])),
            ("wwn", value(&["ID_WWN"])),
        ];
        family.sample(&labels, 1);
    }
    for (at, (name, help, unit)) in COLUMNS.iter().enumerate() {
        let kind = if *name == IO_NOW { Kind::Gauge } else { Kind::Counter };
        let name = format!("node_disk_{name}");
        let mut family = page.family(kind, &name, help);
        for disk in &disks {
            let (labels, Some(figure)) = ([("device", &*disk.device)], disk.figures.get(at).copied()) else { continue };
            match unit {
                Unit::Count => family.sample(&labels, figure),
                Unit::Sectors => family.sample(&labels, figure.saturating_mul(512)),
                Unit::Millis => family.sample(&labels, figure as f64 / 1000.0),
            }
        }
    }
    Ok(())
}

fn parse(file: &Text) -> Result<Vec<Disk>> {
    let mut disks: Vec<Disk> = Vec::new();
    for line in file.text.lines().filter(|l| !l.trim().is_empty()) {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        let [major, minor, device, ..] = words.as_slice() else { return Err(file.odd(format!("line {line:?}"))) };
        if is_part(device) || disks.iter().any(|d| d.device == *device) {
            continue;
        }
        let columns = words.iter().skip(HEAD).take(COLUMNS.len());
        let figures = columns.map(|w| file.whole(Some(w))).collect::<Result<Vec<_>>>()?;
        let [major, minor, device] = [major, minor, device].map(|w| (*w).to_owned());
        disks.push(Disk { major, minor, device, figures });
    }
    Ok(disks)
}

/// Whether node_exporter leaves this device out: `^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$`.
fn is_part(device: &str) -> bool {
    let stem = device.trim_end_matches(|c: char| c.is_ascii_digit());
    if stem.len() == device.len() {
        return false;
    }
    let letter = |rest: &str| rest.len() == 1 && rest.bytes().all(|b| b.is_ascii_lowercase());
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let nvme = || {
        let (controller, namespace) = stem.strip_prefix("nvme")?.strip_suffix('p')?.split_once('n')?;
        (digits(controller) && digits(namespace)).then_some(())
    };
    ["ram", "zram", "loop", "fd"].contains(&stem)
        || ["hd", "sd", "vd", "xvd"].iter().any(|bus| stem.strip_prefix(bus).is_some_and(letter))
        || nvme().is_some()
}

/// What udev wrote of the device.
fn udev(roots: &Roots, disk: &Disk) -> BTreeMap<String, String> {
    let Ok(file) = roots.root(&format!("run/udev/data/b{}:{}", disk.major, disk.minor)) else { return BTreeMap::new() };
    let pairs = file.text.lines().filter_map(|l| l.strip_prefix("E:")?.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::fixture::{roots, samples};

    #[test]
    fn parts_are_left_out() {
        for (device, left_out) in [
            ("sda", false),
            ("sda1", true),
            ("sdaa1", false),
            ("vda", false),
            ("xvda15", true),
            ("nvme0n1", false),
            ("nvme0n1p2", true),
            ("nvmen1p2", false),
            ("dm-0", false),
            ("md127", false),
            ("loop7", true),
            ("zram0", true),
            ("fd0", true),
            ("sr0", false),
            ("mmcblk0p1", false),
        ] {
            assert_eq!(is_part(device), left_out, "{device}");
        }
    }

    #[test]
    fn a_disk() {
        let text = "   8       0 sda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18\n   8       1 sda1 1 2\n   7       0 loop0 1\n";
        let udev = "S:disk/by-id/x\nE:ID_MODEL=Fast_Disk\nE:ID_SERIAL_SHORT=S1\nE:ID_SERIAL=Fast_Disk_S1\n";
        let got = samples(&[("proc/diskstats", text), ("root/run/udev/data/b8:0", udev)], diskstats);
        let want = [
            "info{device=\"sda\",major=\"8\",minor=\"0\",model=\"Fast_Disk\",path=\"\",revision=\"\",serial=\"S1\",wwn=\"\"} 1",
            "reads_completed_total{device=\"sda\"} 1",
            "reads_merged_total{device=\"sda\"} 2",
            "read_bytes_total{device=\"sda\"} 1536",
            "read_time_seconds_total{device=\"sda\"} 0.004",
            "writes_completed_total{device=\"sda\"} 5",
            "writes_merged_total{device=\"sda\"} 6",
            "written_bytes_total{device=\"sda\"} 3584",
            "write_time_seconds_total{device=\"sda\"} 0.008",
            "io_now{device=\"sda\"} 9",
            "io_time_seconds_total{device=\"sda\"} 0.01",
            "io_time_weighted_seconds_total{device=\"sda\"} 0.011",
            "discards_completed_total{device=\"sda\"} 12",
            "discards_merged_total{device=\"sda\"} 13",
            "discarded_sectors_total{device=\"sda\"} 14",
            "discard_time_seconds_total{device=\"sda\"} 0.015",
            "flush_requests_total{device=\"sda\"} 16",
            "flush_requests_time_seconds_total{device=\"sda\"} 0.017",
        ];
        assert_eq!(got, want.map(|line| format!("node_disk_{line}\n")).concat());
    }

    #[test]
    fn an_old_kernel_has_fewer_columns() {
        let got = samples(&[("proc/diskstats", "8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n")], diskstats);
        assert_eq!(got.lines().count(), 12);
    }

    #[test]
    fn odd_lines_fail() {
        for text in ["8 0\n", "8 0 sda 1 x\n"] {
            let (_dir, roots) = roots(&[("proc/diskstats", text)]);
            assert!(diskstats(&roots, &mut Page::default()).is_err(), "{text}");
        }
    }
}
