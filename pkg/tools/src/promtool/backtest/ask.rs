//! The history of an expression, asked in parts.

use std::collections::BTreeMap;

use labels::Labels;
use promclient::{PromClient, RangeSteps};

/// The steps of a backtest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steps {
    pub from_ms: i64,
    pub to_ms: i64,
    pub step_ms: i64,
    /// Most steps of one query.
    pub points_max: u64,
}

/// All series by labels, each with the times of its samples, ascending.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub series: BTreeMap<Labels, Vec<i64>>,
    pub warnings: Vec<String>,
}

impl Steps {
    /// The queries that it takes.
    fn parts(self) -> impl Iterator<Item = RangeSteps> {
        let length_ms = self.step_ms.saturating_mul(i64::try_from(self.points_max - 1).unwrap_or(i64::MAX));
        let mut start_ms = self.from_ms;
        std::iter::from_fn(move || {
            if start_ms > self.to_ms {
                return None;
            }
            let end_ms = start_ms.saturating_add(length_ms).min(self.to_ms);
            let part = RangeSteps { start_ms, end_ms, step_ms: self.step_ms };
            start_ms += (end_ms - start_ms) / self.step_ms * self.step_ms + self.step_ms;
            Some(part)
        })
    }
}

/// Asks part by part.
///
/// # Errors
/// The API refuses or fails.
pub(super) async fn ask(client: &PromClient, query: &str, steps: Steps) -> storage::Result<Asked> {
    let mut asked = Asked::default();
    for part in steps.parts() {
        let answer = client.query_range(query, part).await?;
        for series in answer.value {
            let floats = series.points.iter().map(|(time, _)| *time);
            let mut times: Vec<i64> = floats.chain(series.histograms.iter().map(|(time, _)| *time)).collect();
            times.sort_unstable();
            asked.series.entry(series.labels).or_default().extend(times);
        }
        for warning in answer.warnings {
            if !asked.warnings.contains(&warning) {
                asked.warnings.push(warning);
            }
        }
    }
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_one_another() {
        let steps = Steps { from_ms: 0, to_ms: 95, step_ms: 10, points_max: 4 };
        let parts: Vec<_> = steps.parts().map(|part| (part.start_ms, part.end_ms)).collect();
        assert_eq!(parts, [(0, 30), (40, 70), (80, 95)]);
    }
}
