//! Label sets with Kubernetes' names.

use labels::{Builder, Labels};

use crate::objects::{Meta, Pairs};

/// What the names of all labels of this discovery begin with.
const PREFIX: &str = "__meta_kubernetes_";

/// Labels that are collected. Empty values are no labels, as in Prometheus.
#[derive(Debug, Default, Clone)]
pub(super) struct Set {
    builder: Builder,
    /// The name of the label that was set last, kept for its memory.
    name: String,
}

impl Set {
    /// The address and what comes with it.
    pub(super) fn of_address(address: &str) -> Self {
        let mut set = Self::default();
        set.plain(model::ADDRESS_LABEL, address);
        set
    }

    /// Sets the label of this whole name.
    pub(super) fn plain(&mut self, name: &str, value: &str) {
        self.builder.set(name, value);
    }

    /// Sets the label of this name after the prefix.
    pub(super) fn put(&mut self, name: &str, value: &str) {
        self.name_of(&[name]);
        self.builder.set(&self.name, value);
    }

    /// As [`Self::put`], if there is a value.
    pub(super) fn put_some(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    /// Sets the label whose name ends with a name of the cluster's, every character of which that a label cannot have
    /// becoming an underscore.
    pub(super) fn put_named(&mut self, before: &str, name: &str, value: &str) {
        self.name_of(&[before]);
        self.name.extend(name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
        self.builder.set(&self.name, value);
    }

    /// Name, labels and annotations of an object.
    pub(super) fn put_object(&mut self, what: &str, meta: &Meta) {
        self.name_of(&[what, "_name"]);
        self.builder.set(&self.name, &meta.name);
        self.put_metadata(what, meta);
    }

    /// Labels and annotations of an object.
    pub(super) fn put_metadata(&mut self, what: &str, meta: &Meta) {
        self.put_pairs(&[what, "_label"], &meta.labels);
        self.put_pairs(&[what, "_annotation"], &meta.annotations);
    }

    fn put_pairs(&mut self, what: &[&str], pairs: &Pairs) {
        let [value, present] = ["_", "present_"].map(|end| [what, &[end]].concat().concat());
        for (name, text) in &pairs.0 {
            self.put_named(&value, name, text);
            self.put_named(&present, name, "true");
        }
    }

    /// Sets all labels of another set.
    pub(super) fn put_all(&mut self, other: &Self) {
        for (name, value) in other.builder.iter() {
            self.builder.set(name, value);
        }
    }

    /// The labels so far.
    pub(super) fn labels(&self) -> Labels {
        self.builder.build()
    }

    fn name_of(&mut self, parts: &[&str]) {
        self.name.clear();
        self.name.push_str(PREFIX);
        parts.iter().for_each(|part| self.name.push_str(part));
    }
}

/// `host:port`, an IPv6 address in brackets.
pub(super) fn join(host: &str, port: i64) -> String {
    if host.contains([':', '%']) { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
