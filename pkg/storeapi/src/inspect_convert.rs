//! Rules, targets, metadata, exemplars and statistics: wire to domain and back.

use std::collections::BTreeMap;

use labels::Labels;
use model::{Exemplar, ExemplarSeries, MetricMetadata};
use prost_types::Timestamp;
use proto::thanos as wire;
use storage::{
    ActiveTarget, AlertInstance, AlertRule, AlertState, PartialResponse, Rule, RuleGroup, RuleKind, TargetHealth,
    TargetState, Targets, TsdbStatistics,
};

use crate::convert::{label_set, label_set_from_wire, strategy_to_wire, texts_from_wire};

/// 0001-01-01T00:00:00Z, Go's zero time, in seconds since the epoch: "never".
const GO_ZERO_S: i64 = -62_135_596_800;

fn time_from_wire(t: Option<Timestamp>) -> Option<i64> {
    let t = t.filter(|t| t.seconds != GO_ZERO_S)?;
    t.seconds.checked_mul(1_000_000_000)?.checked_add(i64::from(t.nanos))
}

fn time_to_wire(ns: Option<i64>) -> Option<Timestamp> {
    Some(match ns {
        Some(ns) => Timestamp { seconds: ns.div_euclid(1_000_000_000), nanos: ns.rem_euclid(1_000_000_000) as i32 },
        None => Timestamp { seconds: GO_ZERO_S, nanos: 0 },
    })
}

fn partial_from_wire(strategy: i32) -> PartialResponse {
    crate::convert::strategy_from_wire(false, strategy)
}

pub(crate) fn kind_from_wire(kind: i32) -> RuleKind {
    match wire::rules_request::Type::try_from(kind) {
        Ok(wire::rules_request::Type::Alert) => RuleKind::Alert,
        Ok(wire::rules_request::Type::Record) => RuleKind::Record,
        _ => RuleKind::All,
    }
}

pub(crate) fn kind_to_wire(kind: RuleKind) -> i32 {
    match kind {
        RuleKind::All => wire::rules_request::Type::All as i32,
        RuleKind::Alert => wire::rules_request::Type::Alert as i32,
        RuleKind::Record => wire::rules_request::Type::Record as i32,
    }
}

fn alert_state_from_wire(state: i32) -> AlertState {
    match wire::AlertState::try_from(state) {
        Ok(wire::AlertState::Inactive) => AlertState::Inactive,
        Ok(wire::AlertState::Pending) => AlertState::Pending,
        Ok(wire::AlertState::Firing) => AlertState::Firing,
        _ => AlertState::Unknown,
    }
}

fn alert_state_to_wire(state: AlertState) -> i32 {
    match state {
        AlertState::Unknown => wire::AlertState::AlertUnknown as i32,
        AlertState::Inactive => wire::AlertState::Inactive as i32,
        AlertState::Pending => wire::AlertState::Pending as i32,
        AlertState::Firing => wire::AlertState::Firing as i32,
    }
}

pub(crate) fn group_from_wire(g: wire::RuleGroup) -> RuleGroup {
    RuleGroup {
        name: g.name,
        file: g.file,
        interval_s: g.interval,
        limit: g.limit,
        evaluation_s: g.evaluation_duration_seconds,
        last_evaluation_ns: time_from_wire(g.last_evaluation),
        partial_response: partial_from_wire(g.partial_response_strategy),
        rules: g.rules.into_iter().filter_map(|r| r.result).map(rule_from_wire).collect(),
    }
}

fn rule_from_wire(rule: wire::rule::Result) -> Rule {
    match rule {
        wire::rule::Result::Recording(r) => Rule {
            name: r.name,
            query: r.query,
            labels: texts_from_wire(r.labels.as_ref()),
            health: r.health,
            last_error: r.last_error,
            evaluation_s: r.evaluation_duration_seconds,
            last_evaluation_ns: time_from_wire(r.last_evaluation),
            alert: None,
        },
        wire::rule::Result::Alert(a) => Rule {
            name: a.name,
            query: a.query,
            labels: texts_from_wire(a.labels.as_ref()),
            health: a.health,
            last_error: a.last_error,
            evaluation_s: a.evaluation_duration_seconds,
            last_evaluation_ns: time_from_wire(a.last_evaluation),
            alert: Some(AlertRule {
                state: alert_state_from_wire(a.state),
                for_s: a.duration_seconds,
                keep_firing_for_s: a.keep_firing_for_seconds,
                annotations: texts_from_wire(a.annotations.as_ref()),
                alerts: a.alerts.into_iter().map(alert_from_wire).collect(),
            }),
        },
    }
}

