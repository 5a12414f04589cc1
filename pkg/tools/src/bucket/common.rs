//! Flags and steps that several commands share.

use std::collections::BTreeSet;
use std::time::Duration;

use ::bucket::{FetchOptions, MetaFetcher, SyncMetrics, View};
use block::BlockId;
use flags::{Flag, Kind, Parsed};
use labels::Labels;
use objstore::{Bucket, OpenOptions};
use service::tool::Deps;
use transport::http::{HttpMetrics, Probe, common_routes};

use crate::Error;
use crate::output::Format;

pub(crate) const OBJSTORE_CONFIG_FILE: Flag =
    Flag::text("objstore.config-file", "", "Path to YAML file that contains object store configuration.")
        .placeholder("<file-path>");
pub(crate) const OBJSTORE_CONFIG: Flag =
    Flag::text("objstore.config", "", "Object store configuration, instead of a file.").placeholder("<content>");
pub(super) const OBJSTORE: &[Flag] = &[OBJSTORE_CONFIG_FILE, OBJSTORE_CONFIG];

/// Which blocks, by their external labels.
pub(super) const SELECTOR: &[Flag] = &[
    Flag::text(
        "selector.relabel-config-file",
        "",
        "Path to YAML file with relabeling configuration that allows selecting blocks to act on based on their external labels.",
    )
    .placeholder("<file-path>"),
    Flag::text("selector.relabel-config", "", "Relabeling configuration that selects blocks, instead of a file.")
        .placeholder("<content>"),
];

/// Which blocks, by their time.
pub(super) const TIMES: &[Flag] = &[
    Flag::new(
        "min-time",
        Kind::Time,
        "0000-01-01T00:00:00Z",
        "Start of the time range of blocks: only those that end later. Option can be a constant time in RFC3339 format or time duration relative to current time, such as -1d or 2h45m. Valid duration units are ms, s, m, h, d, w, y.",
    ),
    Flag::new(
        "max-time",
        Kind::Time,
        "9999-12-31T23:59:59Z",
        "End of the time range of blocks: only those that begin earlier. Option can be a constant time in RFC3339 format or time duration relative to current time, such as -1d or 2h45m. Valid duration units are ms, s, m, h, d, w, y.",
    ),
];

/// For commands that take blocks away.
pub(super) const DRY_RUN: &[Flag] =
    &[Flag::switch_on("dry-run", "Only print what would be done. Pass --no-dry-run to do it.")];

/// The bucket of `--<flag>`, or of `--<flag>-file`; `None` where neither is given. `labels` are put on its metrics.
pub(crate) fn bucket_of(
    parsed: &Parsed,
    flag: &str,
    labels: &[(&str, &str)],
    deps: &Deps<'_>,
) -> Result<Option<Bucket>, Error> {
    let Some(yaml) = parsed.content(flag)? else { return Ok(None) };
    let env = deps.env.clone();
    let metrics = deps.metrics.with_labels(labels);
    let options = OpenOptions { metrics: Some(metrics), clock: deps.clock.clone(), ..OpenOptions::default() };
    let opened = objstore::Config::parse(&yaml, &|name| env(name)).and_then(|config| config.open(&options));
    opened.map(Some).map_err(|e| Error::Usage(format!("{}: {e}", parsed.origin(flag))))
}

/// The bucket that every command needs.
pub(super) fn open_bucket(parsed: &Parsed, deps: &Deps<'_>) -> Result<Bucket, Error> {
    bucket_of(parsed, "objstore.config", &[], deps)?.ok_or_else(no_bucket)
}

/// The mistake of giving none.
pub(super) fn no_bucket() -> Error {
    Error::Usage("a bucket is needed: give --objstore.config-file or --objstore.config".to_owned())
}

pub(super) fn block_ids(parsed: &Parsed) -> Result<BTreeSet<BlockId>, Error> {
    let parse = |text: &String| BlockId::parse(text).map_err(|e| Error::Usage(format!("--id: {e}")));
    parsed.list("id").iter().map(parse).collect()
}

