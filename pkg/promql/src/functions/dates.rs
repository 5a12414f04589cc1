//! Calendar functions, all in UTC.

use model::Date;

use crate::eval::{Cx, Operator, Result, Stream, drop_name};
use crate::series::{StepSeries, bits};

/// A part of a date, by its PromQL name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in PromQL")]
pub(crate) enum DateFn {
    DaysInMonth,
    DayOfMonth,
    DayOfWeek,
    DayOfYear,
    Hour,
    Minute,
    Month,
    Year,
}

impl DateFn {
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "days_in_month" => Self::DaysInMonth,
            "day_of_month" => Self::DayOfMonth,
            "day_of_week" => Self::DayOfWeek,
            "day_of_year" => Self::DayOfYear,
            "hour" => Self::Hour,
            "minute" => Self::Minute,
            "month" => Self::Month,
            "year" => Self::Year,
            _ => return None,
        })
    }

    /// Of a time in seconds since the epoch; fractions are cut off. NaN and times beyond 64 bits are what Go makes of
    /// them: the smallest integer.
    pub fn of(self, seconds: f64) -> f64 {
        let seconds =
            if seconds.is_nan() || seconds.abs() >= 9.223_372_036_854_776e18 { i64::MIN } else { seconds as i64 };
        let days = seconds.div_euclid(86_400);
        let in_day = seconds.rem_euclid(86_400);
        let date = Date::from_days(days);
        (match self {
            Self::Hour => in_day / 3600,
            Self::Minute => in_day / 60 % 60,
            Self::DayOfWeek => (days + 4).rem_euclid(7),
            Self::DayOfMonth => date.day,
            Self::Month => date.month,
            Self::Year => date.year,
            Self::DayOfYear => days - Date { month: 1, day: 1, ..date }.to_days() + 1,
            Self::DaysInMonth => date.next_month().to_days() - Date { day: 1, ..date }.to_days(),
        }) as f64
    }
}

pub(crate) struct DateOp {
    pub function: DateFn,
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
                series.column.values[i] = self.function.of(series.column.values[i]);
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
            (DateFn::Year, 2016.0),
            (DateFn::Month, 2.0),
            (DateFn::DayOfMonth, 29.0),
            (DateFn::DaysInMonth, 29.0),
            (DateFn::DayOfWeek, 1.0),
            (DateFn::DayOfYear, 60.0),
            (DateFn::Hour, 23.0),
            (DateFn::Minute, 59.0),
        ] {
            assert_eq!(f.of(t), want, "{f:?}");
        }
        assert_eq!((DateFn::Year.of(-1.5), DateFn::DayOfWeek.of(0.0)), (1969.0, 4.0));
    }
}
