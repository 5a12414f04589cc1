//! The work of promtool: checks, unit tests of rules, backtests, expressions, queries, data directories. Names, flags, texts
//! and exit codes are those of promtool, where it has the command.

mod backtest;
mod check_config;
mod check_metrics;
mod check_rules;
mod check_targets;
mod check_web_config;
mod common;
mod expressions;
mod lint;
mod promlint;
mod rules_check;
mod server;
mod service_discovery;
mod tsdb;
mod unit;

use flags::{Command, Flag, Parsed};
use futures::future::BoxFuture;
use service::tool::Deps;

use self::common::Outcome;

/// A command that takes words in place of one name.
pub struct WordsTool {
    /// All words, `tools check rules`.
    pub full_name: &'static str,
    pub about: &'static str,
    pub(crate) flags: &'static [Flag],
    pub(crate) arg: Option<flags::Arg>,
    pub(crate) run: for<'a> fn(&'a Parsed, &'a mut Deps<'_>) -> BoxFuture<'a, Outcome>,
}

impl std::fmt::Debug for WordsTool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.full_name)
    }
}

impl WordsTool {
    /// The words behind `tools`.
    pub fn words(&self) -> impl Iterator<Item = &'static str> {
        self.full_name.split(' ').skip(1)
    }

    pub fn command(&self) -> Command {
        let flags = vec![transport::flags::COMMON, EVERYWHERE, self.flags];
        Command { name: self.full_name, about: self.about, flags, args: self.arg }
    }
}

/// Flags that promtool takes with each command.
const EVERYWHERE: &[Flag] = &[
    Flag::switch("experimental", "Enable experimental commands. All are enabled here, with and without it."),
    Flag::text(
        "enable-feature",
        "",
        "Comma separated feature names to enable. All that files and expressions may use is enabled here; promql-delayed-name-removal has an effect on test rules.",
    )
    .repeated(),
];

const fn any(name: &'static str, help: &'static str, min: usize) -> Option<flags::Arg> {
    Some(flags::Arg { name, help, min, max: usize::MAX })
}

const fn exactly(name: &'static str, help: &'static str, number: usize) -> Option<flags::Arg> {
    Some(flags::Arg { name, help, min: number, max: number })
}

const DB_PATH: Option<flags::Arg> =
    Some(flags::Arg { name: "db path", help: "Database path (default is data/).", min: 0, max: 1 });

