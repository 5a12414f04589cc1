//! The proleptic Gregorian calendar in UTC, and RFC 3339.
//!
//! Days are counted from 1970-01-01. The arithmetic counts years from March, so that the leap day is the last one, in
//! eras of 400 years, each 146 097 days long (Howard Hinnant, "chrono-compatible low-level date algorithms").

/// Length of a day, ms.
pub const DAY_MS: i64 = 86_400_000;
/// Days of 400 years.
const ERA_DAYS: i64 = 146_097;
/// From 0000-03-01 to 1970-01-01, days.
const EPOCH_DAYS: i64 = 719_468;

/// A day of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// 0 is the year before 1.
    pub year: i64,
    /// Month of the year, 1 to 12.
    pub month: i64,
    /// Day of the month, 1 to 31.
    pub day: i64,
}

impl Date {
    /// The date `days` after 1970-01-01, whose absolute value must be below 2^61.
    pub fn from_days(days: i64) -> Self {
        let z = days + EPOCH_DAYS;
        let (era, day_of_era) = (z.div_euclid(ERA_DAYS), z.rem_euclid(ERA_DAYS));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / (ERA_DAYS - 1)) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self { year, month, day: day_of_year - (153 * from_march + 2) / 5 + 1 }
    }

    /// Days from 1970-01-01 to this date. A day beyond the end of its month counts on into the next one.
    pub fn to_days(self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let from_march = self.month + if self.month > 2 { -3 } else { 9 };
        let day_of_year = (153 * from_march + 2) / 5 + self.day - 1;
        era * ERA_DAYS + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - EPOCH_DAYS
    }

    /// The first day of the month after this one.
    pub fn next_month(self) -> Self {
        let (year, month) = if self.month == 12 { (self.year + 1, 1) } else { (self.year, self.month + 1) };
        Self { year, month, day: 1 }
    }
}

/// `2026-11-21T01:15:20.123Z` for a time in ms; the bare number for years outside of 0000 to 9999.
pub fn format_rfc3339_ms(t_ms: i64) -> String {
    let Date { year, month, day } = Date::from_days(t_ms.div_euclid(DAY_MS));
    if !(0..=9999).contains(&year) {
        return t_ms.to_string();
    }
    let in_day = t_ms.rem_euclid(DAY_MS);
    let (h, m, s, ms) = (in_day / 3_600_000, in_day / 60_000 % 60, in_day / 1000 % 60, in_day % 1000);
    let mut out = format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}");
    if ms != 0 {
        out.push_str(format!(".{ms:03}").trim_end_matches('0'));
    }
    out.push('Z');
    out
}

/// A time in ms of RFC 3339, cut to whole ms; `None` if the string is of another form or a field is out of range. Years are
/// 0000 to 9999, the first and last of which flags use as "always" and "never". As in Go, letters are upper case, there are
/// no leap seconds, and a comma may stand in front of the fraction.
pub fn parse_rfc3339_ms(s: &str) -> Option<i64> {
    let (clock, rest) = s.split_at_checked(19)?;
    let b = clock.as_bytes();
    if [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')].iter().any(|(at, byte)| b[*at] != *byte) {
        return None;
    }
    let date = Date { year: digits(&b[..4])?, month: digits(&b[5..7])?, day: digits(&b[8..10])? };
    let (h, m, s) = (digits(&b[11..13])?, digits(&b[14..16])?, digits(&b[17..19])?);
    let (ms, zone) = match rest.strip_prefix(['.', ',']) {
        Some(rest) => {
            let end = rest.bytes().position(|b| !b.is_ascii_digit())?;
            let (fraction, zone) = rest.split_at(end);
            let ms = format!("{fraction:0<3}");
            (digits(&ms.as_bytes()[..3]).filter(|_| end > 0)?, zone)
        }
        None => (0, rest),
    };
    let offset_minutes = match zone.as_bytes() {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (h, m) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
            if h > 24 || m > 60 {
                return None;
            }
            (h * 60 + m) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let first = Date { day: 1, ..date };
    let is_date = (1..=12).contains(&date.month) && date.day >= 1 && date.to_days() < first.next_month().to_days();
    if !is_date || h > 23 || m > 59 || s > 59 {
        return None;
    }
    let minutes = h * 60 + m - offset_minutes;
    Some(date.to_days() * DAY_MS + minutes * 60_000 + s * 1000 + ms)
}

/// The number of some decimal digits, all of which must be digits.
fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_795_223_720_120, "2026-11-21T01:15:20.12Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (-62_167_219_200_000, "0000-01-01T00:00:00Z"),
            (253_402_300_799_000, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!((format_rfc3339_ms(ms).as_str(), parse_rfc3339_ms(text)), (text, Some(ms)));
        }
        for (text, ms) in [
            ("2026-11-21T02:15:20.5+01:00", 1_795_223_720_500),
            ("2026-11-20T17:45:20,50099-07:30", 1_795_223_720_500),
            ("1969-12-31T23:59:59.9999Z", -1),
        ] {
            assert_eq!(parse_rfc3339_ms(text), Some(ms), "{text}");
        }
        assert_eq!(format_rfc3339_ms(i64::MAX), i64::MAX.to_string());
        for text in [
            "2026-13-01T00:00:00Z",
            "2026-01-01",
            "never",
            "2026-01-01T25:00:00Z",
            "2026-01-01T00:00:00+9223372036854775807:00",
            "2026-01-01T00:00:00",
            "2026-02-29T00:00:00Z",
            "2026-01-01t00:00:00Z",
            "2026-01-01T00:00:00z",
            "2026-01-01T00:00:60Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.5",
            "2026-01-01T00:00:00+0100",
            "2026-01-01T00:00:00+25:00",
            "2026-01-01T00:00:00Z[UTC]",
            "2026-01-01T0:00:00Z",
            "2026-01-01 00:00:00Z",
            "+026-01-01T00:00:00Z",
            "2026-01-01T00:00:0äZ",
            "10000-01-01T00:00:00Z",
            "",
        ] {
            assert_eq!(parse_rfc3339_ms(text), None, "{text}");
        }
    }

    #[test]
    fn days_and_back() {
        for days in (-1_000_000..1_000_000).step_by(97).chain([-719_528, 11_016, i64::MAX / 86_400]) {
            let date = Date::from_days(days);
            assert_eq!(date.to_days(), days, "{date:?}");
            assert!((1..=12).contains(&date.month) && (1..=31).contains(&date.day), "{date:?}");
        }
        let leap = Date { year: 2016, month: 2, day: 29 };
        assert_eq!((leap.next_month().to_days() - leap.to_days(), leap.next_month().month), (1, 3));
        assert_eq!(Date { year: 2015, month: 12, day: 3 }.next_month(), Date { year: 2016, month: 1, day: 1 });
    }
}