fn alert_from_wire(a: wire::AlertInstance) -> AlertInstance {
    AlertInstance {
        labels: label_set_from_wire(a.labels.as_ref()),
        annotations: texts_from_wire(a.annotations.as_ref()),
        state: alert_state_from_wire(a.state),
        active_at_ns: time_from_wire(a.active_at),
        keep_firing_since_ns: None,
        value: a.value,
        partial_response: partial_from_wire(a.partial_response_strategy),
    }
}

pub(crate) fn group_to_wire(g: RuleGroup) -> wire::RuleGroup {
    wire::RuleGroup {
        name: g.name,
        file: g.file,
        interval: g.interval_s,
        limit: g.limit,
        evaluation_duration_seconds: g.evaluation_s,
        last_evaluation: time_to_wire(g.last_evaluation_ns),
        partial_response_strategy: strategy_to_wire(g.partial_response),
        rules: g.rules.into_iter().map(rule_to_wire).collect(),
    }
}

fn rule_to_wire(r: Rule) -> wire::Rule {
    let labels = Some(label_set(&r.labels));
    let last_evaluation = time_to_wire(r.last_evaluation_ns);
    let result = match r.alert {
        None => wire::rule::Result::Recording(wire::RecordingRule {
            name: r.name,
            query: r.query,
            labels,
            health: r.health,
            last_error: r.last_error,
            evaluation_duration_seconds: r.evaluation_s,
            last_evaluation,
        }),
        Some(a) => wire::rule::Result::Alert(wire::Alert {
            state: alert_state_to_wire(a.state),
            name: r.name,
            query: r.query,
            duration_seconds: a.for_s,
            labels,
            annotations: Some(label_set(&a.annotations)),
            alerts: a.alerts.into_iter().map(alert_to_wire).collect(),
            health: r.health,
            last_error: r.last_error,
            evaluation_duration_seconds: r.evaluation_s,
            last_evaluation,
            keep_firing_for_seconds: a.keep_firing_for_s,
        }),
    };
    wire::Rule { result: Some(result) }
}

fn alert_to_wire(a: AlertInstance) -> wire::AlertInstance {
    wire::AlertInstance {
        labels: Some(label_set(&a.labels)),
        annotations: Some(label_set(&a.annotations)),
        state: alert_state_to_wire(a.state),
        active_at: a.active_at_ns.and_then(|ns| time_to_wire(Some(ns))),
        value: a.value,
        partial_response_strategy: strategy_to_wire(a.partial_response),
    }
}

pub(crate) fn target_state_from_wire(state: i32) -> TargetState {
    match wire::targets_request::State::try_from(state) {
        Ok(wire::targets_request::State::Active) => TargetState::Active,
        Ok(wire::targets_request::State::Dropped) => TargetState::Dropped,
        _ => TargetState::Any,
    }
}

pub(crate) fn target_state_to_wire(state: TargetState) -> i32 {
    match state {
        TargetState::Any => wire::targets_request::State::Any as i32,
        TargetState::Active => wire::targets_request::State::Active as i32,
        TargetState::Dropped => wire::targets_request::State::Dropped as i32,
    }
}

pub(crate) fn targets_from_wire(t: wire::TargetDiscovery) -> Targets {
    let active = |a: wire::ActiveTarget| ActiveTarget {
        discovered_labels: label_set_from_wire(a.discovered_labels.as_ref()),
        labels: label_set_from_wire(a.labels.as_ref()),
        scrape_pool: a.scrape_pool,
        scrape_url: a.scrape_url,
        global_url: a.global_url,
        last_error: a.last_error,
        last_scrape_ns: time_from_wire(a.last_scrape),
        last_scrape_duration_s: a.last_scrape_duration,
        health: match wire::TargetHealth::try_from(a.health) {
            Ok(wire::TargetHealth::Up) => TargetHealth::Up,
            Ok(wire::TargetHealth::Down) => TargetHealth::Down,
            _ => TargetHealth::Unknown,
        },
    };
    Targets {
        active: t.active_targets.into_iter().map(active).collect(),
        dropped: t.dropped_targets.iter().map(|d| label_set_from_wire(d.discovered_labels.as_ref())).collect(),
    }
}

