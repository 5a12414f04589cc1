//! The header `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3).

use std::time::Duration;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// How long to wait; `None` for what is neither, and for what is over.
pub(super) fn retry_after(value: &str, now_ms: i64) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds)).filter(|wait| !wait.is_zero());
    }
    let ms = date_ms(value)?.checked_sub(now_ms)?;
    u64::try_from(ms).ok().filter(|ms| *ms > 0).map(Duration::from_millis)
}

/// Such as `Sun, 06 Nov 1994 08:49:37 GMT`.
fn date_ms(value: &str) -> Option<i64> {
    let mut words = value.split_once(", ")?.1.split(' ');
    let (day, month, year) = (words.next()?, words.next()?, words.next()?);
    let time = words.next()?;
    let month = 1 + MONTHS.iter().position(|name| *name == month)?;
    let is_digits = |text: &str, len: usize| text.len() == len && text.bytes().all(|b| b.is_ascii_digit());
    if words.next()? != "GMT" || !is_digits(day, 2) || !is_digits(year, 4) {
        return None;
    }
    model::parse_rfc3339_ms(&format!("{year}-{month:02}-{day}T{time}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates() {
        let now_ms = 784_111_777_000;
        for (value, seconds) in [
            ("7", Some(7)),
            ("0", None),
            ("-1", None),
            ("soon", None),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49:47 UTC", None),
            ("Sun, 06 Foo 1994 08:49:47 GMT", None),
            ("", None),
        ] {
            assert_eq!(retry_after(value, now_ms).map(|wait| wait.as_secs()), seconds, "{value}");
        }
    }
}
