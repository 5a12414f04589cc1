//! What a process has used so far, from /proc.

use anyhow::Context;

/// Ticks of /proc/PID/stat in a second: fixed on Linux for what user space sees.
const TICKS_PER_S: f64 = 100.0;

/// CPU seconds, user and system, of these processes together.
///
/// # Errors
/// One of them is gone.
pub fn cpu_s(pids: &[u32]) -> anyhow::Result<f64> {
    let mut ticks = 0u64;
    for pid in pids {
        let path = format!("/proc/{pid}/stat");
        let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
        // the second field is the program's name in brackets, and may hold anything
        let (_, rest) = text.rsplit_once(')').with_context(|| path.clone())?;
        for field in rest.split_whitespace().skip(11).take(2) {
            ticks += field.parse::<u64>().with_context(|| path.clone())?;
        }
    }
    Ok(ticks as f64 / TICKS_PER_S)
}

/// The most memory a process ever held, MiB.
///
/// # Errors
/// It is gone.
pub fn peak_mib(pid: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).with_context(|| path.clone())?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().with_context(|| path.clone())?;
    Ok(kib / 1024.0)
}

/// The processor, its count, memory, and what else runs, in words.
pub fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or_default();
    let model = model.trim_start_matches(['\t', ' ', ':']);
    let count = cpus.lines().filter(|l| l.starts_with("processor")).count();
    let memory = read("/proc/meminfo");
    let kib = memory.lines().find_map(|l| l.strip_prefix("MemTotal:")).unwrap_or_default();
    let gib = kib.trim().trim_end_matches(" kB").parse().unwrap_or(0.0) / 1024.0 / 1024.0;
    let load = read("/proc/loadavg");
    format!("{count} × {model}, {gib:.0} GiB, load average {}", load.split(' ').next().unwrap_or_default())
}
