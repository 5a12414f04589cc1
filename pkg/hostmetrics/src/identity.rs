//! Which host this is, and its clock.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use model::Clock;

use crate::files::{Error, Result, Roots};
use crate::page::{Kind, Page};

/// What `uname -a` shows.
pub(crate) fn uname(roots: &Roots, page: &mut Page) -> Result {
    let word = |name: &str| roots.proc(&format!("sys/kernel/{name}")).map(|t| t.text.trim_end_matches('\n').to_owned());
    let labels = [
        ("domainname", &*word("domainname")?),
        ("machine", ARCH),
        ("nodename", &word("hostname")?),
        ("release", &word("osrelease")?),
        ("sysname", &word("ostype")?),
        ("version", &word("version")?),
    ];
    page.family(Kind::Gauge, "node_uname_info", "The kernel and the host's name, as uname tells them.")
        .sample(&labels, 1);
    Ok(())
}

/// The distribution, from `os-release`.
pub(crate) fn os(roots: &Roots, page: &mut Page) -> Result {
    let file = match roots.root("etc/os-release") {
        Err(Error::Missing(_)) => roots.root("usr/lib/os-release")?,
        other => other?,
    };
    let pairs = file.text.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split_once('='));
    let told: BTreeMap<&str, String> = pairs.map(|(key, value)| (key, unquoted(value))).collect();
    let value = |key: &str| told.get(key).map_or("", String::as_str);
    const KEYS: [(&str, &str); 12] = [
        ("build_id", "BUILD_ID"),
        ("id", "ID"),
        ("id_like", "ID_LIKE"),
        ("image_id", "IMAGE_ID"),
        ("image_version", "IMAGE_VERSION"),
        ("name", "NAME"),
        ("pretty_name", "PRETTY_NAME"),
        ("variant", "VARIANT"),
        ("variant_id", "VARIANT_ID"),
        ("version", "VERSION"),
        ("version_codename", "VERSION_CODENAME"),
        ("version_id", "VERSION_ID"),
    ];
    let labels = KEYS.map(|(label, key)| (label, value(key)));
    page.family(Kind::Gauge, "node_os_info", "The operating system, as its os-release file tells it.")
        .sample(&labels, 1);
    if let Some(version) = version_number(value("VERSION_ID")) {
        let labels = [("id", value("ID")), ("id_like", value("ID_LIKE")), ("name", value("NAME"))];
        page.family(Kind::Gauge, "node_os_version", "Major and minor version of the operating system.")
            .sample(&labels, version);
    }
    Ok(())
}

/// A value of `os-release`, which is written as a shell reads it.
fn unquoted(value: &str) -> String {
    let value = value.trim();
    let inner = ['"', '\''].iter().find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q)).unwrap_or(value);
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        out.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    out
}

/// `22.04` of `22.04.3 LTS`.
fn version_number(version: &str) -> Option<f64> {
    let mut dots = 0;
    let end = version.find(|c: char| {
        dots += usize::from(c == '.');
        !(c.is_ascii_digit() || (c == '.' && dots == 1))
    });
    version[..end.unwrap_or(version.len())].trim_end_matches('.').parse().ok()
}

/// The host's clock and what drives it.
pub(crate) fn time(clock: &dyn Clock, roots: &Roots, page: &mut Page) -> Result {
    page.gauge("node_time_seconds", "The host's clock, Unix seconds.", clock.now_ms() as f64 / 1000.0);
    const DIR: &str = "devices/system/clocksource";
    let devices = match roots.sys_names(DIR) {
        Err(Error::Missing(_)) => return Ok(()),
        other => other?,
    };
    for (file, name, help) in [
        ("available", "node_time_clocksource_available_info", "Clock sources that the kernel can use."),
        ("current", "node_time_clocksource_current_info", "The clock source that the kernel uses."),
    ] {
        let mut family = page.family(Kind::Gauge, name, help);
        for device in &devices {
            let Some(number) = device.strip_prefix("clocksource") else { continue };
            let sources = roots.attribute(&format!("{DIR}/{device}/{file}_clocksource")).unwrap_or_default();
            for source in sources.split_ascii_whitespace() {
                family.sample(&[("clocksource", source), ("device", number)], 1);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use model::FakeClock;

    use super::*;
    use crate::files::fixture::samples;

    #[test]
    fn kernel() {
        let files = [
            ("proc/sys/kernel/domainname", "(none)\n"),
            ("proc/sys/kernel/hostname", "vm\n"),
            ("proc/sys/kernel/osrelease", "6.18.44\n"),
            ("proc/sys/kernel/ostype", "Linux\n"),
            ("proc/sys/kernel/version", "#1 SMP\n"),
        ];
        let want = format!(
            "node_uname_info{{domainname=\"(none)\",machine=\"{ARCH}\",nodename=\"vm\",release=\"6.18.44\",\
             sysname=\"Linux\",version=\"#1 SMP\"}} 1\n"
        );
        assert_eq!(samples(&files, uname), want);
    }

    #[test]
    fn distribution() {
        let text = "# a comment\nNAME=\"Ubuntu\"\nVERSION_ID='22.04'\nID=ubuntu\nID_LIKE=debian\nPRETTY_NAME=\"a \\\"b\\\"\"\n";
        let text = samples(&[("root/usr/lib/os-release", text)], os);
        assert!(text.contains("node_os_version{id=\"ubuntu\",id_like=\"debian\",name=\"Ubuntu\"} 22.04\n"), "{text}");
        assert!(text.contains("pretty_name=\"a \\\"b\\\"\",variant=\"\""), "{text}");
    }

    #[test]
    fn versions() {
        let cases = [("12", Some(12.0)), ("22.04.3", Some(22.04)), ("9.", Some(9.0)), ("", None), ("rolling", None)];
        for (text, want) in cases {
            assert_eq!(version_number(text), want, "{text}");
        }
    }

    #[test]
    fn clock() {
        let clock = FakeClock::at(1_795_933_360_500);
        let files = [
            ("sys/devices/system/clocksource/clocksource0/available_clocksource", "tsc hpet \n"),
            ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
        ];
        assert_eq!(
            samples(&files, |r, p| time(&clock, r, p)),
            "node_time_seconds 1795933360.5\n\
             node_time_clocksource_available_info{clocksource=\"tsc\",device=\"0\"} 1\n\
             node_time_clocksource_available_info{clocksource=\"hpet\",device=\"0\"} 1\n\
             node_time_clocksource_current_info{clocksource=\"tsc\",device=\"0\"} 1\n"
        );
        assert_eq!(samples(&[], |r, p| time(&clock, r, p)), "node_time_seconds 1795933360.5\n");
    }
}
