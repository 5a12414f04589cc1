//! Temperatures, fans and voltages.

use std::fs;

use crate::files::{Error, Result, Roots};
use crate::page::{Kind, Page};

/// Thermal zones and what cools them.
pub(crate) fn thermal(roots: &Roots, page: &mut Page) -> Result {
    const DIR: &str = "class/thermal";
    let names = match roots.sys_names(DIR) {
        Err(Error::Missing(_)) => return Ok(()),
        other => other?,
    };
    let told = |name: &str, file: &str| roots.attribute(&format!("{DIR}/{name}/{file}"));
    let mut family = page.family(Kind::Gauge, "node_thermal_zone_temp", "Temperature of the zone, in degrees Celsius.");
    for name in &names {
        let zone = name.strip_prefix("thermal_zone").zip(told(name, "type"));
        if let (Some((zone, kind)), Some(milli)) = (zone, roots.attribute_number(&format!("{DIR}/{name}/temp"))) {
            family.sample(&[("type", &kind), ("zone", zone)], milli / 1000.0);
        }
    }
    for (file, name, help) in [
        ("cur_state", "node_cooling_device_cur_state", "How strongly the device cools."),
        ("max_state", "node_cooling_device_max_state", "How strongly the device can cool."),
    ] {
        let mut family = page.family(Kind::Gauge, name, help);
        for name in &names {
            let device = name.strip_prefix("cooling_device").zip(told(name, "type"));
            if let (Some((device, kind)), Some(state)) =
                (device, roots.attribute_number(&format!("{DIR}/{name}/{file}")))
            {
                family.sample(&[("name", device), ("type", &kind)], state);
            }
        }
    }
    Ok(())
}

/// Kinds of sensors: the start and the end of their files' names, their metrics and what one unit of the file is.
const SENSORS: [(&str, &str, &str, &str, f64); 5] = [
    ("temp", "_input", "node_hwmon_temp_celsius", "Temperature of the sensor.", 0.001),
    ("temp", "_max", "node_hwmon_temp_max_celsius", "Temperature that should not be passed.", 0.001),
    ("temp", "_crit", "node_hwmon_temp_crit_celsius", "Temperature that does harm.", 0.001),
    ("fan", "_input", "node_hwmon_fan_rpm", "Turns of the fan per minute.", 1.0),
    ("in", "_input", "node_hwmon_in_volts", "Voltage of the sensor.", 0.001),
];

/// Sensors on the mainboard and in devices, below `/sys/class/hwmon`.
pub(crate) fn hwmon(roots: &Roots, page: &mut Page) -> Result {
    const DIR: &str = "class/hwmon";
    let mut chips = Vec::new();
    for dir in roots.sys_names(DIR)? {
        let files = roots.sys_names(&format!("{DIR}/{dir}"))?;
        chips.push((chip_name(roots, &dir), dir, files));
    }
    let mut family = page.family(Kind::Gauge, "node_hwmon_chip_names", "What the driver calls the chip.");
    for (chip, dir, _) in &chips {
        if let Some(name) = roots.attribute(&format!("{DIR}/{dir}/name")) {
            family.sample(&[("chip", chip), ("chip_name", &cleaned(&name))], 1);
        }
    }
    let mut family = page.family(Kind::Gauge, "node_hwmon_sensor_label", "What the sensor measures.");
    for (chip, dir, files) in &chips {
        for (file, sensor) in files.iter().filter_map(|f| Some((f, f.strip_suffix("_label")?))) {
            if let Some(label) = roots.attribute(&format!("{DIR}/{dir}/{file}")) {
                family.sample(&[("chip", chip), ("label", &label), ("sensor", sensor)], 1);
            }
        }
    }
    for (start, end, name, help, unit) in SENSORS {
        let mut family = page.family(Kind::Gauge, name, help);
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        for (chip, dir, files) in &chips {
            for file in files {
                let sensor = file.strip_suffix(end).filter(|s| s.strip_prefix(start).is_some_and(is_number));
                let value = sensor.and_then(|_| roots.attribute_number(&format!("{DIR}/{dir}/{file}")));
                if let (Some(sensor), Some(value)) = (sensor, value) {
                    family.sample(&[("chip", chip), ("sensor", sensor)], value * unit);
                }
            }
        }
    }
    Ok(())
}

