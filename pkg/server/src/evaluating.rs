//! Rules of the configuration's files, evaluated over the database.

use std::sync::Arc;

use assembly::Deps;
use config::Loaded;
use notifier::Notify;
use promql::Evaluate;
use rules::{GroupSettings, GroupSpec, Manager, Metrics, NameScheme, ParseOptions};
use scrape::config::ValidationScheme;
use storage::Budget;
use tokio_util::sync::CancellationToken;
use tsdb::db::Tsdb;

use crate::config::Config;

/// The rules that are in force.
#[derive(Debug)]
pub struct Evaluating {
    manager: Arc<Manager>,
    parse: promql_syntax::ParseOptions,
    tsdb: Arc<Tsdb>,
}

impl Evaluating {
    /// Without rules yet.
    pub fn new(
        config: &Config,
        deps: &Deps,
        tsdb: Arc<Tsdb>,
        evaluator: Arc<dyn Evaluate>,
        notify: Arc<dyn Notify>,
        budget: Arc<Budget>,
    ) -> Self {
        let deps = rules::Deps {
            evaluator,
            appendable: tsdb.clone(),
            notify,
            clock: deps.clock.clone(),
            budget,
            metrics: Metrics::new(&deps.metrics),
        };
        let manager = Arc::new(Manager::new(config.rules.clone(), deps));
        Self { manager, parse: config.engine.parse, tsdb }
    }

    /// The groups of all rule files.
    ///
    /// # Errors
    /// Files that cannot be read, and all that is wrong in them.
    pub fn prepare(&self, loaded: &Loaded) -> Result<Vec<GroupSpec>, String> {
        let options = ParseOptions {
            promql: self.parse,
            names: match loaded.config.global.metric_name_validation_scheme {
                ValidationScheme::Legacy => NameScheme::Legacy,
                _ => NameScheme::Utf8,
            },
            ..ParseOptions::default()
        };
        let (mut groups, mut wrong) = (Vec::new(), Vec::new());
        for path in loaded.config.rule_paths().map_err(|e| e.to_string())? {
            let file = path.display().to_string();
            match std::fs::read_to_string(&path) {
                Ok(text) => match rules::parse(&file, &text, &options) {
                    Ok(found) => groups.extend(found),
                    Err(why) => wrong.push(format!("{file}: {why}")),
                },
                Err(why) => wrong.push(format!("{file}: {why}")),
            }
        }
        if wrong.is_empty() { Ok(groups) } else { Err(wrong.join("; ")) }
    }

    /// Puts other groups in force; groups that mean the same go on undisturbed.
    pub async fn apply(&self, groups: Vec<GroupSpec>, loaded: &Loaded) {
        let global = &loaded.config.global;
        let settings = GroupSettings {
            interval_ms: global.evaluation_interval.0,
            query_offset_ms: global.rule_query_offset.0,
            external_labels: global.external_labels(),
        };
        self.manager.update(groups, settings).await;
    }

    /// Evaluates from the end of the replay until `shutdown`: before, alerts could end or begin for want of data.
    pub async fn run(&self, shutdown: CancellationToken) {
        if shutdown.run_until_cancelled(self.tsdb.replayed()).await.is_some() {
            self.manager.run(shutdown).await;
        }
    }

    /// Tells of rules and alerts.
    pub fn manager(&self) -> &Arc<Manager> {
        &self.manager
    }
}