pub(crate) fn targets_to_wire(t: Targets) -> wire::TargetDiscovery {
    let active = |a: ActiveTarget| wire::ActiveTarget {
        discovered_labels: Some(label_set(&a.discovered_labels)),
        labels: Some(label_set(&a.labels)),
        scrape_pool: a.scrape_pool,
        scrape_url: a.scrape_url,
        global_url: a.global_url,
        last_error: a.last_error,
        last_scrape: time_to_wire(a.last_scrape_ns),
        last_scrape_duration: a.last_scrape_duration_s,
        health: match a.health {
            TargetHealth::Up => wire::TargetHealth::Up as i32,
            TargetHealth::Down => wire::TargetHealth::Down as i32,
            TargetHealth::Unknown => wire::TargetHealth::TargetUnknown as i32,
        },
    };
    let dropped = |l: Labels| wire::DroppedTarget { discovered_labels: Some(label_set(&l)) };
    wire::TargetDiscovery {
        active_targets: t.active.into_iter().map(active).collect(),
        dropped_targets: t.dropped.into_iter().map(dropped).collect(),
    }
}

pub(crate) fn metadata_from_wire(m: wire::MetricMetadata) -> BTreeMap<String, Vec<MetricMetadata>> {
    let entry = |m: wire::Meta| MetricMetadata { metric_type: m.r#type, help: m.help, unit: m.unit };
    m.metadata.into_iter().map(|(name, e)| (name, e.metas.into_iter().map(entry).collect())).collect()
}

pub(crate) fn metadata_to_wire(m: BTreeMap<String, Vec<MetricMetadata>>) -> wire::MetricMetadata {
    let entry = |m: MetricMetadata| wire::Meta { r#type: m.metric_type, help: m.help, unit: m.unit };
    let metas = |list: Vec<MetricMetadata>| wire::MetricMetadataEntry { metas: list.into_iter().map(entry).collect() };
    wire::MetricMetadata { metadata: m.into_iter().map(|(name, list)| (name, metas(list))).collect() }
}

pub(crate) fn exemplars_from_wire(d: wire::ExemplarData) -> ExemplarSeries {
    let exemplar = |e: wire::Exemplar| Exemplar {
        labels: label_set_from_wire(e.labels.as_ref()),
        value: e.value,
        timestamp_ms: e.ts,
    };
    ExemplarSeries {
        labels: label_set_from_wire(d.series_labels.as_ref()),
        exemplars: d.exemplars.into_iter().map(exemplar).collect(),
    }
}

pub(crate) fn exemplars_to_wire(s: ExemplarSeries) -> wire::ExemplarData {
    let exemplar =
        |e: Exemplar| wire::Exemplar { labels: Some(label_set(&e.labels)), value: e.value, ts: e.timestamp_ms };
    wire::ExemplarData {
        series_labels: Some(label_set(&s.labels)),
        exemplars: s.exemplars.into_iter().map(exemplar).collect(),
    }
}

pub(crate) fn statistics_from_wire(s: wire::TsdbStatistics) -> BTreeMap<String, TsdbStatistics> {
    let list = |l: Vec<wire::Statistic>| l.into_iter().map(|s| (s.name, s.value)).collect();
    let entry = |e: wire::TsdbStatisticsEntry| {
        let head = e.head_statistics.unwrap_or_default();
        TsdbStatistics {
            num_series: head.num_series,
            num_label_pairs: head.num_label_pairs,
            chunk_count: head.chunk_count,
            min_time: head.min_time,
            max_time: head.max_time,
            series_count_by_metric_name: list(e.series_count_by_metric_name),
            label_value_count_by_label_name: list(e.label_value_count_by_label_name),
            memory_in_bytes_by_label_name: list(e.memory_in_bytes_by_label_name),
            series_count_by_label_value_pair: list(e.series_count_by_label_value_pair),
        }
    };
    s.statistics.into_iter().map(|(tenant, e)| (tenant, entry(e))).collect()
}

pub(crate) fn statistics_to_wire(s: BTreeMap<String, TsdbStatistics>) -> wire::TsdbStatistics {
    let list = |l: Vec<(String, u64)>| l.into_iter().map(|(name, value)| wire::Statistic { name, value }).collect();
    let entry = |e: TsdbStatistics| wire::TsdbStatisticsEntry {
        head_statistics: Some(wire::HeadStatistics {
            num_series: e.num_series,
            num_label_pairs: e.num_label_pairs,
            chunk_count: e.chunk_count,
            min_time: e.min_time,
            max_time: e.max_time,
        }),
        series_count_by_metric_name: list(e.series_count_by_metric_name),
        label_value_count_by_label_name: list(e.label_value_count_by_label_name),
        memory_in_bytes_by_label_name: list(e.memory_in_bytes_by_label_name),
        series_count_by_label_value_pair: list(e.series_count_by_label_value_pair),
    };
    wire::TsdbStatistics { statistics: s.into_iter().map(|(tenant, e)| (tenant, entry(e))).collect() }
}