/// The values of `--id` where at least one is needed.
pub(super) fn needed_block_ids(parsed: &Parsed) -> Result<BTreeSet<BlockId>, Error> {
    match block_ids(parsed)? {
        ids if ids.is_empty() => Err(Error::Usage("required flag --id not provided".to_owned())),
        ids => Ok(ids),
    }
}

/// `--min-time` and `--max-time` in ms.
pub(super) fn times(parsed: &Parsed, now_ms: i64) -> Result<(i64, i64), Error> {
    let (min, max) = (parsed.time_ms("min-time", now_ms), parsed.time_ms("max-time", now_ms));
    if min > max {
        return Err(Error::Usage("invalid argument: --min-time can't be greater than --max-time".to_owned()));
    }
    Ok((min, max))
}

/// The values of `--<flag>`, `name="value"` pairs.
pub(crate) fn label_pairs(parsed: &Parsed, flag: &str) -> Result<Labels, Error> {
    promql_syntax::parse_flag_labels(flag, &parsed.list(flag)).map_err(Error::Usage)
}

/// `--output` where it is one of [`Format::WORDS`].
pub(super) fn format(parsed: &Parsed) -> Format {
    // the flag's kind lets nothing else through
    Format::parse(parsed.text("output")).unwrap_or(Format::Table)
}

/// The blocks there are, within `--timeout` where the command has one.
pub(super) async fn view(bucket: &Bucket, concurrency: usize, timeout_ms: i64, deps: &Deps<'_>) -> Result<View, Error> {
    let options = FetchOptions { concurrency: concurrency.max(1), ..FetchOptions::default() };
    let fetcher = MetaFetcher::new(bucket.clone(), options, SyncMetrics::new(&deps.metrics));
    let timeout = Duration::from_millis(timeout_ms.max(0) as u64);
    let fetched = match timeout.is_zero() {
        true => Ok(fetcher.fetch().await),
        false => tokio::time::timeout(timeout, fetcher.fetch()).await,
    };
    let text = || format!("the blocks of bucket {} were not read within {timeout:?}: raise --timeout", bucket.name());
    Ok(fetched.map_err(|_| Error::Failed(text()))??)
}

/// Logs blocks of which nothing is known; whether there are any.
pub(super) fn warn_of_unknown(view: &View) -> bool {
    for (id, why) in &view.failed {
        tracing::error!(block = %id, err = why, "block cannot be read");
    }
    !view.failed.is_empty()
}

/// Refuses to go on where not every block could be read: a block that seems superfluous may not be.
pub(super) fn need_complete(view: &View) -> Result<(), Error> {
    match view.failed.iter().next() {
        None => Ok(()),
        Some((id, why)) => Err(Error::Failed(format!(
            "{} blocks cannot be read, so nothing is changed; the first is {id}: {why}",
            view.failed.len()
        ))),
    }
}

/// The routes that every component has, served while a command runs on.
pub(super) struct ProbeServer(tokio::task::JoinHandle<()>);

impl ProbeServer {
    /// Waits for the end, which the shutdown brings.
    pub(super) async fn ended(self) -> Result<(), Error> {
        self.0.await.map_err(|e| Error::Failed(format!("the http server did not end well: {e}")))
    }
}

pub(super) async fn serve_probe(parsed: &Parsed, deps: &Deps<'_>) -> Result<ProbeServer, Error> {
    let probe = Probe::new("not begun");
    let router = HttpMetrics::new(&deps.metrics).wrap(common_routes(deps.metrics.clone(), probe.clone()));
    let (options, web) = transport::flags::http_server(parsed)?;
    let listener = transport::bind(parsed.text("http-address")).await?;
    let server = tokio::spawn(transport::serve(listener, web.wrap(router), options, deps.shutdown.clone()));
    probe.ready();
    Ok(ProbeServer(server))
}
