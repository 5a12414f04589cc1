//! Network interfaces.

use crate::files::{Result, Roots, Text};
use crate::page::{Kind, Page};

const CLASS: &str = "class/net";
/// The columns of `/proc/net/dev` after the interface's name.
const COLUMNS: [(&str, &str); 16] = [
    ("receive_bytes_total", "Bytes received."),
    ("receive_packets_total", "Packets received."),
    ("receive_errs_total", "Packets received with errors."),
    ("receive_drop_total", "Received packets that were dropped."),
    ("receive_fifo_total", "Received packets that found the queue full."),
    ("receive_frame_total", "Packets received with a wrong frame."),
    ("receive_compressed_total", "Compressed packets received."),
    ("receive_multicast_total", "Multicast packets received."),
    ("transmit_bytes_total", "Bytes sent."),
    ("transmit_packets_total", "Packets sent."),
    ("transmit_errs_total", "Packets not sent for errors."),
    ("transmit_drop_total", "Packets dropped before they were sent."),
    ("transmit_fifo_total", "Packets to send that found the queue full."),
    ("transmit_colls_total", "Collisions while sending."),
    ("transmit_carrier_total", "Packets not sent for want of a carrier."),
    ("transmit_compressed_total", "Compressed packets sent."),
];

/// `/proc/net/dev`.
pub(crate) fn netdev(roots: &Roots, page: &mut Page) -> Result {
    let devices = parse(&roots.proc("net/dev")?)?;
    for (at, (name, help)) in COLUMNS.iter().enumerate() {
        let name = format!("node_network_{name}");
        let mut family = page.family(Kind::Counter, &name, help);
        for (device, figures) in &devices {
            family.sample(&[("device", device)], figures[at]);
        }
    }
    let help = "Received packets that no protocol wanted.";
    let mut family = page.family(Kind::Counter, "node_network_receive_nohandler_total", help);
    for (device, _) in &devices {
        if let Some(packets) = roots.attribute_number(&format!("{CLASS}/{device}/statistics/rx_nohandler")) {
            family.sample(&[("device", device)], packets);
        }
    }
    Ok(())
}

fn parse(file: &Text) -> Result<Vec<(String, [u64; COLUMNS.len()])>> {
    let mut devices = Vec::new();
    for line in file.text.lines().skip(2).filter(|l| !l.trim().is_empty()) {
        let (device, figures) = line.rsplit_once(':').ok_or_else(|| file.odd(format!("line {line:?}")))?;
        let mut words = figures.split_ascii_whitespace();
        let mut row = [0; COLUMNS.len()];
        for figure in &mut row {
            *figure = file.whole(words.next())?;
        }
        devices.push((device.trim().to_owned(), row));
    }
    Ok(devices)
}

/// Attributes of an interface that are numbers.
const NUMBERS: [(&str, Kind, &str, &str); 16] = [
    ("addr_assign_type", Kind::Gauge, "address_assign_type", "How the address was assigned, as the kernel numbers it."),
    ("carrier", Kind::Gauge, "carrier", "1 where there is a carrier."),
    ("carrier_changes", Kind::Counter, "carrier_changes_total", "Times that the carrier came or went."),
    ("carrier_up_count", Kind::Counter, "carrier_up_changes_total", "Times that the carrier came."),
    ("carrier_down_count", Kind::Counter, "carrier_down_changes_total", "Times that the carrier went."),
    ("dev_id", Kind::Gauge, "device_id", "Tells interfaces apart that share an address."),
    ("dormant", Kind::Gauge, "dormant", "1 where the interface waits for something else, such as a login."),
    ("flags", Kind::Gauge, "flags", "Flags of the interface, as the kernel numbers them."),
    ("ifindex", Kind::Gauge, "iface_id", "Number of the interface."),
    ("iflink", Kind::Gauge, "iface_link", "Number of the interface that this one goes through."),
    ("link_mode", Kind::Gauge, "iface_link_mode", "Link mode, as the kernel numbers it."),
    ("mtu", Kind::Gauge, "mtu_bytes", "Longest packet, in bytes."),
    ("name_assign_type", Kind::Gauge, "name_assign_type", "How the name was assigned, as the kernel numbers it."),
    ("netdev_group", Kind::Gauge, "net_dev_group", "Group of the interface."),
    ("type", Kind::Gauge, "protocol_type", "Protocol, as the kernel numbers it."),
    ("tx_queue_len", Kind::Gauge, "transmit_queue_length", "Packets that the queue for sending can hold."),
];