/// The kind and name of the device that the chip belongs to, as `pci0000:00_0000:00:18.3` is cleaned; else the driver's
/// name, else that of the folder.
fn chip_name(roots: &Roots, dir: &str) -> String {
    let device = fs::canonicalize(roots.sys.join("class/hwmon").join(dir).join("device")).ok();
    let parts: Vec<String> = device
        .iter()
        .flat_map(|path| path.iter().rev().take(2))
        .map(|part| cleaned(&part.to_string_lossy()))
        .filter(|part| !part.is_empty())
        .collect();
    match parts.as_slice() {
        [name, kind] => format!("{kind}_{name}"),
        [name] => name.clone(),
        _ => roots.attribute(&format!("class/hwmon/{dir}/name")).map_or_else(|| dir.to_owned(), |n| cleaned(&n)),
    }
}

fn cleaned(name: &str) -> String {
    let keep = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == ':' { c } else { '_' };
    let name: String = name.trim().to_ascii_lowercase().chars().map(keep).collect();
    name.trim_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::fixture::{roots, samples};

    #[test]
    fn zones() {
        let files = [
            ("sys/class/thermal/thermal_zone0/type", "x86_pkg_temp\n"),
            ("sys/class/thermal/thermal_zone0/temp", "45500\n"),
            ("sys/class/thermal/cooling_device3/type", "Processor\n"),
            ("sys/class/thermal/cooling_device3/cur_state", "1\n"),
            ("sys/class/thermal/cooling_device3/max_state", "10\n"),
        ];
        assert_eq!(
            samples(&files, thermal),
            "node_thermal_zone_temp{type=\"x86_pkg_temp\",zone=\"0\"} 45.5\n\
             node_cooling_device_cur_state{name=\"3\",type=\"Processor\"} 1\n\
             node_cooling_device_max_state{name=\"3\",type=\"Processor\"} 10\n"
        );
        assert_eq!(samples(&[], thermal), "");
    }

    #[test]
    fn sensors() {
        let files = [
            ("sys/class/hwmon/hwmon0/name", "k10temp\n"),
            ("sys/class/hwmon/hwmon0/temp1_input", "55500\n"),
            ("sys/class/hwmon/hwmon0/temp1_max", "70000\n"),
            ("sys/class/hwmon/hwmon0/temp1_label", "Tctl\n"),
            ("sys/class/hwmon/hwmon0/fan2_input", "1200\n"),
            ("sys/class/hwmon/hwmon0/intrusion0_input", "1\n"),
        ];
        assert_eq!(
            samples(&files, hwmon),
            "node_hwmon_chip_names{chip=\"k10temp\",chip_name=\"k10temp\"} 1\n\
             node_hwmon_sensor_label{chip=\"k10temp\",label=\"Tctl\",sensor=\"temp1\"} 1\n\
             node_hwmon_temp_celsius{chip=\"k10temp\",sensor=\"temp1\"} 55.5\n\
             node_hwmon_temp_max_celsius{chip=\"k10temp\",sensor=\"temp1\"} 70\n\
             node_hwmon_fan_rpm{chip=\"k10temp\",sensor=\"fan2\"} 1200\n"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_chip_is_called_after_its_device() {
        let files = [("sys/class/hwmon/hwmon0/name", "x\n"), ("sys/devices/pci0000:00/0000:00:18.3/x", "")];
        let (dir, roots) = roots(&files);
        let device = dir.path().join("sys/devices/pci0000:00/0000:00:18.3");
        std::os::unix::fs::symlink(device, dir.path().join("sys/class/hwmon/hwmon0/device")).unwrap();
        assert_eq!(chip_name(&roots, "hwmon0"), "pci0000:00_0000:00:18_3");
    }
}
