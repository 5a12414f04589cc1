//! Network protocols: their counters, sockets, queues and tables.

use std::collections::BTreeMap;

use crate::files::{Error, Result, Roots, Text};
use crate::page::{Kind, Page, metric_name};

/// Counters of the protocols, of which node_exporter shows these.
pub(crate) fn netstat(roots: &Roots, page: &mut Page) -> Result {
    let mut show = |file: &Text, protocol: &str, name: &str, value: Option<&str>| -> Result {
        if is_shown(protocol, name) {
            let (metric, help) = (format!("node_netstat_{protocol}_{name}"), format!("{name} of {protocol}."));
            page.family(Kind::Untyped, &metric_name(&metric), &help).sample(&[], file.real(value)?);
        }
        Ok(())
    };
    for file in ["net/netstat", "net/snmp"] {
        let file = roots.proc(file)?;
        // Names and figures stand in two lines below one another, which begin alike.
        let mut lines = file.text.lines();
        while let (Some(names), Some(figures)) = (lines.next(), lines.next()) {
            let (Some((protocol, names)), Some((below, figures))) = (names.split_once(':'), figures.split_once(':'))
            else {
                return Err(file.odd(format!("line {names:?}")));
            };
            if protocol != below {
                return Err(file.odd(format!("figures of {below} below the names of {protocol}")));
            }
            let mut figures = figures.split_ascii_whitespace();
            for name in names.split_ascii_whitespace() {
                show(&file, protocol, name, figures.next())?;
            }
        }
    }
    let file = match roots.proc("net/snmp6") {
        // Without IPv6.
        Err(Error::Missing(_)) => return Ok(()),
        other => other?,
    };
    for line in file.text.lines() {
        let mut words = line.split_ascii_whitespace();
        if let Some((protocol, name)) = words.next().and_then(|w| Some(w.split_at(w.find('6')? + 1))) {
            show(&file, protocol, name, words.next())?;
        }
    }
    Ok(())
}

/// The default of node_exporter's `--collector.netstat.fields`.
fn is_shown(protocol: &str, name: &str) -> bool {
    if name == "InErrors" || name == "InErrs" {
        return true;
    }
    match protocol {
        "Ip" => name == "Forwarding",
        "Ip6" | "IpExt" => ["InOctets", "OutOctets"].contains(&name),
        "Icmp" | "Icmp6" => ["InMsgs", "OutMsgs"].contains(&name),
        "TcpExt" => {
            name.starts_with("Listen")
                || name.starts_with("Syncookies")
                || ["TCPSynRetrans", "TCPTimeouts", "TCPOFOQueue", "TCPRcvQDrop"].contains(&name)
        }
        "Tcp" => {
            ["ActiveOpens", "InSegs", "OutSegs", "OutRsts", "PassiveOpens", "RetransSegs", "CurrEstab"].contains(&name)
        }
        "Udp" | "Udp6" => ["InDatagrams", "OutDatagrams", "NoPorts", "RcvbufErrors", "SndbufErrors"].contains(&name),
        _ => false,
    }
}

/// Sockets by protocol.
pub(crate) fn sockstat(roots: &Roots, page: &mut Page) -> Result {
    for name in ["net/sockstat", "net/sockstat6"] {
        let file = match roots.proc(name) {
            Err(Error::Missing(_)) if name.ends_with('6') => continue,
            other => other?,
        };
        for line in file.text.lines() {
            let Some((protocol, pairs)) = line.split_once(':') else { return Err(file.odd(format!("line {line:?}"))) };
            let mut words = pairs.split_ascii_whitespace();
            while let Some(key) = words.next() {
                let (metric, value) =
                    (metric_name(&format!("node_sockstat_{protocol}_{key}")), file.whole(words.next())?);
                page.gauge(&metric, &format!("{key} of {protocol} sockets."), value);
                if let ("mem", Some(page_bytes)) = (key, page_bytes(roots)) {
                    let help = format!("Memory of {protocol} sockets, in bytes.");
                    page.gauge(&format!("{metric}_bytes"), &help, value.saturating_mul(page_bytes));
                }
            }
        }
    }
    Ok(())
}

/// The size of a page of memory, in which the kernel counts that of sockets.
fn page_bytes(roots: &Roots) -> Option<u64> {
    let auxv = std::fs::read(roots.proc.join("self/auxv")).ok()?;
    const WORD: usize = size_of::<usize>();
    const PAGE_SIZE: usize = 6;
    let word = |bytes: &[u8]| Some(usize::from_ne_bytes(bytes.try_into().ok()?));
    let entry = auxv.chunks_exact(2 * WORD).find(|e| word(&e[..WORD]) == Some(PAGE_SIZE))?;
    Some(word(&entry[WORD..])? as u64)
}

