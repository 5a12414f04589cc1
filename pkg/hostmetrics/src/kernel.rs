//! What the kernel counts about itself: load, processes, interrupts, open files, entropy, pressure, scheduling.

use crate::files::{Error, Result, Roots};
use crate::page::{Kind, Page};

/// `/proc/loadavg`.
pub(crate) fn loadavg(roots: &Roots, page: &mut Page) -> Result {
    let file = roots.proc("loadavg")?;
    let mut words = file.text.split_ascii_whitespace();
    for (name, help) in [
        ("node_load1", "Load average of one minute."),
        ("node_load5", "Load average of five minutes."),
        ("node_load15", "Load average of 15 minutes."),
    ] {
        page.gauge(name, help, file.real(words.next())?);
    }
    Ok(())
}

/// The lines of `/proc/stat` that are about the whole host.
pub(crate) fn stat(roots: &Roots, page: &mut Page) -> Result {
    const LINES: [(&str, Kind, &str, &str); 6] = [
        ("intr", Kind::Counter, "node_intr_total", "Interrupts served."),
        ("ctxt", Kind::Counter, "node_context_switches_total", "Context switches."),
        ("btime", Kind::Gauge, "node_boot_time_seconds", "Boot of the host, Unix seconds."),
        ("processes", Kind::Counter, "node_forks_total", "Processes and threads that were started."),
        ("procs_running", Kind::Gauge, "node_procs_running", "Processes that run or could run."),
        ("procs_blocked", Kind::Gauge, "node_procs_blocked", "Processes that wait for I/O."),
    ];
    let file = roots.proc("stat")?;
    for line in file.text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some((_, kind, name, help)) = words.next().and_then(|key| LINES.iter().find(|(k, ..)| *k == key)) else {
            continue;
        };
        page.family(*kind, name, help).sample(&[], file.whole(words.next())?);
    }
    Ok(())
}

/// `/proc/sys/fs/file-nr`.
pub(crate) fn filefd(roots: &Roots, page: &mut Page) -> Result {
    let file = roots.proc("sys/fs/file-nr")?;
    let words: Vec<_> = file.text.split_ascii_whitespace().collect();
    page.gauge("node_filefd_allocated", "Open files of all processes.", file.whole(words.first().copied())?);
    page.gauge("node_filefd_maximum", "Most open files of all processes.", file.whole(words.get(2).copied())?);
    Ok(())
}

/// The kernel's random numbers.
pub(crate) fn entropy(roots: &Roots, page: &mut Page) -> Result {
    for (file, name, help) in [
        ("entropy_avail", "node_entropy_available_bits", "Bits of entropy that are available."),
        ("poolsize", "node_entropy_pool_size_bits", "Bits that the entropy pool can hold."),
    ] {
        let file = roots.proc(&format!("sys/kernel/random/{file}"))?;
        page.gauge(name, help, file.whole(file.text.split_ascii_whitespace().next())?);
    }
    Ok(())
}

/// Time that tasks waited for a resource (pressure stall information).
pub(crate) fn pressure(roots: &Roots, page: &mut Page) -> Result {
    const LINES: [(&str, &str, &str, &str); 6] = [
        ("cpu", "some", "node_pressure_cpu_waiting_seconds_total", "Seconds in which tasks waited for a CPU."),
        ("io", "some", "node_pressure_io_waiting_seconds_total", "Seconds in which some tasks waited for I/O."),
        ("io", "full", "node_pressure_io_stalled_seconds_total", "Seconds in which all tasks waited for I/O."),
        (
            "memory",
            "some",
            "node_pressure_memory_waiting_seconds_total",
            "Seconds in which some tasks waited for memory.",
        ),
        (
            "memory",
            "full",
            "node_pressure_memory_stalled_seconds_total",
            "Seconds in which all tasks waited for memory.",
        ),
        (
            "irq",
            "full",
            "node_pressure_irq_stalled_seconds_total",
            "Seconds in which interrupts kept all tasks waiting.",
        ),
    ];
    for (resource, share, name, help) in LINES {
        let file = match roots.proc(&format!("pressure/{resource}")) {
            Ok(file) => file,
            // Only newer kernels tell it of interrupts.
            Err(Error::Missing(_)) if resource == "irq" => continue,
            Err(e) => return Err(e),
        };
        let line = file.text.lines().find(|l| l.split_ascii_whitespace().next() == Some(share));
        let total = line.and_then(|l| l.split_ascii_whitespace().find_map(|w| w.strip_prefix("total=")));
        page.counter(name, help, file.whole(total)? as f64 / 1e6);
    }
    Ok(())
}

