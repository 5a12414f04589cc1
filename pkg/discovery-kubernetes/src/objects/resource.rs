//! Which resources there are, where the API server has them, and how their objects are read.

use std::sync::Arc;

use k8s_openapi::api::{apps, batch, core, discovery, networking};
use kube::core::Status;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Error as _};

use super::meta::{Meta, nullable};
use super::parts::{EndpointSlice, Endpoints, Ingress, Named, Node, Pod, Service};
use crate::config::Role;

/// A resource of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Resource {
    Node,
    Namespace,
    Pod,
    Service,
    Endpoints,
    EndpointSlice,
    Ingress,
    ReplicaSet,
    Job,
}

/// An object of any resource.
#[derive(Debug, Clone)]
pub(crate) enum Object {
    Node(Arc<Node>),
    Pod(Arc<Pod>),
    Service(Arc<Service>),
    Endpoints(Arc<Endpoints>),
    EndpointSlice(Arc<EndpointSlice>),
    Ingress(Arc<Ingress>),
    Named(Arc<Named>),
}

impl Object {
    /// Its metadata.
    pub(crate) fn meta(&self) -> &Meta {
        match self {
            Self::Node(object) => &object.metadata,
            Self::Pod(object) => &object.metadata,
            Self::Service(object) => &object.metadata,
            Self::Endpoints(object) => &object.metadata,
            Self::EndpointSlice(object) => &object.metadata,
            Self::Ingress(object) => &object.metadata,
            Self::Named(object) => &object.metadata,
        }
    }
}

/// One page of a list.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) objects: Vec<Object>,
    /// The state of the cluster that the list shows.
    pub(crate) version: String,
    /// What the next page is asked for with; `None` at the last one.
    pub(crate) more: Option<String>,
}

/// One line of a watch.
#[derive(Debug)]
pub(crate) enum Change {
    /// It is there, or has changed.
    Put(Object),
    /// It is gone; this is what it was.
    Gone(Object),
    /// Nothing but a newer version, to go on from.
    Version(String),
    /// The server cannot go on.
    Failed(Box<Status>),
}

#[derive(Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
struct List<T> {
    #[serde(default)]
    metadata: ListMeta,
    #[serde(default, deserialize_with = "nullable")]
    items: Vec<T>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ListMeta {
    #[serde(deserialize_with = "nullable")]
    resource_version: String,
    #[serde(rename = "continue", deserialize_with = "nullable")]
    more: String,
}

/// A line of a watch, its object yet to be read.
#[derive(Deserialize)]
#[serde(tag = "type", content = "object", rename_all = "UPPERCASE")]
enum Event<T> {
    Added(T),
    Modified(T),
    Deleted(T),
    Bookmark(Named),
    Error(Box<Status>),
}

impl Resource {
    /// The one whose objects a role makes targets of.
    pub(crate) fn of(role: Role) -> Self {
        match role {
            Role::Node => Self::Node,
            Role::Pod => Self::Pod,
            Role::Service => Self::Service,
            Role::Endpoints => Self::Endpoints,
            Role::EndpointSlice => Self::EndpointSlice,
            Role::Ingress => Self::Ingress,
        }
    }

    /// The role that may select from its objects, and that events are counted for.
    pub(crate) fn role(self) -> Option<Role> {
        Role::ALL.into_iter().find(|role| Self::of(*role) == self)
    }

    /// API group, version and name in URLs.
    fn place(self) -> (&'static str, &'static str, &'static str) {
        fn of<R: k8s_openapi::Resource>() -> (&'static str, &'static str, &'static str) {
            (R::GROUP, R::VERSION, R::URL_PATH_SEGMENT)
        }
        match self {
            Self::Node => of::<core::v1::Node>(),
            Self::Namespace => of::<core::v1::Namespace>(),
            Self::Pod => of::<core::v1::Pod>(),
            Self::Service => of::<core::v1::Service>(),
            Self::Endpoints => of::<core::v1::Endpoints>(),
            Self::EndpointSlice => of::<discovery::v1::EndpointSlice>(),
            Self::Ingress => of::<networking::v1::Ingress>(),
            Self::ReplicaSet => of::<apps::v1::ReplicaSet>(),
            Self::Job => of::<batch::v1::Job>(),
        }
    }

    /// The name in URLs and in rights.
    pub(crate) fn plural(self) -> &'static str {
        self.place().2
    }

