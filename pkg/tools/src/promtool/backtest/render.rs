//! What a backtest found, as table, JSON and timeline.

use model::{format_duration, format_rfc3339_ms};
use serde_json::{Value, json};

use super::episodes::Episode;

/// The result of all rules.
#[derive(Debug)]
pub(super) struct Report {
    pub from_ms: i64,
    pub to_ms: i64,
    pub rules: Vec<RuleReport>,
}

/// The result of one alerting rule.
#[derive(Debug)]
pub(super) struct RuleReport {
    pub group: String,
    pub alert: String,
    pub query: String,
    pub episodes: Vec<Episode>,
    pub warnings: Vec<String>,
    pub error: Option<String>,
}

/// Cells of a timeline.
const CELLS: usize = 72;

impl Report {
    fn length(&self, episode: &Episode) -> Option<i64> {
        episode.span.firing_ms.map(|firing| episode.span.ended_ms.unwrap_or(self.to_ms) - firing)
    }

    /// A line for each time that an alert fired, and a line for each rule.
    pub fn table(&self) -> String {
        let mut rows =
            vec![["ALERT", "PENDING SINCE", "FIRING SINCE", "ENDED", "FIRED FOR", "LABELS"].map(str::to_owned)];
        for (rule, episode) in self.rules.iter().flat_map(|rule| rule.episodes.iter().map(move |e| (rule, e))) {
            if let Some(firing_ms) = episode.span.firing_ms {
                rows.push([
                    rule.alert.clone(),
                    time(episode.span.pending_ms),
                    time(firing_ms),
                    episode.span.ended_ms.map_or_else(|| "still firing".to_owned(), time),
                    format_duration(self.length(episode).unwrap_or(0)),
                    episode.labels.to_string(),
                ]);
            }
        }
        let mut out = aligned(&rows);
        out.push('\n');
        out.push_str(&aligned(&self.summary()));
        out.push_str(&self.notes());
        out
    }

    fn summary(&self) -> Vec<[String; 5]> {
        let mut rows = vec![["RULE", "FIRED", "PENDING ONLY", "SERIES", "FIRING IN TOTAL"].map(str::to_owned)];
        for rule in &self.rules {
            let fired = rule.episodes.iter().filter(|e| e.span.firing_ms.is_some()).count();
            let mut series: Vec<_> = rule.episodes.iter().map(|e| &e.labels).collect();
            series.sort();
            series.dedup();
            rows.push([
                format!("{}/{}", rule.group, rule.alert),
                if rule.error.is_some() { "failed".to_owned() } else { fired.to_string() },
                (rule.episodes.len() - fired).to_string(),
                series.len().to_string(),
                format_duration(rule.episodes.iter().filter_map(|e| self.length(e)).sum()),
            ]);
        }
        rows
    }

    /// What is missing from the result.
    fn notes(&self) -> String {
        let mut out = String::new();
        for rule in &self.rules {
            for warning in &rule.warnings {
                out.push_str(&format!("warning: {}: {warning}\n", rule.alert));
            }
            if let Some(error) = &rule.error {
                out.push_str(&format!("error: {}: {error}\n", rule.alert));
            }
        }
        out
    }

    /// One JSON document.
    pub fn json(&self) -> String {
        let rules: Vec<Value> = self
            .rules
            .iter()
            .map(|rule| {
                let episodes: Vec<Value> = rule
                    .episodes
                    .iter()
                    .map(|episode| {
                        let labels: serde_json::Map<String, Value> =
                            episode.labels.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
                        json!({
                            "labels": labels,
                            "pendingSince": time(episode.span.pending_ms),
                            "firingSince": episode.span.firing_ms.map(time),
                            "endedAt": episode.span.ended_ms.map(time),
                            "firingSeconds": self.length(episode).map(|ms| ms as f64 / 1000.0),
                        })
                    })
                    .collect();
                json!({
                    "group": rule.group, "alert": rule.alert, "query": rule.query, "episodes": episodes,
                    "warnings": rule.warnings, "error": rule.error,
                })
            })
            .collect();
        let document = json!({"from": time(self.from_ms), "to": time(self.to_ms), "rules": rules});
        format!("{document:#}\n")
    }

    /// A bar for each rule: `#` where an alert of it fires, `-` where one is pending.
    pub fn timeline(&self) -> String {
        let width = self.rules.iter().map(|rule| rule.alert.chars().count()).max().unwrap_or(0);
        let cell_ms = ((self.to_ms - self.from_ms) / CELLS as i64).max(1);
        let mut out = format!(
            "{:width$}  {} to {}, a cell is {}\n",
            "",
            time(self.from_ms),
            time(self.to_ms),
            format_duration(cell_ms / 1000 * 1000)
        );
        for rule in &self.rules {
            let mut cells = vec!['.'; CELLS];
            for episode in &rule.episodes {
                let ended_ms = episode.span.ended_ms.unwrap_or(self.to_ms);
                let firing_ms = episode.span.firing_ms.unwrap_or(ended_ms);
                self.fill(&mut cells, episode.span.pending_ms, firing_ms, '-');
                if episode.span.firing_ms.is_some() {
                    self.fill(&mut cells, firing_ms, ended_ms, '#');
                }
            }
            let bar: String = match rule.error {
                Some(_) => "failed".to_owned(),
                None => cells.into_iter().collect(),
            };
            out.push_str(&format!("{:width$}  {bar}\n", rule.alert));
        }
        out + &self.notes()
    }

    /// Marks the cells that a time touches; what fires covers what is pending.
    fn fill(&self, cells: &mut [char], from_ms: i64, to_ms: i64, mark: char) {
        if from_ms >= to_ms {
            return;
        }
        let length_ms = (self.to_ms - self.from_ms).max(1);
        let cell = |time_ms: i64| {
            let at =
                (time_ms - self.from_ms).clamp(0, length_ms - 1) as i128 * cells.len() as i128 / i128::from(length_ms);
            at as usize
        };
        let (first, last) = (cell(from_ms), cell(to_ms - 1));
        for place in &mut cells[first..=last] {
            if *place != '#' {
                *place = mark;
            }
        }
    }
}

fn time(ms: i64) -> String {
    format_rfc3339_ms(ms.div_euclid(1000) * 1000)
}

/// Columns as wide as they must be; the last one as it is.
fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut out = String::new();
    for row in rows {
        for (at, cell) in row.iter().enumerate() {
            match at + 1 == N {
                true => out.push_str(cell),
                false => out.push_str(&format!("{cell:<width$}  ", width = widths[at])),
            }
        }
        out.push('\n');
    }
    out
}
