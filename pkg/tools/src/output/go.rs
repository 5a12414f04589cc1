//! Numbers as Go programs print them: scripts read these texts.

/// `1h14m45.001s` for a length of time in ms, as Go's `time.Duration` prints it; `0s` for none.
pub fn format_duration(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let sign = if ms < 0 { "-" } else { "" };
    let total = ms.unsigned_abs();
    if total < 1000 {
        return format!("{sign}{total}ms");
    }
    let (hours, minutes) = (total / 3_600_000, total / 60_000 % 60);
    let (seconds, rest) = (total / 1000 % 60, total % 1000);
    let fraction = match rest {
        0 => String::new(),
        _ => format!(".{rest:03}").trim_end_matches('0').to_owned(),
    };
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}{fraction}s"),
        (0, _) => format!("{sign}{minutes}m{seconds}{fraction}s"),
        _ => format!("{sign}{hours}h{minutes}m{seconds}{fraction}s"),
    }
}

/// `2026-11-20T16:00:00Z` for a time in ms, its fraction of a second left out.
pub fn format_time_s(ms: i64) -> String {
    // Go divides towards zero
    model::format_rfc3339_ms(ms / 1000 * 1000)
}

/// `8,706`.
pub fn format_thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_prints() {
        for (ms, text) in [
            (0, "0s"),
            (1, "1ms"),
            (-1, "-1ms"),
            (300_000, "5m0s"),
            (7_200_000, "2h0m0s"),
            (62_823, "1m2.823s"),
            (4_485_001, "1h14m45.001s"),
            (-3_600_500, "-1h0m0.5s"),
        ] {
            assert_eq!(format_duration(ms), text);
        }
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(format_thousands(n), text);
        }
        assert_eq!(format_time_s(1_795_218_095_575), "2026-11-20T23:41:35Z");
    }
}
