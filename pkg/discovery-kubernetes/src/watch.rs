//! One watch: a list of all objects, then each change, for ever.
//!
//! The protocol is <https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes>. A connection
//! that ends is taken up again from the version that was seen last; a server that does not know this version any more (410) is
//! asked for a list again. Whatever fails, the objects stay as they were.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use kube::core::Status;
use tokio::time::{Instant, timeout};
use tracing::debug;
use url::form_urlencoded::Serializer;

use crate::limits::{Limits, Random};
use crate::metrics::Metrics;
use crate::objects::{Change, Key, Object, Page, Resource};
use crate::server::{Answer, ApiServer, Cut, Lines, whole};
use crate::store::Store;

/// Bytes that are read of an answer which says why there is none.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

/// Which objects are meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Wanted {
    pub(crate) resource: Resource,
    /// `None` for all namespaces.
    pub(crate) namespace: Option<String>,
    /// Label selector; empty for all objects.
    pub(crate) labels: String,
    /// Field selector; empty for all objects.
    pub(crate) fields: String,
}

impl Wanted {
    /// The name of the watch where it is spoken of: resource, then namespace.
    pub(crate) fn name(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{}/{namespace}", self.resource.plural()),
            None => self.resource.plural().to_owned(),
        }
    }

    fn url(&self, more: &[(&str, &str)]) -> String {
        let mut query = Serializer::new(String::new());
        for (name, value) in [("labelSelector", &self.labels), ("fieldSelector", &self.fields)] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        query.extend_pairs(more);
        format!("{}?{}", self.resource.path(self.namespace.as_deref()), query.finish())
    }

    fn place(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{} in namespace {namespace}", self.resource.plural()),
            None => format!("{} of the whole cluster", self.resource.plural()),
        }
    }
}

/// What is done next.
#[derive(Debug, Clone, PartialEq)]
enum Next {
    List,
    Follow(String),
}

/// When it is done.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Pace {
    /// At once; all is well.
    Well,
    /// At once.
    Now,
    /// After a pause.
    Later,
}

/// Why something failed, and what is done next.
struct Failure {
    text: String,
    next: Next,
}

/// One watch, at work.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) server: Arc<dyn ApiServer>,
    pub(crate) wanted: Wanted,
    pub(crate) store: Arc<Store>,
    pub(crate) limits: Limits,
    pub(crate) random: Random,
    pub(crate) metrics: Metrics,
}

impl Watch {
    /// Watches until it is dropped.
    pub(crate) async fn run(self) {
        let mut next = Next::List;
        let mut failed = 0;
        loop {
            let result = match &next {
                Next::List => self.list().await.map(|version| (Next::Follow(version), Pace::Now)).or_else(|e| e),
                Next::Follow(version) => self.follow(version.clone()).await,
            };
            let pace = match result {
                Ok((then, pace)) => {
                    next = then;
                    pace
                }
                Err(Failure { text, next: then }) => {
                    self.metrics.failures.inc();
                    self.store.set_failure(Some(&text));
                    next = then;
                    Pace::Later
                }
            };
            match pace {
                Pace::Well => failed = 0,
                Pace::Now => {}
                Pace::Later => {
                    tokio::time::sleep(self.pause(failed)).await;
                    failed += 1;
                }
            }
        }
    }

    /// The pause after this many failures: twice as long each time, a half of it left to chance.
    fn pause(&self, failed: u32) -> Duration {
        let longest = self.limits.retry_min.saturating_mul(1 << failed.min(16)).min(self.limits.retry_max);
        longest.mul_f64(0.5 + 0.5 * self.random.part())
    }

    /// Reads all objects and returns the version that they show.
    async fn list(&self) -> Result<String, Result<(Next, Pace), Failure>> {
        let failure = |text: String| -> Result<(Next, Pace), Failure> { Err(Failure { text, next: Next::List }) };
        let limit = self.limits.page_objects.to_string();
        let mut shown: HashSet<Key> = HashSet::new();
        let mut waiting: Vec<Object> = Vec::new();
        let mut more: Option<String> = None;
        loop {
            let mut query = vec![("limit", limit.as_str())];
            query.extend(more.as_deref().map(|more| ("continue", more)));
            let answer = self.get("list", &self.wanted.url(&query)).await.map_err(failure)?;
            match answer.status {
                200 => {}
                // The list changed too much since its first page.
                410 if more.is_some() => return Err(Ok((Next::List, Pace::Later))),
                _ => return Err(failure(self.refusal("list", answer).await)),
            }
            let page = self.page(answer).await.map_err(failure)?;
            for object in page.objects {
                shown.insert(object.meta().key());
                // There may be room when those that are gone are known.
                waiting.extend(self.store.put(object).err());
            }
            if shown.len() > self.limits.objects_max {
                return Err(failure(self.too_many()));
            }
            more = page.more;
            if more.is_none() {
                if page.version.is_empty() {
                    return Err(failure(format!("list {}: the answer has no resourceVersion", self.wanted.place())));
                }
                self.store.forget_others(&shown);
                for object in waiting {
                    self.store.put(object).map_err(|_| failure(self.too_many()))?;
                }
                self.store.set_synced();
                return Ok(page.version);
            }
        }
    }

    async fn page(&self, answer: Answer) -> Result<Page, String> {
        let doing = || format!("list {}", self.wanted.place());
        let max = self.limits.page_bytes_max;
        let body = match timeout(self.limits.request_timeout, whole(answer.body, max)).await {
            Ok(Ok(body)) => body,
            Ok(Err(Cut::Broken(e))) => return Err(format!("{}: {e}", doing())),
            Ok(Err(Cut::TooLong)) => {
                return Err(format!("{}: {} objects take more than {max} bytes", doing(), self.limits.page_objects));
            }
            Err(_) => return Err(format!("{}: no end within {:?}", doing(), self.limits.request_timeout)),
        };
        let resource = self.wanted.resource;
        // Megabytes take a while.
        let read = match tokio::task::spawn_blocking(move || resource.page(&body)).await {
            Ok(read) => read.map_err(|e| e.to_string()),
            Err(e) => Err(e.to_string()),
        };
        read.map_err(|e| format!("{}: the answer cannot be read: {e}", doing()))
    }

