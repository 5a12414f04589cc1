//! An API server with lists, watches, bookmarks, and all that can go wrong with them. It answers in memory, so that a test can
//! stop the clock, and over HTTP.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use discovery_kubernetes::{Answer, ApiServer};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use url::Url;

/// Can be cloned: all clones are the same server.
#[derive(Debug, Clone, Default)]
pub struct Fake(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    version: u64,
    /// By resource, then by namespace and name.
    objects: BTreeMap<(String, String), BTreeMap<String, Value>>,
    /// Version, resource and namespace, line.
    log: Vec<(u64, (String, String), String)>,
    /// Versions before this one are forgotten.
    oldest: u64,
    /// How a version that is forgotten is answered: by a line of the watch, or by a status.
    gone_by_status: bool,
    refused: HashMap<String, u16>,
    down: bool,
    hangs: bool,
    watches: Vec<OpenWatch>,
    requests: Vec<String>,
}

#[derive(Debug)]
struct OpenWatch {
    resource: String,
    namespace: Option<String>,
    lines: mpsc::UnboundedSender<Result<Bytes, String>>,
}

/// Resource, namespace if the URL has one, query.
type Asked = (String, Option<String>, HashMap<String, String>);

fn parse(path: &str) -> Asked {
    let url = Url::parse(&format!("http://x{path}")).unwrap();
    let segments: Vec<&str> = url.path_segments().unwrap().collect();
    let at = segments.iter().position(|s| *s == "namespaces").filter(|at| segments.len() > at + 2);
    let namespace = at.map(|at| segments[at + 1].to_owned());
    (segments.last().unwrap().to_string(), namespace, url.query_pairs().into_owned().collect())
}

fn status(code: u16, message: &str) -> (u16, BoxStream<'static, Result<Bytes, String>>) {
    let body =
        json!({"kind": "Status", "status": "Failure", "code": code, "message": message, "reason": "R"}).to_string();
    (code, futures::stream::iter([Ok(Bytes::from(body))]).boxed())
}

impl Fake {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Creates or changes an object.
    pub fn put(&self, resource: &str, mut object: Value) {
        let mut state = self.state();
        state.version += 1;
        let version = state.version;
        object["metadata"]["resourceVersion"] = version.to_string().into();
        let text = |key: &str| object["metadata"][key].as_str().unwrap_or("").to_owned();
        let (place, name) = ((resource.to_owned(), text("namespace")), text("name"));
        let known = state.objects.entry(place.clone()).or_default().insert(name, object.clone());
        state.tell(place, if known.is_some() { "MODIFIED" } else { "ADDED" }, &object);
    }

    /// Deletes an object.
    pub fn delete(&self, resource: &str, namespace: &str, name: &str) {
        let mut state = self.state();
        let place = (resource.to_owned(), namespace.to_owned());
        let mut object = state.objects.get_mut(&place).unwrap().remove(name).unwrap();
        state.version += 1;
        object["metadata"]["resourceVersion"] = state.version.to_string().into();
        state.tell(place, "DELETED", &object);
    }

    /// Deletes an object, if there is one.
    pub fn delete_if_there(&self, resource: &str, namespace: &str, name: &str) {
        let place = (resource.to_owned(), namespace.to_owned());
        let there = self.state().objects.get(&place).is_some_and(|objects| objects.contains_key(name));
        if there {
            self.delete(resource, namespace, name);
        }
    }