/// `/sys/class/net`: what interfaces are.
pub(crate) fn netclass(roots: &Roots, page: &mut Page) -> Result {
    let devices = roots.sys_names(CLASS)?;
    // `bonding_masters` lies among the interfaces and is none.
    let devices: Vec<_> = devices.into_iter().filter(|d| roots.sys(&format!("{CLASS}/{d}/ifindex")).is_ok()).collect();
    let value = |device: &str, file: &str| roots.attribute(&format!("{CLASS}/{device}/{file}"));
    let mut family = page.family(Kind::Gauge, "node_network_info", "The interface and its state.");
    for device in &devices {
        let told = |file| value(device, file).unwrap_or_default();
        let labels = [
            ("address", &*told("address")),
            ("broadcast", &told("broadcast")),
            ("device", device),
            ("duplex", &told("duplex")),
            ("ifalias", &told("ifalias")),
            ("operstate", &told("operstate")),
        ];
        family.sample(&labels, 1);
    }
    let mut family = page.family(Kind::Gauge, "node_network_up", "1 where the interface is up.");
    for device in &devices {
        let is_up = value(device, "operstate").is_some_and(|state| state == "up");
        family.sample(&[("device", device)], u64::from(is_up));
    }
    for (file, kind, name, help) in NUMBERS {
        let name = format!("node_network_{name}");
        let mut family = page.family(kind, &name, help);
        for device in &devices {
            if let Some(number) = value(device, file).and_then(|text| number(&text)) {
                family.sample(&[("device", device)], number);
            }
        }
    }
    let help = "Speed of the interface in bytes per second; negative where it is not known.";
    let mut family = page.family(Kind::Gauge, "node_network_speed_bytes", help);
    for device in &devices {
        if let Some(megabits) = value(device, "speed").and_then(|text| number(&text)) {
            family.sample(&[("device", device)], megabits * 1e6 / 8.0);
        }
    }
    Ok(())
}

/// Decimal, or hexadecimal after `0x`.
fn number(text: &str) -> Option<f64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok().map(|n| n as f64),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::fixture::{roots, samples};

    const HEAD: &str = "Inter-|   Receive       |  Transmit\n face |bytes    packets errs|bytes\n";

    #[test]
    fn counters() {
        let text =
            format!("{HEAD}    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n  eth0.1:1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
        let files = [("proc/net/dev", text.as_str()), ("sys/class/net/lo/statistics/rx_nohandler", "17\n")];
        let got = samples(&files, netdev);
        let want: Vec<String> = COLUMNS
            .iter()
            .enumerate()
            .map(|(n, c)| format!("node_network_{}{{device=\"lo\"}} {}", c.0, n + 1))
            .collect();
        let lo: Vec<&str> = got.lines().filter(|l| l.contains("\"lo\"")).collect();
        assert_eq!(lo[..16], want);
        assert_eq!(lo[16], "node_network_receive_nohandler_total{device=\"lo\"} 17");
        assert!(got.contains("node_network_receive_bytes_total{device=\"eth0.1\"} 1\n"), "{got}");
        let (_dir, roots) = roots(&[("proc/net/dev", &format!("{HEAD}lo: 1 2 3\n"))]);
        assert!(netdev(&roots, &mut Page::default()).is_err());
    }

    #[test]
    fn attributes() {
        let files = [
            ("sys/class/net/bonding_masters", "\n"),
            ("sys/class/net/eth0/ifindex", "4\n"),
            ("sys/class/net/eth0/operstate", "up\n"),
            ("sys/class/net/eth0/address", "02:fc:00:00:00:01\n"),
            ("sys/class/net/eth0/flags", "0x1003\n"),
            ("sys/class/net/eth0/speed", "-1\n"),
            ("sys/class/net/eth0/carrier", "\n"),
        ];
        assert_eq!(
            samples(&files, netclass),
            "node_network_info{address=\"02:fc:00:00:00:01\",broadcast=\"\",device=\"eth0\",duplex=\"\",ifalias=\"\",\
             operstate=\"up\"} 1\nnode_network_up{device=\"eth0\"} 1\nnode_network_flags{device=\"eth0\"} 4099\n\
             node_network_iface_id{device=\"eth0\"} 4\nnode_network_speed_bytes{device=\"eth0\"} -125000\n"
        );
    }
}
