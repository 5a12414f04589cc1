//! The series of a data point: found by their digests, or else given labels.

use std::ops::Range;

use ingest::wire::Reader;
use model::MetricType;

use crate::batch::{Series, Stop, Text, shown};
use crate::labels::{self, Label, Rank, Unlabelled, drop_empty, settle};
use crate::names::metric_name;
use crate::point::Point;
use crate::translate::{Context, Named, Translator};
use crate::units::metadata_unit;

/// The label that tells the series of one data point apart.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    None,
    Le(f64),
    Quantile(f64),
}

impl Bound {
    fn label(self) -> Option<(&'static str, f64)> {
        match self {
            Self::None => None,
            Self::Le(bound) => Some((::labels::BUCKET_LABEL, bound)),
            Self::Quantile(quantile) => Some((::labels::QUANTILE_LABEL, quantile)),
        }
    }
}

impl<'a> Translator<'_, 'a> {
    /// A series of a data point; `None` if the data point is rejected.
    #[inline]
    pub fn series(
        &mut self,
        context: &mut Context<'_, 'a>,
        point: &Point<'a>,
        named: &mut Named,
        (suffix, bound): (&str, Bound),
    ) -> Result<Option<u32>, Stop> {
        let mut digest = named.digest;
        if !suffix.is_empty() || bound.label().is_some() {
            let mut bytes = [0; 32];
            bytes[..16].copy_from_slice(&digest.to_le_bytes());
            bytes[16..16 + suffix.len().min(8)].copy_from_slice(&suffix.as_bytes()[..suffix.len().min(8)]);
            if let Some((label, value)) = bound.label() {
                bytes[23] = label.as_bytes()[0];
                bytes[24..].copy_from_slice(&value.to_bits().to_le_bytes());
            }
            digest = self.hasher.digest(&bytes);
        }
        let family = context.metric.family;
        if let Some(known) = self.cache.get(digest) {
            let (known, metadata) = (Some(known.series), known.metadata);
            let series = Series { digest, known, metadata, family, common: 0..0, own: 0..0 };
            return self.batch.push_series(series).map(Some);
        }
        match self.new_series(context, point, named, (suffix, bound)) {
            Ok((common, own)) => {
                let series = Series { digest, known: None, metadata: 0, family, common, own };
                self.batch.push_series(series).map(Some)
            }
            Err(Unlabelled::Stopped(stop)) => Err(stop),
            Err(Unlabelled::Rejected(why)) => {
                let name = self.batch.families.get(family as usize).map_or("", |f| f.name);
                self.batch.rejected.point(named.point, || format!("{why} for metric {}", shown(name)));
                Ok(None)
            }
        }
    }

    /// The labels of a series that is new: those it has in common with others, and its own.
    fn new_series(
        &mut self,
        context: &mut Context<'_, 'a>,
        point: &Point<'a>,
        named: &mut Named,
        (suffix, bound): (&str, Bound),
    ) -> Result<(Range<u32>, Range<u32>), Unlabelled> {
        let family = self.family_name(context.metric.family)?;
        let common = match &named.common {
            Some(common) => common.clone(),
            None => {
                let common = self.common(context, &point.attributes)?;
                named.common = Some(common.clone());
                common
            }
        };
        let mut own = Vec::with_capacity(2);
        let name = match suffix {
            "" => family,
            suffix => {
                let text = format!("{}{suffix}", self.batch.str(family));
                self.batch.add_str(&text)?
            }
        };
        own.push((self.batch.add_str(::labels::METRIC_NAME)?, name));
        if let Some((label, value)) = bound.label() {
            own.push((self.batch.add_str(label)?, self.batch.add_str(&plain_float(value))?));
        }
        Ok((common, self.batch.add_pairs(own)?))
    }

    /// The name of a family in the store.
    pub fn family_name(&mut self, family: u32) -> Result<Text, Unlabelled> {
        let Some(entry) = self.batch.families.get(family as usize) else {
            return Err(Unlabelled::Rejected("a metric is missing".to_owned()));
        };
        if entry.built.is_none() {
            let built = match metric_name(self.settings.strategy, entry.name, entry.unit, entry.kind) {
                Ok(name) => Ok(self.batch.add_str(&name)?),
                Err(why) => Err(why),
            };
            self.batch.families[family as usize].built = Some(built);
        }
        match &self.batch.families[family as usize].built {
            Some(Ok(name)) => Ok(*name),
            Some(Err(why)) => Err(Unlabelled::Rejected(why.clone())),
            None => Err(Unlabelled::Rejected("a metric has no name".to_owned())),
        }
    }

    fn common(&mut self, context: &mut Context<'_, 'a>, attributes: &[Reader<'a>]) -> Result<Range<u32>, Unlabelled> {
        let mut out = Vec::with_capacity(attributes.len() + 8);
        labels::attributes(self.batch, self.settings, attributes, &[::labels::METRIC_NAME], &mut out)?;
        drop_empty(self.batch, &mut out);
        let resource = &mut *context.resource;
        let of_resource = match resource.labels.take() {
            Some(labels) => labels,
            None => built(labels::of_resource(self.batch, self.settings, &resource.attributes))?,
        };
        let added = of_resource.as_ref().map(|labels| out.extend(labels)).map_err(Clone::clone);
        resource.labels = Some(of_resource);
        added.map_err(Unlabelled::Rejected)?;
        let scope = &mut *context.scope;
        if !scope.texts[0].is_empty() {
            let of_scope = match scope.labels.take() {
                Some(labels) => labels,
                None => built(labels::of_scope(self.batch, self.settings, scope.texts, &scope.attributes))?,
            };
            let added = of_scope.as_ref().map(|labels| out.extend(labels)).map_err(Clone::clone);
            scope.labels = Some(of_scope);
            added.map_err(Unlabelled::Rejected)?;
        }
        if self.settings.type_and_unit_labels
            && let Some(family) = self.batch.families.get(context.metric.family as usize)
        {
            let (kind, unit) = (family.metric_type, metadata_unit(family.unit));
            let kind = if kind == MetricType::Unknown { "" } else { kind.as_str() };
            for (name, value) in [("__type__", kind), ("__unit__", unit.as_str())] {
                if !value.is_empty() {
                    let (name, value) = (self.batch.add_str(name)?, self.batch.add_str(value)?);
                    out.push(Label { name, value, rank: Rank::Type });
                }
            }
        }
        Ok(settle(self.batch, &mut out)?)
    }
}

/// Labels that could be built, or why not; a request that is stopped is an error.
pub(crate) fn built(labels: Result<Vec<Label>, Unlabelled>) -> Result<Result<Vec<Label>, String>, Stop> {
    match labels {
        Ok(labels) => Ok(Ok(labels)),
        Err(Unlabelled::Rejected(why)) => Ok(Err(why)),
        Err(Unlabelled::Stopped(stop)) => Err(stop),
    }
}

/// A number without an exponent.
fn plain_float(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        value => value.to_string(),
    }
}
