//! The pages, and the paths that open them.

/// A page of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// PromQL: graphs, tables, explanations.
    Query,
    /// Metrics with their types, series and labels.
    Explore,
    /// Targets and their last scrapes.
    Targets,
    /// Discovered targets, and what relabelling makes of them.
    Discovery,
    /// Alerts that are pending or firing.
    Alerts,
    /// Rules and how their evaluation goes.
    Rules,
    /// Which metrics and labels have the most series.
    Cardinality,
    /// The endpoints of a querier.
    Topology,
    /// Blocks by stream, time and resolution.
    Blocks,
    /// What the compactor has done and has still to do.
    Pipeline,
    /// Queries under way, and those that ended last.
    Queries,
    /// Flags, configuration, runtime.
    Status,
}

impl Page {
    /// The name in `ui.json`.
    pub fn name(self) -> &'static str {
        self.paths_and_name().0
    }

    /// Path segments that open the page, its own first. The others are those of Prometheus' and Thanos' pages.
    pub fn paths(self) -> &'static [&'static str] {
        self.paths_and_name().1
    }

    fn paths_and_name(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Page::Query => ("query", &["graph", "query"]),
            Page::Explore => ("explore", &["explore"]),
            Page::Targets => ("targets", &["targets"]),
            Page::Discovery => ("discovery", &["service-discovery"]),
            Page::Alerts => ("alerts", &["alerts"]),
            Page::Rules => ("rules", &["rules"]),
            Page::Cardinality => ("cardinality", &["cardinality", "tsdb-status"]),
            Page::Topology => ("topology", &["stores", "topology"]),
            Page::Blocks => ("blocks", &["blocks", "loaded", "global"]),
            Page::Pipeline => ("pipeline", &["pipeline"]),
            Page::Queries => ("queries", &["queries"]),
            Page::Status => ("status", &["status", "flags", "config"]),
        }
    }
}