/// `/proc/net/softnet_stat`: packets that each CPU took from its queue.
pub(crate) fn softnet(roots: &Roots, page: &mut Page) -> Result {
    let file = roots.proc("net/softnet_stat")?;
    let mut rows = Vec::new();
    for (at, line) in file.text.lines().enumerate() {
        let hex = |word: &str| u64::from_str_radix(word, 16).map_err(|_| file.odd(format!("line {line:?}")));
        let row = line.split_ascii_whitespace().map(hex).collect::<Result<Vec<_>>>()?;
        // Newer kernels name the CPU; older ones had a line for each.
        let cpu = row.get(12).copied().unwrap_or(at as u64);
        rows.push((cpu.to_string(), row));
    }
    for (column, name, help) in [
        (0, "node_softnet_processed_total", "Packets taken from the queue."),
        (1, "node_softnet_dropped_total", "Packets dropped since the queue was full."),
        (2, "node_softnet_times_squeezed_total", "Times that packets were left in the queue for want of time."),
    ] {
        let mut family = page.family(Kind::Counter, name, help);
        for (cpu, row) in &rows {
            family.sample(&[("cpu", cpu)], row.get(column).copied().unwrap_or(0));
        }
    }
    Ok(())
}

/// `/proc/net/arp`: known neighbours by interface.
pub(crate) fn arp(roots: &Roots, page: &mut Page) -> Result {
    let file = roots.proc("net/arp")?;
    let mut entries = BTreeMap::<&str, u64>::new();
    for line in file.text.lines().skip(1) {
        let device = line.split_ascii_whitespace().nth(5).ok_or_else(|| file.odd(format!("line {line:?}")))?;
        *entries.entry(device).or_default() += 1;
    }
    let mut family = page.family(Kind::Gauge, "node_arp_entries", "Neighbours whose addresses are known (ARP).");
    entries.iter().for_each(|(device, count)| family.sample(&[("device", device)], *count));
    Ok(())
}

/// Bytes that wait in the queues of UDP sockets.
pub(crate) fn udp_queues(roots: &Roots, page: &mut Page) -> Result {
    let mut sums = Vec::new();
    for (name, ip) in [("net/udp", "v4"), ("net/udp6", "v6")] {
        let file = match roots.proc(name) {
            Err(Error::Missing(_)) => continue,
            other => other?,
        };
        let (mut sent, mut received) = (0u64, 0u64);
        for line in file.text.lines().skip(1) {
            let queues = line.split_ascii_whitespace().nth(4).and_then(|w| w.split_once(':'));
            let bytes = queues
                .and_then(|(tx, rx)| Some((u64::from_str_radix(tx, 16).ok()?, u64::from_str_radix(rx, 16).ok()?)));
            let (tx, rx) = bytes.ok_or_else(|| file.odd(format!("line {line:?}")))?;
            (sent, received) = (sent.saturating_add(tx), received.saturating_add(rx));
        }
        sums.push((ip, [("rx", received), ("tx", sent)]));
    }
    let mut family = page.family(Kind::Gauge, "node_udp_queues", "Bytes that wait in the queues of UDP sockets.");
    for (ip, queues) in sums {
        queues.iter().for_each(|(queue, bytes)| family.sample(&[("ip", ip), ("queue", queue)], *bytes));
    }
    Ok(())
}

