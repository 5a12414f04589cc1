//! From attributes to labels. It is done for new series alone.

use std::ops::Range;

use ingest::wire::{Malformed, Reader};

use crate::any;
use crate::batch::{Batch, Pair, Stop, Text};
use crate::names::label_name;
use crate::settings::Settings;

/// Which label counts where several have one name: the one of the highest rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    Promoted,
    Attribute,
    Identity,
    ScopeAttribute,
    Scope,
    Type,
    Own,
}

/// A label on its way into a set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Label {
    pub name: Text,
    pub value: Text,
    pub rank: Rank,
}

/// Why a data point has no labels.
#[derive(Debug)]
pub(crate) enum Unlabelled {
    /// The data point is rejected.
    Rejected(String),
    /// The whole request is.
    Stopped(Stop),
}

impl From<Stop> for Unlabelled {
    fn from(stop: Stop) -> Self {
        Self::Stopped(stop)
    }
}

impl From<Malformed> for Unlabelled {
    fn from(error: Malformed) -> Self {
        Self::Stopped(Stop::Malformed(error))
    }
}

pub(crate) const SERVICE_NAME: &str = "service.name";
pub(crate) const SERVICE_NAMESPACE: &str = "service.namespace";
pub(crate) const SERVICE_INSTANCE: &str = "service.instance.id";

/// Adds the attributes of a data point or resource that are not `ignored`, each as a label. Those that have one name
/// when it is sanitised are joined by semicolons, in the order of their original names.
pub(crate) fn attributes(
    batch: &mut Batch<'_>,
    settings: &Settings,
    attributes: &[Reader<'_>],
    ignored: &[&str],
    out: &mut Vec<Label>,
) -> Result<(), Unlabelled> {
    let mut sorted = Vec::with_capacity(attributes.len());
    for attribute in attributes {
        let (key, value) = any::attribute(*attribute)?;
        if !ignored.contains(&key) {
            let value = batch.add_text(|text| any::write(value, text).map_err(Stop::from))?;
            sorted.push((key, value));
        }
    }
    if !settings.strategy.escapes() {
        for (key, value) in sorted {
            out.push(Label { name: batch.add_str(key)?, value, rank: Rank::Attribute });
        }
        return Ok(());
    }
    sorted.sort_by_key(|(key, _)| *key);
    let mut named = Vec::with_capacity(sorted.len());
    for (key, value) in sorted {
        named.push((label_name(settings, key).map_err(Unlabelled::Rejected)?, key, value));
    }
    named.sort_by(|a, b| a.0.cmp(&b.0));
    for same in named.chunk_by(|a, b| a.0 == b.0) {
        let (name, _, first) = &same[0];
        let value = if same.len() == 1 { *first } else { joined(batch, same)? };
        out.push(Label { name: batch.add_str(name)?, value, rank: Rank::Attribute });
    }
    Ok(())
}

/// The values of attributes that have one name now.
fn joined(batch: &mut Batch<'_>, same: &[(String, &str, Text)]) -> Result<Text, Stop> {
    let mut text = String::new();
    for (_, _, value) in same {
        if !text.is_empty() {
            text.push(';');
        }
        text.push_str(batch.str(*value));
    }
    batch.warn("label_name_collision", || {
        let keys: Vec<_> = same.iter().map(|(_, key, _)| format!("{key:?}")).collect();
        let (name, keys) = (&same[0].0, keys.join(", "));
        format!("attributes {keys} have the same label name {name:?}, their values are joined by semicolons")
    });
    batch.add_str(&text)
}

/// Labels that all series of a resource have.
pub(crate) fn of_resource(
    batch: &mut Batch<'_>,
    settings: &Settings,
    attributes: &[Reader<'_>],
) -> Result<Vec<Label>, Unlabelled> {
    let mut out = Vec::new();
    let (mut name, mut namespace, mut instance) = (None, None, None);
    for attribute in attributes {
        let (key, value) = any::attribute(*attribute)?;
        let identity = match key {
            SERVICE_NAME => Some(&mut name),
            SERVICE_NAMESPACE => Some(&mut namespace),
            SERVICE_INSTANCE => Some(&mut instance),
            _ => None,
        };
        let promoted = settings.promotes(key);
        if identity.is_none() && !promoted {
            continue;
        }
        let text = batch.add_text(|text| any::write(value, text).map_err(Stop::from))?;
        if let Some(identity) = identity {
            *identity = Some(text);
        }
        if promoted {
            let label = label_name(settings, key).map_err(Unlabelled::Rejected)?;
            out.push(Label { name: batch.add_str(&label)?, value: text, rank: Rank::Promoted });
        }
    }
    let job = match (namespace, name) {
        (Some(namespace), Some(name)) => {
            let text = format!("{}/{}", batch.str(namespace), batch.str(name));
            Some(batch.add_str(&text)?)
        }
        (_, name) => name,
    };
    for (label, value) in [("job", job), ("instance", instance)] {
        if let Some(value) = value.filter(|value| !batch.str(*value).is_empty()) {
            out.push(Label { name: batch.add_str(label)?, value, rank: Rank::Identity });
        }
    }
    Ok(out)
}

/// Labels of a scope: `otel_scope_…`.
pub(crate) fn of_scope(
    batch: &mut Batch<'_>,
    settings: &Settings,
    [name, version, schema_url]: [&str; 3],
    attributes: &[Reader<'_>],
) -> Result<Vec<Label>, Unlabelled> {
    let mut out = Vec::new();
    for attribute in attributes {
        let (key, value) = any::attribute(*attribute)?;
        let label = label_name(settings, &format!("otel_scope_{key}")).map_err(Unlabelled::Rejected)?;
        let value = batch.add_text(|text| any::write(value, text).map_err(Stop::from))?;
        out.push(Label { name: batch.add_str(&label)?, value, rank: Rank::ScopeAttribute });
    }
    let fixed = [("otel_scope_name", name), ("otel_scope_version", version), ("otel_scope_schema_url", schema_url)];
    for (label, value) in fixed {
        out.push(Label { name: batch.add_str(label)?, value: batch.add_str(value)?, rank: Rank::Scope });
    }
    Ok(out)
}

/// One label of each name: of the highest rank, and of several of it the last. What has no value then is no label.
pub(crate) fn settle(batch: &mut Batch<'_>, labels: &mut [Label]) -> Result<Range<u32>, Stop> {
    labels.sort_by(|a, b| batch.str(a.name).cmp(batch.str(b.name)).then(a.rank.cmp(&b.rank)));
    let last = labels.chunk_by(|a, b| batch.str(a.name) == batch.str(b.name)).filter_map(|same| same.last());
    let pairs: Vec<Pair> =
        last.filter(|label| !batch.str(label.value).is_empty()).map(|label| (label.name, label.value)).collect();
    batch.add_pairs(pairs)
}

/// Takes labels out that have no value: they hide none of a lower rank.
pub(crate) fn drop_empty(batch: &Batch<'_>, labels: &mut Vec<Label>) {
    labels.retain(|label| !batch.str(label.value).is_empty());
}