    /// Sends a bookmark to all watches of a resource.
    pub fn bookmark(&self, resource: &str) {
        let state = self.state();
        let line = json!({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": state.version.to_string()}}});
        state.send(resource, &line.to_string());
    }

    /// Sends any line to all watches of a resource.
    pub fn line(&self, resource: &str, line: &str) {
        self.state().send(resource, line);
    }

    /// Ends all watches, with an error or in good order.
    pub fn cut(&self, error: Option<&str>) {
        for watch in std::mem::take(&mut self.state().watches) {
            if let Some(error) = error {
                let _ = watch.lines.send(Err(error.to_owned()));
            }
        }
    }

    /// Forgets all versions before now.
    pub fn forget(&self, by_status: bool) {
        let mut state = self.state();
        state.version += 1;
        (state.oldest, state.gone_by_status) = (state.version, by_status);
        state.log.clear();
    }

    /// Answers requests for a resource with this status from now on; `200` is none.
    pub fn refuse(&self, resource: &str, status: u16) {
        self.state().refused.insert(resource.to_owned(), status);
    }

    /// Whether no connection can be made.
    pub fn set_down(&self, down: bool) {
        self.state().down = down;
    }

    /// Whether requests are taken and never answered.
    pub fn set_hangs(&self, hangs: bool) {
        self.state().hangs = hangs;
    }

    /// All requests so far that hold `part`.
    pub fn requests(&self, part: &str) -> Vec<String> {
        self.state().requests.iter().filter(|request| request.contains(part)).cloned().collect()
    }

    /// The resources that are watched now, sorted.
    pub fn watched(&self) -> Vec<String> {
        let mut state = self.state();
        state.watches.retain(|watch| !watch.lines.is_closed());
        let mut out: Vec<String> = state.watches.iter().map(|watch| watch.resource.clone()).collect();
        out.sort();
        out
    }

    /// Answers a request; `None` for ever.
    pub fn answer(&self, path: &str) -> Option<(u16, BoxStream<'static, Result<Bytes, String>>)> {
        let asked = parse(path);
        let mut state = self.state();
        state.requests.push(path.to_owned());
        if state.hangs {
            return None;
        }
        let refused = state.refused.get(&asked.0).copied().filter(|status| *status != 200);
        Some(match refused {
            Some(code) => status(code, &format!("{} is forbidden: User \"u\" cannot list resource", asked.0)),
            None if asked.2.contains_key("watch") => state.watch(asked),
            None => state.list(asked),
        })
    }
}

impl State {
    fn tell(&mut self, place: (String, String), kind: &str, object: &Value) {
        let line = json!({"type": kind, "object": object}).to_string();
        let wants = |watch: &OpenWatch| {
            watch.resource == place.0 && watch.namespace.as_ref().is_none_or(|namespace| *namespace == place.1)
        };
        for watch in self.watches.iter().filter(|watch| wants(watch)) {
            let _ = watch.lines.send(Ok(Bytes::from(format!("{line}\n"))));
        }
        self.log.push((self.version, place, line));
    }

    fn send(&self, resource: &str, line: &str) {
        for watch in self.watches.iter().filter(|watch| watch.resource == resource) {
            // In two pieces, as networks do.
            let (head, tail) = line.split_at(line.len() / 2);
            let _ = watch.lines.send(Ok(Bytes::from(head.to_owned())));
            let _ = watch.lines.send(Ok(Bytes::from(format!("{tail}\n"))));
        }
    }

    fn list(&self, (resource, namespace, query): Asked) -> (u16, BoxStream<'static, Result<Bytes, String>>) {
        let wants = |place: &(String, String)| {
            place.0 == resource && namespace.as_ref().is_none_or(|namespace| *namespace == place.1)
        };
        let all: Vec<&Value> =
            self.objects.iter().filter(|(place, _)| wants(place)).flat_map(|(_, objects)| objects.values()).collect();
        let from: usize = match query.get("continue").and_then(|token| token.split_once('@')) {
            Some((_, version)) if version.parse::<u64>().unwrap() < self.oldest => {
                return status(410, "continue is too old");
            }
            Some((from, _)) => from.parse().unwrap(),
            None => 0,
        };
        let limit: usize = query["limit"].parse().unwrap();
        let items = &all[from..all.len().min(from + limit)];
        let more = if from + limit < all.len() { format!("{}@{}", from + limit, self.version) } else { String::new() };
        let metadata = json!({"resourceVersion": self.version.to_string(), "continue": more});
        let body = json!({"kind": "List", "metadata": metadata, "items": items}).to_string();
        (200, futures::stream::iter([Ok(Bytes::from(body))]).boxed())
    }

    fn watch(&mut self, (resource, namespace, query): Asked) -> (u16, BoxStream<'static, Result<Bytes, String>>) {
        let from: u64 = query["resourceVersion"].parse().unwrap();
        if from < self.oldest {
            let gone = json!({"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old"}});
            return match self.gone_by_status {
                true => status(410, "too old resource version"),
                false => (200, futures::stream::iter([Ok(Bytes::from(format!("{gone}\n")))]).boxed()),
            };
        }
        let (lines, inbox) = mpsc::unbounded_channel();
        for (version, place, line) in &self.log {
            if *version > from && place.0 == resource && namespace.as_ref().is_none_or(|n| *n == place.1) {
                lines.send(Ok(Bytes::from(format!("{line}\n")))).unwrap();
            }
        }
        self.watches.push(OpenWatch { resource, namespace, lines });
        let next = |mut inbox: mpsc::UnboundedReceiver<_>| async move { inbox.recv().await.map(|line| (line, inbox)) };
        (200, futures::stream::unfold(inbox, next).boxed())
    }
}

impl ApiServer for Fake {
    fn get(&self, path: &str) -> BoxFuture<'static, Result<Answer, String>> {
        if self.state().down {
            return Box::pin(async { Err("connection refused".to_owned()) });
        }
        let answer = self.answer(path);
        Box::pin(async move {
            match answer {
                Some((status, body)) => Ok(Answer { status, body }),
                None => std::future::pending().await,
            }
        })
    }
}
