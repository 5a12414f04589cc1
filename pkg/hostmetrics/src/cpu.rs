//! CPU time and frequencies.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::files::{Result, Roots, Text};
use crate::page::{Kind, Page};

/// Clock ticks per second in `/proc`: the kernel's user-visible HZ, 100 on every architecture built for.
const TICKS_PER_SECOND: f64 = 100.0;
/// The columns of a CPU's line in `/proc/stat` that are modes; two more are guests' time.
const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
const IDLE: usize = 3;
const GUEST: usize = 8;
const GUEST_NICE: usize = 9;
/// Idle time that fell by more than this means that the CPU was taken out and put back: it counts anew.
const ANEW_TICKS: u64 = 300;

type Ticks = [u64; 10];

/// CPU time by mode. The kernel's figures for idle and iowait can fall a little, which would look like a restarted counter:
/// the highest value that was seen stands until it is passed.
#[derive(Debug, Default)]
pub(crate) struct Cpu {
    seen: Mutex<BTreeMap<u32, Ticks>>,
}

impl Cpu {
    pub fn read(&self, roots: &Roots, page: &mut Page) -> Result {
        let now = parse(&roots.proc("stat")?)?;
        let mut seen = self.seen.lock();
        seen.retain(|cpu, _| now.contains_key(cpu));
        for (cpu, ticks) in now {
            follow(seen.entry(cpu).or_insert(ticks), ticks);
        }
        let help = "Seconds each CPU spent in each mode.";
        let mut family = page.family(Kind::Counter, "node_cpu_seconds_total", help);
        let seconds = |ticks: u64| ticks as f64 / TICKS_PER_SECOND;
        for (cpu, ticks) in &*seen {
            let cpu = cpu.to_string();
            for (mode, ticks) in MODES.iter().zip(ticks) {
                family.sample(&[("cpu", &cpu), ("mode", mode)], seconds(*ticks));
            }
        }
        let help = "Seconds each CPU spent for guests (virtual machines); they are part of user and nice time too.";
        let mut family = page.family(Kind::Counter, "node_cpu_guest_seconds_total", help);
        for (cpu, ticks) in &*seen {
            let cpu = cpu.to_string();
            for (mode, column) in [("user", GUEST), ("nice", GUEST_NICE)] {
                family.sample(&[("cpu", &cpu), ("mode", mode)], seconds(ticks[column]));
            }
        }
        Ok(())
    }
}

fn follow(seen: &mut Ticks, now: Ticks) {
    if now[IDLE].saturating_add(ANEW_TICKS) < seen[IDLE] {
        *seen = now;
    } else {
        for (seen, now) in seen.iter_mut().zip(now) {
            *seen = now.max(*seen);
        }
    }
}

fn parse(stat: &Text) -> Result<BTreeMap<u32, Ticks>> {
    let mut cpus = BTreeMap::new();
    for line in stat.text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(cpu) = words.next().and_then(|w| w.strip_prefix("cpu")).and_then(|n| n.parse().ok()) else { continue };
        // Kernels before 2.6.33 have fewer columns.
        let mut ticks = Ticks::default();
        for (column, word) in ticks.iter_mut().zip(words) {
            *column = stat.whole(Some(word))?;
        }
        cpus.insert(cpu, ticks);
    }
    if cpus.is_empty() {
        return Err(stat.odd("it names no CPU"));
    }
    Ok(cpus)
}

/// The files of a CPU's frequencies, in kHz, and their metrics.
const FREQUENCIES: [(&str, &str, &str); 6] = [
    ("cpuinfo_cur_freq", "node_cpu_frequency_hertz", "Frequency of the CPU now, as the hardware tells it."),
    ("cpuinfo_max_freq", "node_cpu_frequency_max_hertz", "Highest frequency of the CPU."),
    ("cpuinfo_min_freq", "node_cpu_frequency_min_hertz", "Lowest frequency of the CPU."),
    ("scaling_cur_freq", "node_cpu_scaling_frequency_hertz", "Frequency of the CPU now, as the kernel scaled it."),
    ("scaling_max_freq", "node_cpu_scaling_frequency_max_hertz", "Highest frequency that the kernel may scale to."),
    ("scaling_min_freq", "node_cpu_scaling_frequency_min_hertz", "Lowest frequency that the kernel may scale to."),
];

