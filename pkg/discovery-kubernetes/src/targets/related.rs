//! Finding the other objects that an object's targets are told of.

use std::sync::Arc;

use super::set::Set;
use crate::config::AttachMetadata;
use crate::objects::{Key, Named, Node, Object, Pod, Reference, Resource, Service, key};

/// Gives objects by key, those that are watched.
pub(crate) trait Find {
    /// The object, if it is there.
    fn find(&self, resource: Resource, key: &str) -> Option<Object>;
}

/// Other objects, with a note of each that was asked for: when one of those changes, what was made with it is made again.
pub(crate) struct Related<'a> {
    objects: &'a dyn Find,
    pub(crate) attach: AttachMetadata,
    /// What was asked for, found or not.
    pub(crate) used: Vec<(Resource, Key)>,
}

impl<'a> Related<'a> {
    pub(crate) fn new(objects: &'a dyn Find, attach: AttachMetadata) -> Self {
        Self { objects, attach, used: Vec::new() }
    }

    fn find(&mut self, resource: Resource, key: Key) -> Option<Object> {
        let found = self.objects.find(resource, &key);
        self.used.push((resource, key));
        found
    }

    pub(super) fn service(&mut self, namespace: &str, name: &str) -> Option<Arc<Service>> {
        match self.find(Resource::Service, key(namespace, name))? {
            Object::Service(service) => Some(service),
            _ => None,
        }
    }

    /// The pod that an address belongs to.
    pub(super) fn pod(&mut self, reference: Option<&Reference>) -> Option<Arc<Pod>> {
        let reference = reference.filter(|reference| &*reference.kind == "Pod")?;
        match self.find(Resource::Pod, key(&reference.namespace, &reference.name))? {
            Object::Pod(pod) => Some(pod),
            _ => None,
        }
    }

    pub(super) fn node(&mut self, name: &str) -> Option<Arc<Node>> {
        match self.find(Resource::Node, key("", name))? {
            Object::Node(node) => Some(node),
            _ => None,
        }
    }

    /// The controller of this kind that made the controller of an object: a pod's deployment through its replica set.
    pub(super) fn maker(&mut self, through: Resource, namespace: &str, name: &str, kind: &str) -> Option<MakerName> {
        let Object::Named(named) = self.find(through, key(namespace, name))? else { return None };
        named.metadata.controller().is_some_and(|owner| &*owner.kind == kind).then_some(MakerName(named))
    }

    /// Adds labels and annotations of the namespace, if that is wanted.
    pub(super) fn put_namespace(&mut self, set: &mut Set, name: &str) {
        if self.attach.namespace
            && let Some(namespace) = self.find(Resource::Namespace, key("", name))
        {
            set.put_metadata("namespace", namespace.meta());
        }
    }

    /// Adds name, labels and annotations of the node, if that is wanted.
    pub(super) fn put_node(&mut self, set: &mut Set, name: Option<&str>) {
        if self.attach.node
            && let Some(node) = name.and_then(|name| self.node(name))
        {
            set.put_object("node", &node.metadata);
        }
    }
}

/// An object whose controller is meant.
pub(super) struct MakerName(Arc<Named>);

impl MakerName {
    pub(super) fn as_str(&self) -> &str {
        self.0.metadata.controller().map_or("", |owner| &owner.name)
    }
}