    /// The API group as rights name it; empty for the oldest one.
    pub(crate) fn group(self) -> &'static str {
        self.place().0
    }

    /// Whether its objects are in no namespace.
    pub(crate) fn is_of_cluster(self) -> bool {
        matches!(self, Self::Node | Self::Namespace)
    }

    /// Path of the URL of its list.
    pub(crate) fn path(self, namespace: Option<&str>) -> String {
        let (group, version, name) = self.place();
        let api = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        match namespace {
            Some(namespace) => format!("{api}/namespaces/{namespace}/{name}"),
            None => format!("{api}/{name}"),
        }
    }

    /// Reads a page of a list.
    pub(crate) fn page(self, body: &[u8]) -> serde_json::Result<Page> {
        self.read::<PageOf>(body)
    }

    /// Reads a line of a watch.
    pub(crate) fn change(self, line: &[u8]) -> serde_json::Result<Change> {
        self.read::<ChangeOf>(line)
    }

    fn read<R: Read>(self, bytes: &[u8]) -> serde_json::Result<R::Out> {
        match self {
            Self::Node => R::read(bytes, Object::Node),
            Self::Pod => R::read(bytes, Object::Pod),
            Self::Service => R::read(bytes, Object::Service),
            Self::Endpoints => R::read(bytes, Object::Endpoints),
            Self::EndpointSlice => R::read(bytes, Object::EndpointSlice),
            Self::Ingress => R::read(bytes, Object::Ingress),
            Self::Namespace | Self::ReplicaSet | Self::Job => R::read(bytes, Object::Named),
        }
    }
}

/// Something that is read out of bytes, whatever the type of the objects in it.
trait Read {
    type Out;

    fn read<T: DeserializeOwned>(bytes: &[u8], object: fn(Arc<T>) -> Object) -> serde_json::Result<Self::Out>;
}

/// Refuses what could not be told from others.
fn with_name(object: Object) -> serde_json::Result<Object> {
    match &*object.meta().name {
        "" => Err(serde_json::Error::custom("an object has no name")),
        _ => Ok(object),
    }
}

struct PageOf;

impl Read for PageOf {
    type Out = Page;

    fn read<T: DeserializeOwned>(bytes: &[u8], object: fn(Arc<T>) -> Object) -> serde_json::Result<Page> {
        let list: List<T> = serde_json::from_slice(bytes)?;
        let objects: serde_json::Result<_> =
            list.items.into_iter().map(|item| with_name(object(Arc::new(item)))).collect();
        Ok(Page {
            objects: objects?,
            version: list.metadata.resource_version,
            more: Some(list.metadata.more).filter(|more| !more.is_empty()),
        })
    }
}

struct ChangeOf;

impl Read for ChangeOf {
    type Out = Change;

    fn read<T: DeserializeOwned>(bytes: &[u8], object: fn(Arc<T>) -> Object) -> serde_json::Result<Change> {
        Ok(match serde_json::from_slice::<Event<T>>(bytes)? {
            Event::Added(item) | Event::Modified(item) => Change::Put(with_name(object(Arc::new(item)))?),
            Event::Deleted(item) => Change::Gone(with_name(object(Arc::new(item)))?),
            Event::Bookmark(named) => Change::Version(named.metadata.resource_version.into()),
            Event::Error(status) => Change::Failed(status),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (resource, namespace, path) in [
            (Resource::Pod, None, "/api/v1/pods"),
            (Resource::Pod, Some("a"), "/api/v1/namespaces/a/pods"),
            (Resource::Node, None, "/api/v1/nodes"),
            (Resource::EndpointSlice, Some("a"), "/apis/discovery.k8s.io/v1/namespaces/a/endpointslices"),
            (Resource::Ingress, None, "/apis/networking.k8s.io/v1/ingresses"),
            (Resource::ReplicaSet, None, "/apis/apps/v1/replicasets"),
            (Resource::Job, None, "/apis/batch/v1/jobs"),
        ] {
            assert_eq!(resource.path(namespace), path);
        }
    }

    #[test]
    fn pages_and_changes() {
        let page = Resource::EndpointSlice
            .page(br#"{"kind":"x","metadata":{"resourceVersion":"7","continue":"abc"},"items":[
                {"metadata":{"name":"s","namespace":"n","labels":null,"managedFields":[{"a":{}}]},"endpoints":null,"ports":null}]}"#)
            .unwrap();
        assert_eq!(
            (page.version.as_str(), page.more.as_deref(), &*page.objects[0].meta().key()),
            ("7", Some("abc"), "n/s")
        );
        let page = Resource::Job.page(br#"{"metadata":{"resourceVersion":"7"},"items":null}"#).unwrap();
        assert_eq!((page.objects.len(), page.more), (0, None));

        let put = Resource::Node.change(br#"{"type":"MODIFIED","object":{"metadata":{"name":"a"}}}"#);
        assert!(matches!(put, Ok(Change::Put(object)) if &*object.meta().key() == "a"));
        let version = Resource::Node.change(br#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}}"#);
        assert!(matches!(version, Ok(Change::Version(version)) if version == "9"));
        let failed =
            Resource::Node.change(br#"{"type":"ERROR","object":{"code":410,"reason":"Expired","message":"old"}}"#);
        assert!(matches!(failed, Ok(Change::Failed(status)) if status.code == 410));
        for bad in [
            "",
            "{",
            r#"{"type":"X","object":{}}"#,
            r#"{"type":"ADDED","object":{"metadata":{"name":1}}}"#,
            r#"{"type":"ADDED","object":{}}"#,
        ] {
            assert!(Resource::Node.change(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
