//! Calendar functions, all in UTC.

use model::Date;

use crate::eval::{Cx, Operator, Result, Stream, drop_name};
use crate::series::{StepSeries, bits};

/// A part of a time in seconds since the epoch.
pub(crate) type DateKernel = fn(i64) -> i64;

/// What a calendar function makes of seconds since the epoch; fractions are cut off. NaN and times beyond 64 bits are what
/// Go makes of them: the smallest integer, whose calendar wraps around to the largest.
pub(crate) fn of(kernel: DateKernel, seconds: f64) -> f64 {
    let beyond = seconds.is_nan() || seconds.abs() >= 9.223_372_036_854_776e18;
    kernel(if beyond { i64::MAX } else { seconds as i64 }) as f64
}

fn days(seconds: i64) -> i64 {
    seconds.div_euclid(86_400)
}

fn date(seconds: i64) -> Date {
    Date::from_days(days(seconds))
}

pub(crate) fn hour(seconds: i64) -> i64 {
    seconds.rem_euclid(86_400) / 3600
}

pub(crate) fn minute(seconds: i64) -> i64 {
    seconds.rem_euclid(86_400) / 60 % 60
}

pub(crate) fn day_of_week(seconds: i64) -> i64 {
    (days(seconds) + 4).rem_euclid(7)
}

pub(crate) fn day_of_month(seconds: i64) -> i64 {
    date(seconds).day
}

pub(crate) fn month(seconds: i64) -> i64 {
    date(seconds).month
}

pub(crate) fn year(seconds: i64) -> i64 {
    date(seconds).year
}

pub(crate) fn day_of_year(seconds: i64) -> i64 {
    days(seconds) - Date { month: 1, day: 1, ..date(seconds) }.to_days() + 1
}

pub(crate) fn days_in_month(seconds: i64) -> i64 {
    let date = date(seconds);
    date.next_month().to_days() - Date { day: 1, ..date }.to_days()
}

pub(crate) struct DateOp {
    pub kernel: DateKernel,
    pub inner: Stream,
}

impl Operator for DateOp {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        while let Some(mut series) = cx.next(&mut self.inner)? {
            series.column.native_histograms.clear();
            if series.column.is_empty() {
                continue;
            }
            let steps: Vec<usize> = bits(&series.column.present).collect();
            for i in steps {
                series.column.values[i] = of(self.kernel, series.column.values[i]);
            }
            return Ok(Some(drop_name(series, cx)));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_known_days() {
        // 2016-02-29T23:59:59Z, a Monday.
        let t = 1_456_790_399.9;
        for (f, want) in [
            (year as DateKernel, 2016.0),
            (month, 2.0),
            (day_of_month, 29.0),
            (days_in_month, 29.0),
            (day_of_week, 1.0),
            (day_of_year, 60.0),
            (hour, 23.0),
            (minute, 59.0),
        ] {
            assert_eq!(of(f, t), want);
        }
        assert_eq!((of(year, -1.5), of(day_of_week, 0.0)), (1969.0, 4.0));
        for beyond in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e30] {
            assert_eq!((of(year, beyond), of(month, beyond), of(day_of_month, beyond)), (292_277_026_596.0, 12.0, 4.0));
            assert_eq!((of(hour, beyond), of(minute, beyond), of(days_in_month, beyond)), (15.0, 30.0, 31.0));
        }
    }
}