/// Frequencies of the CPUs, where the kernel scales them.
pub(crate) fn frequencies(roots: &Roots, page: &mut Page) -> Result {
    const DIR: &str = "devices/system/cpu";
    let number = |name: String| name.strip_prefix("cpu").and_then(|n| n.parse::<u32>().ok());
    let cpus: Vec<u32> = roots.sys_names(DIR)?.into_iter().filter_map(number).collect();
    for (file, name, help) in FREQUENCIES {
        let mut family = page.family(Kind::Gauge, name, help);
        for cpu in &cpus {
            if let Some(khz) = roots.attribute_number(&format!("{DIR}/cpu{cpu}/cpufreq/{file}")) {
                family.sample(&[("cpu", &cpu.to_string())], khz * 1000.0);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::fixture::{roots, samples};

    #[test]
    fn modes_and_guests() {
        let stat = "cpu  9 9 9\ncpu0 100 2 50 1000 5 0 7 1 3 4\ncpu10 1 2 3 4\nintr 5\n";
        let text = samples(&[("proc/stat", stat)], |r, p| Cpu::default().read(r, p));
        for line in [
            "node_cpu_seconds_total{cpu=\"0\",mode=\"user\"} 1\n",
            "node_cpu_seconds_total{cpu=\"0\",mode=\"softirq\"} 0.07\n",
            "node_cpu_seconds_total{cpu=\"10\",mode=\"idle\"} 0.04\n",
            "node_cpu_seconds_total{cpu=\"10\",mode=\"steal\"} 0\n",
            "node_cpu_guest_seconds_total{cpu=\"0\",mode=\"nice\"} 0.04\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert_eq!(text.lines().count(), 2 * 10);
    }

    #[test]
    fn time_does_not_fall_but_a_cpu_may_begin_anew() {
        let mut seen = [10, 0, 0, 1000, 50, 0, 0, 0, 0, 0];
        follow(&mut seen, [11, 0, 0, 990, 40, 0, 0, 0, 0, 0]);
        assert_eq!(seen, [11, 0, 0, 1000, 50, 0, 0, 0, 0, 0]);
        follow(&mut seen, [1, 0, 0, 699, 2, 0, 0, 0, 0, 0]);
        assert_eq!(seen, [1, 0, 0, 699, 2, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_cpu_that_was_taken_out_is_not_shown() {
        let cpu = Cpu::default();
        for (stat, shown) in [("cpu0 1 1 1 1\ncpu1 1 1 1 1\n", 20), ("cpu0 1 1 1 1\n", 10)] {
            let text = samples(&[("proc/stat", stat)], |r, p| cpu.read(r, p));
            assert_eq!(text.lines().count(), shown, "{text}");
        }
    }

    #[test]
    fn odd_lines_fail() {
        for stat in ["", "cpu0 1 x\n", "cpu0 1 -2\n"] {
            let (_dir, roots) = roots(&[("proc/stat", stat)]);
            assert!(Cpu::default().read(&roots, &mut Page::default()).is_err(), "{stat:?}");
        }
    }

    #[test]
    fn scaled_frequencies() {
        let files = [
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1200000\n"),
            ("sys/devices/system/cpu/cpu1/online", "1\n"),
            ("sys/devices/system/cpu/cpufreq/x", "1\n"),
        ];
        assert_eq!(samples(&files, frequencies), "node_cpu_scaling_frequency_hertz{cpu=\"0\"} 1200000000\n");
    }
}
