//! `aion tools check service-discovery`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use config::{Discoverers, DiscoveryLimits, Job, LoadOptions, ProviderConfig};
use discovery::{Update, Updates};
use discovery_kubernetes::{Limits, SERVICE_ACCOUNT, Surroundings};
use flags::{Flag, Parsed};
use labels::Labels;
use scrape::{Preview, preview};
use serde_json::{Map, Value};
use service::tool::Deps;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::common::Outcome;
use crate::Error;

pub(super) const FLAGS: &[Flag] = &[Flag::duration("timeout", "30s", "The time to wait for discovery results.")];

pub(super) async fn run(parsed: &Parsed, deps: &mut Deps<'_>) -> Outcome {
    let [file, name] = parsed.args() else {
        return Err(Error::Usage("a config file and the name of a job are needed".to_owned()));
    };
    let env = deps.env.clone();
    let loaded = config::load(Path::new(file), LoadOptions::default(), &*env)
        .map_err(|e| Error::Failed(format!("Cannot load config: {e}")))?;
    let Some(job) = loaded.jobs.iter().find(|job| job.scrape.job_name == *name) else {
        let jobs: String = loaded.jobs.iter().map(|job| format!("\n\t{}", job.scrape.job_name)).collect();
        return Err(Error::Failed(format!("Job {name} not found. Select one of:{jobs}")));
    };
    let timeout = Duration::from_millis(parsed.duration_ms("timeout").max(1).unsigned_abs());
    let found = discover(job, deps, timeout).await?;
    let failures: Vec<&String> = found.values().filter_map(|update| update.failure.as_ref()).collect();
    for failure in &failures {
        tracing::error!(failure, "targets could not be discovered");
    }
    let mut shown: Vec<Preview> = Vec::new();
    for update in found.values() {
        for target in preview(&job.scrape, &update.group) {
            if !shown.contains(&target) {
                shown.push(target);
            }
        }
    }
    let list = Value::Array(shown.iter().map(object).collect());
    deps.print(&format!("{list:#}\n"))?;
    Ok(u8::from(!failures.is_empty()))
}

/// What discoverers find until the time is over, or before it where all is known: by discoverer and source.
async fn discover(job: &Job, deps: &Deps<'_>, timeout: Duration) -> Result<BTreeMap<(usize, String), Update>, Error> {
    let surroundings = Surroundings {
        env: deps.env.clone(),
        random: deps.random.clone(),
        service_account: SERVICE_ACCOUNT.into(),
        limits: Limits::default(),
    };
    let discoverers = Discoverers::new(&deps.metrics, DiscoveryLimits::default(), surroundings);
    let stop = CancellationToken::new();
    let (sender, mut receiver) = mpsc::channel(16);
    let providers = job.discovery.providers();
    for (number, provider) in providers.iter().enumerate() {
        let discoverer = discoverers
            .build(&job.scrape.job_name, provider)
            .map_err(|e| Error::Failed(format!("{}: {e}", provider.mechanism())))?;
        let updates = Updates::new(number, sender.clone());
        tokio::spawn(discoverer.run(updates, stop.child_token()));
    }
    drop(sender);
    // Those that tell all at once; others find more and more.
    let mut waiting: Vec<bool> = vec![true; providers.len()];
    let tells_all = |provider: &ProviderConfig| {
        matches!(provider, ProviderConfig::Static(_) | ProviderConfig::File(_) | ProviderConfig::Http(_))
    };
    let mut found = BTreeMap::new();
    let all = async {
        while let Some((number, updates)) = receiver.recv().await {
            waiting[number] = waiting[number] && !tells_all(&providers[number]);
            for update in updates {
                found.insert((number, update.group.source.clone()), update);
            }
            if !waiting.contains(&true) {
                break;
            }
        }
    };
    // Running out of time is how the others end.
    let _ = tokio::time::timeout(timeout, deps.shutdown.run_until_cancelled(all)).await;
    stop.cancel();
    Ok(found)
}

fn object(target: &Preview) -> Value {
    let labels = |labels: &Labels| -> Value {
        Value::Object(labels.iter().map(|(name, value)| (name.to_owned(), value.into())).collect::<Map<_, _>>())
    };
    let mut out = Map::new();
    out.insert("discoveredLabels".to_owned(), labels(&target.discovered));
    out.insert("labels".to_owned(), labels(&target.labels));
    if let Some(error) = &target.error {
        out.insert("error".to_owned(), error.as_str().into());
    }
    Value::Object(out)
}