/// `/proc/schedstat`: how long tasks ran, and how long they waited for it, on each CPU.
pub(crate) fn schedstat(roots: &Roots, page: &mut Page) -> Result {
    let file = roots.proc("schedstat")?;
    let mut cpus = Vec::new();
    for line in file.text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(cpu) = words.next().and_then(|w| w.strip_prefix("cpu")).filter(|n| n.parse::<u32>().is_ok()) else {
            continue;
        };
        let mut words = words.skip(6);
        let mut next = || file.whole(words.next());
        cpus.push((cpu, next()?, next()?, next()?));
    }
    let mut family =
        page.family(Kind::Counter, "node_schedstat_running_seconds_total", "Seconds that tasks ran on the CPU.");
    cpus.iter().for_each(|(cpu, running, ..)| family.sample(&[("cpu", cpu)], *running as f64 / 1e9));
    let help = "Seconds that tasks which could run waited for the CPU.";
    let mut family = page.family(Kind::Counter, "node_schedstat_waiting_seconds_total", help);
    cpus.iter().for_each(|(cpu, _, waiting, _)| family.sample(&[("cpu", cpu)], *waiting as f64 / 1e9));
    let help = "Times that a task was given the CPU.";
    let mut family = page.family(Kind::Counter, "node_schedstat_timeslices_total", help);
    cpus.iter().for_each(|(cpu, _, _, slices)| family.sample(&[("cpu", cpu)], *slices));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::fixture::{roots, samples};

    #[test]
    fn load() {
        assert_eq!(
            samples(&[("proc/loadavg", "0.53 1.18 0.96 2/120 45413\n")], loadavg),
            "node_load1 0.53\nnode_load5 1.18\nnode_load15 0.96\n"
        );
    }

    #[test]
    fn whole_host() {
        let text = "cpu 1 2 3\nintr 815719 0 4\nctxt 2082747\nbtime 1795932476\nprocesses 45413\nprocs_running 2\n\
                    procs_blocked 0\nsoftirq 1 2\n";
        assert_eq!(
            samples(&[("proc/stat", text)], stat),
            "node_intr_total 815719\nnode_context_switches_total 2082747\nnode_boot_time_seconds 1795932476\n\
             node_forks_total 45413\nnode_procs_running 2\nnode_procs_blocked 0\n"
        );
    }

    #[test]
    fn open_files_and_entropy() {
        assert_eq!(
            samples(&[("proc/sys/fs/file-nr", "592\t0\t2466183\n")], filefd),
            "node_filefd_allocated 592\nnode_filefd_maximum 2466183\n"
        );
        let files = [("proc/sys/kernel/random/entropy_avail", "256\n"), ("proc/sys/kernel/random/poolsize", "256\n")];
        assert_eq!(samples(&files, entropy), "node_entropy_available_bits 256\nnode_entropy_pool_size_bits 256\n");
    }

    #[test]
    fn pressures() {
        let some = "some avg10=3.54 avg60=4.60 avg300=7.98 total=132207272\n";
        let both = &format!("{some}full avg10=0.00 avg60=0.00 avg300=0.00 total=500000\n");
        let files = [("proc/pressure/cpu", some), ("proc/pressure/io", both), ("proc/pressure/memory", both)];
        assert_eq!(
            samples(&files, pressure),
            "node_pressure_cpu_waiting_seconds_total 132.207272\nnode_pressure_io_waiting_seconds_total 132.207272\n\
             node_pressure_io_stalled_seconds_total 0.5\nnode_pressure_memory_waiting_seconds_total 132.207272\n\
             node_pressure_memory_stalled_seconds_total 0.5\n"
        );
        let (_dir, roots) = roots(&[("proc/pressure/cpu", "some total=1\n")]);
        assert!(matches!(pressure(&roots, &mut Page::default()), Err(Error::Missing(_))));
    }

    #[test]
    fn scheduling() {
        let text = "version 15\ntimestamp 15819019232\ncpu0 498494191 0 3533438552 2553969831 3853684107 2465731542 \
                    2045936778163039 343796328169361 4767485306\ndomain0 00000000,00000003 212499247\n";
        assert_eq!(
            samples(&[("proc/schedstat", text)], schedstat),
            "node_schedstat_running_seconds_total{cpu=\"0\"} 2045936.778163039\n\
             node_schedstat_waiting_seconds_total{cpu=\"0\"} 343796.328169361\n\
             node_schedstat_timeslices_total{cpu=\"0\"} 4767485306\n"
        );
    }
}