    /// Takes in changes after `version` until the connection ends.
    async fn follow(&self, mut version: String) -> Result<(Next, Pace), Failure> {
        // Watches that began together do not end together.
        let lasts = self.limits.watch_duration.mul_f64(1.0 + self.random.part());
        let seconds = lasts.as_secs().max(1).to_string();
        let url = self.wanted.url(&[
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", &version),
            ("timeoutSeconds", &seconds),
        ]);
        let failure = |text: String, version: String| Failure { text, next: Next::Follow(version) };
        let answer = self.get("watch", &url).await.map_err(|text| failure(text, version.clone()))?;
        match answer.status {
            200 => self.store.set_failure(None),
            410 => return Ok((Next::List, Pace::Later)),
            _ => return Err(failure(self.refusal("watch", answer).await, version)),
        }
        let mut lines = Lines::new(answer.body, self.limits.event_bytes_max);
        let (began, silence_max) = (Instant::now(), lasts + self.limits.request_timeout);
        let mut pace = Pace::Later;
        let why = loop {
            match timeout(silence_max, lines.next()).await {
                Ok(None) => break "the server ended it".to_owned(),
                Ok(Some(Ok(line))) => match self.take_in(&line, &mut version)? {
                    Taken::Change => pace = Pace::Well,
                    Taken::Expired => return Ok((Next::List, if pace == Pace::Well { Pace::Now } else { pace })),
                },
                Ok(Some(Err(Cut::Broken(e)))) => break e,
                Ok(Some(Err(Cut::TooLong))) => {
                    let max = self.limits.event_bytes_max;
                    let text = format!("watch {}: an object takes more than {max} bytes", self.wanted.place());
                    return Err(Failure { text, next: Next::List });
                }
                Err(_) => break format!("nothing came for {silence_max:?}"),
            }
        };
        debug!(watch = %self.wanted.name(), why, "a watch ended and is taken up again");
        let pace = if began.elapsed() >= self.limits.retry_min { Pace::Well } else { pace };
        Ok((Next::Follow(version), pace))
    }

    fn take_in(&self, line: &[u8], version: &mut String) -> Result<Taken, Failure> {
        let failure =
            |why: String| Err(Failure { text: format!("watch {}: {why}", self.wanted.place()), next: Next::List });
        match self.wanted.resource.change(line) {
            Ok(Change::Put(object)) => {
                let now = object.meta().resource_version.to_string();
                if self.store.put(object).is_err() {
                    return Err(Failure { text: self.too_many(), next: Next::List });
                }
                go_on_from(version, now);
            }
            Ok(Change::Gone(object)) => {
                self.store.remove(&object.meta().key());
                go_on_from(version, object.meta().resource_version.to_string());
            }
            Ok(Change::Version(now)) => go_on_from(version, now),
            Ok(Change::Failed(status)) if status.code == 410 => return Ok(Taken::Expired),
            Ok(Change::Failed(status)) => return failure(format!("{} ({})", status.message, status.code)),
            Err(e) => return failure(format!("a change cannot be read: {e}")),
        }
        Ok(Taken::Change)
    }

    async fn get(&self, verb: &str, url: &str) -> Result<Answer, String> {
        let (limit, began) = (self.limits.request_timeout, Instant::now());
        let result = match timeout(limit, self.server.get(url)).await {
            Ok(result) => result,
            Err(_) => Err(format!("no answer within {limit:?}")),
        };
        let path = url.split('?').next().unwrap_or(url);
        self.metrics.request(path, result.as_ref().ok().map(|answer| answer.status), began.elapsed());
        result.map_err(|e| format!("{verb} {}: {e}", self.wanted.place()))
    }

    /// What a refusal means and what to do about it.
    async fn refusal(&self, verb: &str, answer: Answer) -> String {
        let status = answer.status;
        let body = match timeout(self.limits.request_timeout, whole(answer.body, REFUSAL_BYTES_MAX)).await {
            Ok(Ok(body)) => body,
            _ => bytes::Bytes::new(),
        };
        let said = serde_json::from_slice::<Status>(&body).map(|status| status.message).unwrap_or_default();
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        let (place, resource) = (self.wanted.place(), self.wanted.resource);
        let advice = match status {
            401 => "check the token or the client certificate".to_owned(),
            403 => {
                let group = match resource.group() {
                    "" => String::new(),
                    group => format!(" of API group {group}"),
                };
                let role = if self.wanted.namespace.is_some() { "Role" } else { "ClusterRole" };
                format!("give the account the verbs list and watch on {}{group} by a {role}", resource.plural())
            }
            404 => "check the URL of the API server and its version".to_owned(),
            429 => "the server is asked again later".to_owned(),
            _ => return format!("{verb} {place}: HTTP status {status}{said}"),
        };
        format!("{verb} {place}: HTTP status {status}{said}; {advice}")
    }

    fn too_many(&self) -> String {
        let (max, place) = (self.limits.objects_max, self.wanted.place());
        format!(
            "there are more than {max} {place}, the most that are taken; targets stay as they were: narrow namespaces or \
             selectors, or raise the limit"
        )
    }
}

/// What a line was.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Taken {
    Change,
    Expired,
}

fn go_on_from(version: &mut String, now: String) {
    if !now.is_empty() {
        *version = now;
    }
}
