//! Grafana dashboards of the components, as code. `cargo test -p mixin` holds that `deploy/mixin/dashboards` has what this
//! makes, and that every query can be parsed and reads metrics that exist.

mod dashboards;
mod json;

pub use dashboards::all;

/// A dashboard: its rows, of the jobs that expose `marker`.
#[derive(Debug, Clone)]
pub struct Dashboard {
    /// File name and identity in Grafana, `aion-store` say.
    pub uid: &'static str,
    /// Title.
    pub title: &'static str,
    /// A metric that only this component has: its jobs are offered as `$job`.
    pub marker: &'static str,
    /// Rows from top to bottom.
    pub rows: Vec<Row>,
}

/// A row of panels.
#[derive(Debug, Clone)]
pub struct Row {
    /// Title.
    pub title: &'static str,
    /// Panels, three to a line.
    pub panels: Vec<Panel>,
}

/// Lines over time.
#[derive(Debug, Clone)]
pub struct Panel {
    /// Title.
    pub title: &'static str,
    /// What to make of it; Markdown.
    pub help: &'static str,
    /// Grafana's name of the unit, `s` or `bytes` say.
    pub unit: &'static str,
    /// PromQL, and the legend of its series.
    pub queries: Vec<(&'static str, &'static str)>,
}

impl Dashboard {
    /// The dashboard as Grafana reads it: JSON, a line feed at the end.
    pub fn to_json(&self) -> String {
        format!("{:#}\n", json::dashboard(self))
    }

    /// All PromQL in it, as Grafana gets it: with `$job` and `$__rate_interval`.
    pub fn queries(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.rows.iter().flat_map(|row| &row.panels).flat_map(|panel| &panel.queries).map(|(query, _)| *query)
    }
}
