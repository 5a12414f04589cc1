//! The series `target_info` of a resource, which carries its attributes.

use std::ops::Range;

use ingest::wire::Reader;
use model::MetricType;

use crate::any;
use crate::batch::{FLOAT_BYTES, Family, NO_POINT, Series, Stop};
use crate::labels::{self, Label, Rank, SERVICE_INSTANCE, SERVICE_NAME, SERVICE_NAMESPACE, Unlabelled, settle};
use crate::limits::TARGET_INFO_MAX;
use crate::names::Kind;
use crate::settings::Settings;
use crate::translate::{Resource, Translator};

const NAME: &str = "target_info";

impl<'a> Translator<'_, 'a> {
    /// Adds samples of `target_info` from the first to the last sample of the resource, so close that every look-back
    /// finds one.
    pub fn target_info(&mut self, resource: &mut Resource<'a>) -> Result<(), Stop> {
        let Some((first_ms, last_ms)) = resource.times_ms else { return Ok(()) };
        if !has_others(&resource.attributes)? {
            return Ok(());
        }
        let digest = self.target_info_digest(resource.digest);
        let family = self.target_family()?;
        let series = match self.cache.get(digest) {
            Some(known) => {
                let (known, metadata) = (Some(known.series), known.metadata);
                Series { digest, known, metadata, family, common: 0..0, own: 0..0 }
            }
            None => match self.target_labels(resource) {
                Ok(Some(own)) => Series { digest, known: None, metadata: 0, family, common: 0..0, own },
                // Nothing tells whose attributes they are, or one has no name: the samples themselves are rejected then.
                Ok(None) | Err(Unlabelled::Rejected(_)) => return Ok(()),
                Err(Unlabelled::Stopped(stop)) => return Err(stop),
            },
        };
        let series = self.batch.push_series(series)?;
        let step_ms = (self.settings.lookback_ms / 2).max(1);
        let steps = (last_ms - first_ms) / step_ms;
        let room = (steps.max(0) as u64).saturating_mul(FLOAT_BYTES as u64);
        if steps <= TARGET_INFO_MAX && self.batch.room.has(room) {
            for time_ms in (0..=steps).map(|step| first_ms + step * step_ms).filter(|time_ms| *time_ms < last_ms) {
                self.batch.room.take(FLOAT_BYTES)?;
                self.batch.floats.push(series, NO_POINT, (time_ms, 0), 1.0);
            }
        }
        self.batch.room.take(FLOAT_BYTES)?;
        self.batch.floats.push(series, NO_POINT, (last_ms, 0), 1.0);
        Ok(())
    }

    fn target_info_digest(&mut self, resource: u128) -> u128 {
        let mut bytes = [0; 16 + NAME.len()];
        bytes[..16].copy_from_slice(&resource.to_le_bytes());
        bytes[16..].copy_from_slice(NAME.as_bytes());
        self.hasher.digest(&bytes)
    }

    fn target_family(&mut self) -> Result<u32, Stop> {
        if let Some(family) = self.target_family {
            return Ok(family);
        }
        let name = self.batch.add_str(NAME)?;
        self.batch.families.push(Family {
            name: NAME,
            unit: "",
            description: "Target metadata",
            kind: Kind::Gauge,
            metric_type: MetricType::Gauge,
            metadata: 1,
            built: Some(Ok(name)),
        });
        let family = self.batch.families.len() as u32 - 1;
        self.target_family = Some(family);
        Ok(family)
    }

    /// The labels; `None` if neither job nor instance is among them.
    fn target_labels(&mut self, resource: &mut Resource<'a>) -> Result<Option<Range<u32>>, Unlabelled> {
        let ignored: &[&str] = match self.settings.keep_identifying_resource_attributes {
            true => &[],
            false => &[SERVICE_NAME, SERVICE_NAMESPACE, SERVICE_INSTANCE],
        };
        let mut out = Vec::new();
        labels::attributes(self.batch, self.settings, &resource.attributes, ignored, &mut out)?;
        let without_promotion = Settings {
            promote_all_resource_attributes: false,
            resource_attributes: std::collections::BTreeSet::new(),
            ..self.settings.clone()
        };
        out.extend(labels::of_resource(self.batch, &without_promotion, &resource.attributes)?);
        let name = Label { name: self.batch.add_str("__name__")?, value: self.batch.add_str(NAME)?, rank: Rank::Own };
        out.push(name);
        let own = settle(self.batch, &mut out)?;
        let pairs = self.batch.pairs.get(own.start as usize..own.end as usize).unwrap_or_default();
        let is_identified = pairs.iter().any(|(name, _)| matches!(self.batch.str(*name), "job" | "instance"));
        Ok(is_identified.then_some(own))
    }
}

/// Whether a resource has attributes beside those that become job and instance.
fn has_others(attributes: &[Reader<'_>]) -> Result<bool, Stop> {
    for attribute in attributes {
        let (key, _) = any::attribute(*attribute)?;
        if ![SERVICE_NAME, SERVICE_NAMESPACE, SERVICE_INSTANCE].contains(&key) {
            return Ok(true);
        }
    }
    Ok(false)
}
