//! `--enable-feature`, with Prometheus' names.

/// What is switched on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Features {
    /// Rules of a group that do not matter to one another are evaluated at the same time.
    pub concurrent_rules: bool,
    /// A zero sample at the created timestamp of a counter that is new.
    pub created_zero: bool,
    /// Exemplars are kept.
    pub exemplars: bool,
    /// `scrape_timeout_seconds` and its like beside each scrape.
    pub extra_scrape_metrics: bool,
    /// Chunks of histograms keep start timestamps.
    pub histogram_starts: bool,
    /// The head is written out at the end, and read at the next start in place of the log.
    pub memory_snapshot: bool,
    /// Metadata goes into the write-ahead log.
    pub metadata_records: bool,
    /// Deltas of OTLP are summed up.
    pub otlp_delta_to_cumulative: bool,
    /// Deltas of OTLP are stored as they are.
    pub otlp_native_delta: bool,
    pub fill_modifiers: bool,
    pub delayed_name_removal: bool,
    pub experimental_functions: bool,
    pub extended_range_selectors: bool,
    pub search_api: bool,
    /// Start timestamps are kept with samples.
    pub start_timestamps: bool,
    pub type_and_unit_labels: bool,
    /// Queries take a new start timestamp for a reset of its counter.
    pub use_start_timestamps: bool,
    /// Chunks of floats are XOR2.
    pub xor2: bool,
}

/// What Prometheus knows and what is always on here, or makes no difference.
const ALWAYS: [&str; 9] = [
    "native-histograms",
    "ooo-native-histograms",
    "promql-duration-expr",
    "auto-reload-config",
    "promql-per-step-stats",
    "delayed-compaction",
    "old-ui",
    "use-uncached-io",
    "fast-startup",
];

/// What Prometheus knows and this server does not do.
const MISSING: [&str; 2] = ["st-synthesis", "agent"];

impl Features {
    /// From the flag's values, which may hold several names each. Also gives what is to be warned of.
    pub fn parse(lists: &[String]) -> (Self, Vec<String>) {
        let (mut on, mut warnings) = (Self::default(), Vec::new());
        for name in lists.iter().flat_map(|list| list.split(',')).map(str::trim).filter(|name| !name.is_empty()) {
            match on.field(name) {
                Some(field) => *field = true,
                None if ALWAYS.contains(&name) => {}
                None if MISSING.contains(&name) => {
                    warnings.push(format!("feature {name} is not built yet and has no effect"));
                }
                None => warnings.push(format!("unknown feature {name} has no effect")),
            }
        }
        (on, warnings)
    }

    fn field(&mut self, name: &str) -> Option<&mut bool> {
        Some(match name {
            "concurrent-rule-eval" => &mut self.concurrent_rules,
            "created-timestamp-zero-ingestion" => &mut self.created_zero,
            "exemplar-storage" => &mut self.exemplars,
            "extra-scrape-metrics" => &mut self.extra_scrape_metrics,
            "histograms-st-encoding" => &mut self.histogram_starts,
            "memory-snapshot-on-shutdown" => &mut self.memory_snapshot,
            "metadata-wal-records" => &mut self.metadata_records,
            "otlp-deltatocumulative" => &mut self.otlp_delta_to_cumulative,
            "otlp-native-delta-ingestion" => &mut self.otlp_native_delta,
            "promql-binop-fill-modifiers" => &mut self.fill_modifiers,
            "promql-delayed-name-removal" => &mut self.delayed_name_removal,
            "promql-experimental-functions" => &mut self.experimental_functions,
            "promql-extended-range-selectors" => &mut self.extended_range_selectors,
            "search-api" => &mut self.search_api,
            "st-storage" => &mut self.start_timestamps,
            "type-and-unit-labels" => &mut self.type_and_unit_labels,
            "use-start-timestamps" => &mut self.use_start_timestamps,
            "xor2-encoding" => &mut self.xor2,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_or_warned_of() {
        let lists = ["exemplar-storage, native-histograms".to_owned(), "st-synthesis,what".to_owned()];
        let (on, warnings) = Features::parse(&lists);
        assert_eq!(on, Features { exemplars: true, ..Features::default() });
        assert_eq!(
            warnings,
            ["feature st-synthesis is not built yet and has no effect", "unknown feature what has no effect"]
        );
    }
}
