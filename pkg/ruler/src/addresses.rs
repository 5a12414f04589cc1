//! The addresses behind names and files, looked up again and again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use discovery::dns::{Names, Resolver, is_dynamic};
use discovery::file::{Files, Which, parse_groups};
use model::TargetGroup;
use parking_lot::Mutex;
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;

/// Sets of addresses by their order, each of fixed ones, names and files.
#[derive(Debug)]
pub struct AddressBook {
    sets: Vec<Set>,
    names: Names,
    interval: Duration,
}

#[derive(Debug)]
struct Set {
    fixed: Vec<String>,
    files: Mutex<Files<Vec<TargetGroup>>>,
}

impl AddressBook {
    /// Sets of addresses and of patterns of files. Nothing is looked up yet. Metrics begin with `prefix`.
    pub fn new(
        sets: impl IntoIterator<Item = (Vec<String>, Vec<String>)>,
        resolver: Arc<dyn Resolver>,
        interval: Duration,
        (prefix, metrics): (&str, &Metrics),
    ) -> Self {
        let lookups =
            metrics.counter(&format!("{prefix}_dns_lookups_total"), "The number of DNS lookups resolutions attempts.");
        let failures = metrics.counter(&format!("{prefix}_dns_failures_total"), "The number of DNS lookup failures.");
        let set = |(fixed, patterns): (Vec<String>, Vec<String>)| {
            let kinds = patterns.into_iter().map(|pattern| {
                let parse: discovery::file::Parse<Vec<TargetGroup>> = Box::new(parse_groups);
                (Which::Matching(pattern), parse)
            });
            Set { fixed, files: Mutex::new(Files::new(kinds.collect())) }
        };
        Self { sets: sets.into_iter().map(set).collect(), names: Names::new(resolver, lookups, failures), interval }
    }

    /// Reads the files and looks the names up again. What fails stays as it was, and is in the log.
    pub async fn refresh(&self) {
        for set in &self.sets {
            let mut files = set.files.lock();
            files.reload();
            for (path, loaded) in files.loaded() {
                if let Some(failure) = &loaded.failure {
                    tracing::warn!(path = %path.display(), failure, "a file of addresses cannot be read");
                }
            }
        }
        for address in self.listed().into_iter().flatten().filter(|address| is_dynamic(address)) {
            if let Some(failure) = self.names.look_up(&address).await.failure {
                tracing::warn!(address, failure, "a name cannot be looked up, its addresses stay as they were");
            }
        }
    }

    /// The addresses of each set as they are written.
    fn listed(&self) -> Vec<Vec<String>> {
        let of = |set: &Set| {
            let files = set.files.lock();
            let groups = files.loaded().filter_map(|(_, loaded)| loaded.value.as_ref()).flatten();
            let found = groups.flat_map(|group| group.addresses()).map(str::to_owned);
            set.fixed.iter().cloned().chain(found).collect()
        };
        self.sets.iter().map(of).collect()
    }

    /// The addresses of each set as they are known now, each once.
    pub fn known(&self) -> Vec<Vec<String>> {
        let names: BTreeMap<_, _> = self.names.all();
        let resolved = |address: String| match names.get(&address) {
            Some(resolved) => resolved.addresses.clone(),
            None if is_dynamic(&address) => Vec::new(),
            None => vec![address],
        };
        let one = |set: Vec<String>| {
            let mut all: Vec<String> = set.into_iter().flat_map(resolved).collect();
            all.sort();
            all.dedup();
            all
        };
        self.listed().into_iter().map(one).collect()
    }

    /// Keeps the addresses up to date until `shutdown`; tells `changed` after each look.
    pub async fn run(&self, changed: impl Fn(&Self), shutdown: CancellationToken) {
        let interval = self.interval.max(Duration::from_millis(100));
        loop {
            if shutdown.run_until_cancelled(self.refresh()).await.is_none() {
                return;
            }
            changed(self);
            if shutdown.run_until_cancelled(tokio::time::sleep(interval)).await.is_none() {
                return;
            }
        }
    }
}