/// Tracked connections.
pub(crate) fn conntrack(roots: &Roots, page: &mut Page) -> Result {
    for (file, name, help) in [
        ("count", "node_nf_conntrack_entries", "Connections that are tracked."),
        ("max", "node_nf_conntrack_entries_limit", "Most connections that can be tracked."),
    ] {
        let file = roots.proc(&format!("sys/net/netfilter/nf_conntrack_{file}"))?;
        page.gauge(name, help, file.whole(file.text.split_ascii_whitespace().next())?);
    }
    let file = match roots.proc("net/stat/nf_conntrack") {
        Err(Error::Missing(_) | Error::Unreadable { .. }) => return Ok(()),
        other => other?,
    };
    let mut lines = file.text.lines().map(|l| l.split_ascii_whitespace().collect::<Vec<_>>());
    let names = lines.next().unwrap_or_default();
    let rows: Vec<_> = lines.collect();
    for name in ["drop", "early_drop", "found", "ignore", "insert", "insert_failed", "invalid", "search_restart"] {
        let Some(column) = names.iter().position(|n| *n == name) else { continue };
        let mut sum = 0u64;
        for row in &rows {
            let count = row.get(column).and_then(|w| u64::from_str_radix(w, 16).ok());
            sum = sum.saturating_add(count.ok_or_else(|| file.odd(format!("no figure of {name}")))?);
        }
        page.gauge(&format!("node_nf_conntrack_stat_{name}"), &format!("{name} of the connection tracking."), sum);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::fixture::{roots, samples};

    #[test]
    fn counters_of_protocols() {
        let files = [
            (
                "proc/net/netstat",
                "TcpExt: SyncookiesSent TW ListenDrops\nTcpExt: 1 2 3\nIpExt: InNoRoutes InOctets\nIpExt: 0 4\n",
            ),
            (
                "proc/net/snmp",
                "Ip: Forwarding DefaultTTL\nIp: 2 64\nTcp: MaxConn CurrEstab\nTcp: -1 5\nUdpLite: InErrors\nUdpLite: 6\n",
            ),
            ("proc/net/snmp6", "Ip6InReceives                   \t1\nIp6InOctets \t7\nIcmp6OutMsgs 8\n"),
        ];
        assert_eq!(
            samples(&files, netstat),
            "node_netstat_TcpExt_SyncookiesSent 1\nnode_netstat_TcpExt_ListenDrops 3\nnode_netstat_IpExt_InOctets 4\n\
             node_netstat_Ip_Forwarding 2\nnode_netstat_Tcp_CurrEstab 5\nnode_netstat_UdpLite_InErrors 6\n\
             node_netstat_Ip6_InOctets 7\nnode_netstat_Icmp6_OutMsgs 8\n"
        );
        for text in ["Ip: Forwarding\nTcp: 2\n", "Ip: Forwarding\nIp:\n", "Ip\nIp\n"] {
            let (_dir, roots) = roots(&[("proc/net/netstat", text), ("proc/net/snmp", "")]);
            assert!(netstat(&roots, &mut Page::default()).is_err(), "{text}");
        }
    }

    #[test]
    fn sockets() {
        let files = [
            ("proc/net/sockstat", "sockets: used 17\nTCP: inuse 1 mem 495\nFRAG: inuse 0 memory 2\n"),
            ("proc/net/sockstat6", "TCP6: inuse 3\n"),
        ];
        assert_eq!(
            samples(&files, sockstat),
            "node_sockstat_sockets_used 17\nnode_sockstat_TCP_inuse 1\nnode_sockstat_TCP_mem 495\n\
             node_sockstat_FRAG_inuse 0\nnode_sockstat_FRAG_memory 2\nnode_sockstat_TCP6_inuse 3\n"
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_page_of_this_host() {
        assert!(page_bytes(&Roots::default()).is_some_and(|bytes| bytes >= 4096 && bytes.is_power_of_two()));
    }

    #[test]
    fn packets_of_cpus() {
        let row = |cpu: &str| format!("0000000a 00000001 00000002{} {cpu} 0 0\n", " 00000000".repeat(9));
        let got = samples(&[("proc/net/softnet_stat", &(row("00000000") + &row("00000003")))], softnet);
        assert!(
            got.starts_with("node_softnet_processed_total{cpu=\"0\"} 10\nnode_softnet_processed_total{cpu=\"3\"} 10\n"),
            "{got}"
        );
        let got = samples(&[("proc/net/softnet_stat", "1 2 3\n4 5 6\n")], softnet);
        assert!(
            got.ends_with(
                "node_softnet_times_squeezed_total{cpu=\"0\"} 3\nnode_softnet_times_squeezed_total{cpu=\"1\"} 6\n"
            ),
            "{got}"
        );
    }

    #[test]
    fn neighbours_and_queues() {
        let head = "IP address       HW type     Flags       HW address            Mask     Device\n";
        let line = "192.0.2.1        0x1         0x2         02:fc:00:00:00:05     *        eth0\n";
        let got = samples(&[("proc/net/arp", &format!("{head}{line}{line}"))], arp);
        assert_eq!(got, "node_arp_entries{device=\"eth0\"} 2\n");
        let line = " 1: 00000000:0016 00000000:0000 07 00000002:00000015 00:00000000 00000000 0 0 2740\n";
        let got = samples(&[("proc/net/udp", &format!("head\n{line}{line}"))], udp_queues);
        assert_eq!(got, "node_udp_queues{ip=\"v4\",queue=\"rx\"} 42\nnode_udp_queues{ip=\"v4\",queue=\"tx\"} 4\n");
    }

    #[test]
    fn connections() {
        let files = [
            ("proc/sys/net/netfilter/nf_conntrack_count", "5\n"),
            ("proc/sys/net/netfilter/nf_conntrack_max", "100\n"),
            ("proc/net/stat/nf_conntrack", "entries found drop\n05 0000000a 1\n05 00000001 2\n"),
        ];
        assert_eq!(
            samples(&files, conntrack),
            "node_nf_conntrack_entries 5\nnode_nf_conntrack_entries_limit 100\nnode_nf_conntrack_stat_drop 3\n\
             node_nf_conntrack_stat_found 11\n"
        );
    }
}
