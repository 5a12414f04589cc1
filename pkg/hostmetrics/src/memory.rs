//! Memory: its use, paging and the kernel's counts of faults.

use crate::files::{Result, Roots};
use crate::page::{Kind, Page, metric_name};

/// `/proc/meminfo`: each line a gauge.
pub(crate) fn meminfo(roots: &Roots, page: &mut Page) -> Result {
    let file = roots.proc("meminfo")?;
    for line in file.text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(key) = words.next() else { continue };
        let amount = file.whole(words.next())?;
        // `Active(anon):` is known as `Active_anon`.
        let key = metric_name(key.trim_end_matches(':').trim_end_matches(')'));
        match words.next() {
            None => page.gauge(&format!("node_memory_{key}"), &format!("{key} of /proc/meminfo."), amount),
            Some("kB") => {
                let bytes = amount.saturating_mul(1024);
                page.gauge(&format!("node_memory_{key}_bytes"), &format!("{key} of /proc/meminfo, in bytes."), bytes);
            }
            Some(unit) => return Err(file.odd(format!("unit {unit:?} of {key} is unknown"))),
        }
    }
    Ok(())
}

/// `/proc/vmstat`: paging, swapping, faults and processes killed for want of memory.
pub(crate) fn vmstat(roots: &Roots, page: &mut Page) -> Result {
    let file = roots.proc("vmstat")?;
    for line in file.text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(key) = words.next() else { continue };
        let faults = key.strip_prefix("pg").is_some_and(|k| k.contains("fault"));
        if !(faults || ["oom_kill", "pgpg", "pswp"].iter().any(|start| key.starts_with(start))) {
            continue;
        }
        let key = metric_name(key);
        let help = format!("{key} of /proc/vmstat.");
        page.family(Kind::Untyped, &format!("node_vmstat_{key}"), &help).sample(&[], file.real(words.next())?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::fixture::{roots, samples};

    #[test]
    fn amounts_and_counts() {
        let text = "MemTotal:       24684096 kB\nActive(anon):       1576 kB\nHugePages_Total:       3\n";
        assert_eq!(
            samples(&[("proc/meminfo", text)], meminfo),
            "node_memory_MemTotal_bytes 25276514304\nnode_memory_Active_anon_bytes 1613824\nnode_memory_HugePages_Total 3\n"
        );
        let (_dir, roots) = roots(&[("proc/meminfo", "MemTotal: 5 MB\n")]);
        assert!(meminfo(&roots, &mut Page::default()).is_err());
    }

    #[test]
    fn paging() {
        let text = "nr_free_pages 5\npgpgin 1\npswpout 2\npgfault 3\npgmajfault 4\npgscan_direct 9\noom_kill 0\n";
        assert_eq!(
            samples(&[("proc/vmstat", text)], vmstat),
            "node_vmstat_pgpgin 1\nnode_vmstat_pswpout 2\nnode_vmstat_pgfault 3\nnode_vmstat_pgmajfault 4\n\
             node_vmstat_oom_kill 0\n"
        );
    }
}