/// All of them, in the order of the help.
pub const TOOLS: &[WordsTool] = &[
    WordsTool {
        full_name: "tools check config",
        about: "Check if the config files are valid or not.",
        flags: check_config::FLAGS,
        arg: any("config-files", "The config files to check.", 1),
        run: |parsed, deps| Box::pin(async move { check_config::run(parsed, deps) }),
    },
    WordsTool {
        full_name: "tools check rules",
        about: "Check if the rule files are valid or not.",
        flags: check_rules::FLAGS,
        arg: any("rule-files", "The rule files to check, default is read from standard input.", 0),
        run: |parsed, deps| Box::pin(async move { check_rules::run(parsed, deps) }),
    },
    WordsTool {
        full_name: "tools check web-config",
        about: "Check if the web config files are valid or not.",
        flags: &[],
        arg: any("web-config-files", "The config files to check.", 1),
        run: |parsed, deps| Box::pin(async move { check_web_config::run(parsed, deps) }),
    },
    WordsTool {
        full_name: "tools check service-discovery",
        about: "Perform service discovery for the given job name and report the results, including relabeling.",
        flags: service_discovery::FLAGS,
        arg: exactly("config-file, job", "The prometheus config file, and the job to run service discovery for.", 2),
        run: |parsed, deps| Box::pin(service_discovery::run(parsed, deps)),
    },
    WordsTool {
        full_name: "tools check healthy",
        about: "Check if the Prometheus server is healthy.",
        flags: server::health::FLAGS,
        arg: None,
        run: |parsed, deps| Box::pin(server::health::run(parsed, deps, "/-/healthy")),
    },
    WordsTool {
        full_name: "tools check ready",
        about: "Check if the Prometheus server is ready.",
        flags: server::health::FLAGS,
        arg: None,
        run: |parsed, deps| Box::pin(server::health::run(parsed, deps, "/-/ready")),
    },
    WordsTool {
        full_name: "tools check metrics",
        about: "Pass Prometheus metrics over standard input to lint them for consistency and correctness.",
        flags: check_metrics::FLAGS,
        arg: None,
        run: |parsed, deps| Box::pin(async move { check_metrics::run(parsed, deps) }),
    },
    WordsTool {
        full_name: "tools rules-check",
        about: "Check if the rule files are valid or not, Thanos' extensions included.",
        flags: rules_check::FLAGS,
        arg: None,
        run: |parsed, deps| Box::pin(async move { rules_check::run(parsed, deps) }),
    },
    WordsTool {
        full_name: "tools query instant",
        about: "Run instant query.",
        flags: server::query::INSTANT_FLAGS,
        arg: exactly("server, expr", "Prometheus server to query, and a PromQL query expression.", 2),
        run: |parsed, deps| Box::pin(server::query::instant(parsed, deps)),
    },
    WordsTool {
        full_name: "tools query range",
        about: "Run range query.",
        flags: server::query::RANGE_FLAGS,
        arg: exactly("server, expr", "Prometheus server to query, and a PromQL query expression.", 2),
        run: |parsed, deps| Box::pin(server::query::range(parsed, deps)),
    },
    WordsTool {
        full_name: "tools query series",
        about: "Run series query.",
        flags: server::query::SERIES_FLAGS,
        arg: exactly("server", "Prometheus server to query.", 1),
        run: |parsed, deps| Box::pin(server::query::series(parsed, deps)),
    },
    WordsTool {
        full_name: "tools query labels",
        about: "Run labels query.",
        flags: server::query::LABELS_FLAGS,
        arg: exactly("server, name", "Prometheus server to query, and a label name to provide label values for.", 2),
        run: |parsed, deps| Box::pin(server::query::labels(parsed, deps)),
    },
    WordsTool {
        full_name: "tools query analyze",
        about: "Run queries against your Prometheus to analyze the usage pattern of certain metrics.",
        flags: server::analyze::FLAGS,
        arg: None,
        run: |parsed, deps| Box::pin(server::analyze::run(parsed, deps)),
    },
    WordsTool {
        full_name: "tools debug pprof",
        about: "Fetch profiling debug information.",
        flags: server::debug::FLAGS,
        arg: exactly("server", "Prometheus server to get pprof files from.", 1),
        run: |parsed, deps| Box::pin(server::debug::run(parsed, deps, &[server::debug::PPROF])),
    },
    WordsTool {
        full_name: "tools debug metrics",
        about: "Fetch metrics debug information.",
        flags: server::debug::FLAGS,
        arg: exactly("server", "Prometheus server to get metrics from.", 1),
        run: |parsed, deps| Box::pin(server::debug::run(parsed, deps, &[server::debug::METRICS])),
    },
    WordsTool {
        full_name: "tools debug all",
        about: "Fetch all debug information.",
        flags: server::debug::FLAGS,
        arg: exactly("server", "Prometheus server to get all debug information from.", 1),
        run: |parsed, deps| Box::pin(server::debug::run(parsed, deps, &[server::debug::PPROF, server::debug::METRICS])),
    },
    WordsTool {
        full_name: "tools push metrics",
        about: "Push metrics to a prometheus remote write (for testing purpose only).",
        flags: server::push::FLAGS,
        arg: any(
            "remote-write-url, metric-files",
            "Prometheus remote write url to push metrics. The metric files to push, default is read from standard input.",
            1,
        ),
        run: |parsed, deps| Box::pin(server::push::run(parsed, deps)),
    },
    WordsTool {
        full_name: "tools tsdb analyze",
        about: "Analyze churn, label pair cardinality and compaction efficiency.",
        flags: tsdb::analyze::FLAGS,
        arg: Some(flags::Arg {
            name: "db path, block id",
            help: "Database path (default is data/). Block to analyze (default is the last block).",
            min: 0,
            max: 2,
        }),
        run: |parsed, deps| Box::pin(tsdb::analyze::run(parsed, deps)),
    },
    WordsTool {
        full_name: "tools tsdb list",
        about: "List tsdb blocks.",
        flags: tsdb::list::FLAGS,
        arg: DB_PATH,
        run: |parsed, deps| Box::pin(tsdb::list::run(parsed, deps)),
    },
    WordsTool {
        full_name: "tools tsdb dump",
        about: "Dump data (series+samples or optionally just series) from a TSDB.",
        flags: tsdb::dump::FLAGS,
        arg: DB_PATH,
        run: |parsed, deps| Box::pin(tsdb::dump::run(parsed, deps)),
    },
    WordsTool {
        full_name: "tools tsdb dump-openmetrics",
        about: "Dump samples from a TSDB into OpenMetrics text format, excluding native histograms and staleness markers, which are not representable in OpenMetrics.",
        flags: tsdb::dump::OPENMETRICS_FLAGS,
        arg: DB_PATH,
        run: |parsed, deps| Box::pin(tsdb::dump::run_openmetrics(parsed, deps)),
    },
    WordsTool {
        full_name: "tools tsdb create-blocks-from openmetrics",
        about: "Import samples from OpenMetrics input and produce TSDB blocks.",
        flags: tsdb::openmetrics::FLAGS,
        arg: Some(flags::Arg {
            name: "input file, output directory",
            help: "OpenMetrics file to read samples from. Output directory for generated blocks (default is data/).",
            min: 1,
            max: 2,
        }),
        run: |parsed, deps| Box::pin(tsdb::openmetrics::run(parsed, deps)),
    },
    WordsTool {
        full_name: "tools tsdb create-blocks-from rules",
        about: "Create blocks of data for new recording rules, in a directory or straight in a bucket. Started again, it goes on where it was.",
        flags: tsdb::backfill::FLAGS,
        arg: any(
            "rule-files",
            "A list of one or more files containing recording rules to be backfilled. All recording rules listed in the files will be backfilled. Alerting rules are not evaluated.",
            1,
        ),
        run: |parsed, deps| Box::pin(tsdb::backfill::run(parsed, deps)),
    },
    WordsTool {
        full_name: "tools test rules",
        about: "Unit tests for rules.",
        flags: unit::FLAGS,
        arg: any("test-rule-file", "The unit test file.", 1),
        run: |parsed, deps| Box::pin(unit::run(parsed, deps)),
    },
    WordsTool {
        full_name: "tools rules backtest",
        about: "Tell when each alert of rule files would have fired, over the history that a Prometheus API serves.",
        flags: backtest::FLAGS,
        arg: any("rule-file", "The rule files.", 1),
        run: |parsed, deps| Box::pin(backtest::run(parsed, deps)),
    },
    WordsTool {
        full_name: "tools promql format",
        about: "Format PromQL query to pretty printed form.",
        flags: &[],
        arg: Some(flags::Arg { name: "query", help: "PromQL query.", min: 1, max: 1 }),
        run: |parsed, deps| Box::pin(async move { expressions::format(parsed, deps) }),
    },
    WordsTool {
        full_name: "tools promql label-matchers set",
        about: "Set a label matcher in the query.",
        flags: expressions::SET_FLAGS,
        arg: Some(flags::Arg {
            name: "query, name, value",
            help: "PromQL query, label matcher name and value.",
            min: 3,
            max: 3,
        }),
        run: |parsed, deps| Box::pin(async move { expressions::set(parsed, deps) }),
    },
    WordsTool {
        full_name: "tools promql label-matchers delete",
        about: "Delete a label from the query.",
        flags: &[],
        arg: Some(flags::Arg {
            name: "query, name",
            help: "PromQL query and name of the label to delete.",
            min: 2,
            max: 2,
        }),
        run: |parsed, deps| Box::pin(async move { expressions::delete(parsed, deps) }),
    },
];
