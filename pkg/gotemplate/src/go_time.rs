//! Times and durations as Go prints them. Times are ms since the epoch, in UTC.

use model::{DAY_MS, Date};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A time taken apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts {
    pub year: i64,
    pub month: i64,
    pub day: i64,
    pub year_day: i64,
    pub weekday: usize,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
    pub millisecond: i64,
}

impl Parts {
    pub(crate) fn of(ms: i64) -> Self {
        let (days, rest) = (ms.div_euclid(DAY_MS), ms.rem_euclid(DAY_MS));
        let date = Date::from_days(days);
        let new_year = Date { month: 1, day: 1, ..date }.to_days();
        Self {
            year: date.year,
            month: date.month,
            day: date.day,
            year_day: days - new_year + 1,
            // 1970-01-01 was a Thursday.
            weekday: (days + 4).rem_euclid(7) as usize,
            hour: rest / 3_600_000,
            minute: rest / 60_000 % 60,
            second: rest / 1000 % 60,
            millisecond: rest % 1000,
        }
    }

    pub(crate) fn month_name(&self) -> &'static str {
        MONTHS[(self.month - 1).clamp(0, 11) as usize]
    }

    pub(crate) fn weekday_name(&self) -> &'static str {
        WEEKDAYS[self.weekday]
    }
}

/// `2006-01-02 15:04:05.999 +0000 UTC`, as `time.Time` prints itself.
pub(crate) fn rfc3339_like(ms: i64) -> String {
    format_layout(ms, "2006-01-02 15:04:05.999999999 -0700 MST")
}

/// The elements of a layout that are known, longest first where one begins another.
const ELEMENTS: [&str; 29] = [
    "January",
    "Jan",
    "Monday",
    "Mon",
    "MST",
    "2006",
    "-07:00:00",
    "-07:00",
    "-0700",
    "-07",
    "Z07:00",
    "Z0700",
    "002",
    "01",
    "02",
    "03",
    "04",
    "05",
    "06",
    "15",
    "PM",
    "pm",
    "_2",
    "1",
    "2",
    "3",
    "4",
    "5",
    "Z07",
];

/// A time by a layout of Go's package `time`.
pub(crate) fn format_layout(ms: i64, layout: &str) -> String {
    let parts = Parts::of(ms);
    let (mut out, mut rest) = (String::new(), layout);
    while let Some(c) = rest.chars().next() {
        if let Some((digits, trims, len)) = fraction(rest) {
            push_fraction(&mut out, parts.millisecond, digits, trims);
            rest = &rest[len..];
            continue;
        }
        let known = ELEMENTS.iter().filter(|e| rest.starts_with(**e)).max_by_key(|e| e.len());
        match known {
            // "Jan" and "Mon" may begin other words.
            Some(&element) if !(matches!(element, "Jan" | "Mon") && continues(rest, element)) => {
                out.push_str(&text_of(element, &parts));
                rest = &rest[element.len()..];
            }
            _ => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out
}

fn continues(rest: &str, element: &str) -> bool {
    rest[element.len()..].starts_with(|c: char| c.is_ascii_lowercase())
}

/// `.000` or `.999` behind the seconds: digits, whether zeros at the end are left out, length.
fn fraction(rest: &str) -> Option<(usize, bool, usize)> {
    let digits = rest.strip_prefix(['.', ','])?;
    let kind = digits.chars().next().filter(|c| matches!(c, '0' | '9'))?;
    let len = digits.len() - digits.trim_start_matches(kind).len();
    let ends = !digits[len..].starts_with(|c: char| c.is_ascii_digit());
    ends.then_some((len, kind == '9', len + 1))
}

fn push_fraction(out: &mut String, millisecond: i64, digits: usize, trims: bool) {
    let mut text = format!("{millisecond:03}");
    while text.len() < digits {
        text.push('0');
    }
    text.truncate(digits);
    let text = if trims { text.trim_end_matches('0') } else { &text };
    if !text.is_empty() {
        out.push('.');
        out.push_str(text);
    }
}

fn text_of(element: &str, parts: &Parts) -> String {
    let hour12 = match parts.hour % 12 {
        0 => 12,
        hour => hour,
    };
    match element {
        "January" => parts.month_name().to_owned(),
        "Jan" => parts.month_name()[..3].to_owned(),
        "Monday" => parts.weekday_name().to_owned(),
        "Mon" => parts.weekday_name()[..3].to_owned(),
        "MST" => "UTC".to_owned(),
        "2006" => format!("{:04}", parts.year),
        "06" => format!("{:02}", parts.year.rem_euclid(100)),
        "01" => format!("{:02}", parts.month),
        "1" => parts.month.to_string(),
        "02" => format!("{:02}", parts.day),
        "_2" => format!("{:2}", parts.day),
        "2" => parts.day.to_string(),
        "002" => format!("{:03}", parts.year_day),
        "15" => format!("{:02}", parts.hour),
        "03" => format!("{hour12:02}"),
        "3" => hour12.to_string(),
        "04" => format!("{:02}", parts.minute),
        "4" => parts.minute.to_string(),
        "05" => format!("{:02}", parts.second),
        "5" => parts.second.to_string(),
        "PM" => if parts.hour >= 12 { "PM" } else { "AM" }.to_owned(),
        "pm" => if parts.hour >= 12 { "pm" } else { "am" }.to_owned(),
        "-07:00:00" => "+00:00:00".to_owned(),
        "-07:00" => "+00:00".to_owned(),
        "-0700" => "+0000".to_owned(),
        "-07" => "+00".to_owned(),
        _ => "Z".to_owned(),
    }
}

/// A length of time in ns as Go's `time.Duration` prints it: `1h14m45.001s`, `1.5ms`, `0s`.
pub fn format_duration_ns(ns: i64) -> String {
    if ns == 0 {
        return "0s".to_owned();
    }
    let sign = if ns < 0 { "-" } else { "" };
    let total = ns.unsigned_abs();
    let decimal = |value: u64, unit: u64| {
        let fraction = format!("{:0width$}", value % unit, width = unit.ilog10() as usize);
        match fraction.trim_end_matches('0') {
            "" => (value / unit).to_string(),
            fraction => format!("{}.{fraction}", value / unit),
        }
    };
    match total {
        ..1000 => format!("{sign}{total}ns"),
        1000..1_000_000 => format!("{sign}{}µs", decimal(total, 1000)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", decimal(total, 1_000_000)),
        _ => {
            let seconds = decimal(total % 60_000_000_000, 1_000_000_000);
            let minutes = total / 60_000_000_000;
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts() {
        let ms = 1_706_886_245_030;
        for (layout, text) in [
            ("2006-01-02T15:04:05Z07:00", "2024-02-02T15:04:05Z"),
            ("Mon Jan _2 15:04:05.000 2006", "Fri Feb  2 15:04:05.030 2024"),
            ("Monday, 02-Jan-06 3:04PM MST", "Friday, 02-Feb-24 3:04PM UTC"),
            ("15:04:05.999999999 -0700", "15:04:05.03 +0000"),
            ("Month 002", "Month 033"),
        ] {
            assert_eq!(format_layout(ms, layout), text, "{layout}");
        }
    }

    #[test]
    fn durations() {
        for (ns, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1500, "1.5µs"),
            (2_000_000, "2ms"),
            (90_500_000_000, "1m30.5s"),
            (-3_600_500_000_000, "-1h0m0.5s"),
            (7_200_000_000_000, "2h0m0s"),
        ] {
            assert_eq!(format_duration_ns(ns), text);
        }
    }
}
