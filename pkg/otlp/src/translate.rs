//! From a request to rows: the walk over resources, scopes, metrics and data points.

use std::ops::Range;

use ingest::wire::{Malformed, Reader};
use ingest::{Hasher, SeriesCache};
use model::MetricType;

use crate::any;
use crate::batch::{Batch, Family, Stop, shown};
use crate::delta::Streams;
use crate::labels::Label;
use crate::metric::{ReadMetric, count_points, temporality};
use crate::names::Kind;
use crate::point::{Point, push_attribute};
use crate::settings::{DeltaMode, Settings};

/// Reads a request into [`Batch`].
pub(crate) struct Translator<'t, 'a> {
    pub batch: &'t mut Batch<'a>,
    pub settings: &'t Settings,
    /// Of the settings: with others a series has other labels.
    pub settings_digest: u128,
    pub hasher: &'t Hasher,
    pub cache: &'t SeriesCache,
    /// Later samples are rejected.
    pub latest_ms: i64,
    pub now_ms: i64,
    /// Sums of deltas, with [`DeltaMode::ToCumulative`].
    pub streams: Option<&'t mut Streams>,
    pub point: Point<'a>,
    pub scratch: Vec<u8>,
    /// The family `target_info`, once it is needed.
    pub target_family: Option<u32>,
}

/// Labels that are built when the first series needs them; why there are none.
pub(crate) type Lazy = Option<Result<Vec<Label>, String>>;

pub(crate) struct Resource<'a> {
    pub digest: u128,
    pub attributes: Vec<Reader<'a>>,
    pub labels: Lazy,
    /// Times of the first and the last of its samples.
    pub times_ms: Option<(i64, i64)>,
}

pub(crate) struct Scope<'a> {
    digest: u128,
    /// Name, version, URL of the schema.
    pub texts: [&'a str; 3],
    pub attributes: Vec<Reader<'a>>,
    pub labels: Lazy,
}

/// What a metric's data points are in.
pub(crate) struct Metric {
    digest: u128,
    pub family: u32,
    pub kind: Kind,
    pub is_delta: bool,
}

pub(crate) struct Context<'c, 'a> {
    pub resource: &'c mut Resource<'a>,
    pub scope: &'c mut Scope<'a>,
    pub metric: &'c Metric,
}

/// What a data point's series have in common.
pub(crate) struct Named {
    pub digest: u128,
    /// The number of the data point.
    pub point: u32,
    /// Labels but the name, once a series needs them.
    pub common: Option<Range<u32>>,
}

impl<'a> Translator<'_, 'a> {
    /// Reads all of a request.
    ///
    /// # Errors
    /// Why nothing of it is taken.
    pub fn request(&mut self, plain: &'a [u8]) -> Result<(), Stop> {
        let mut request = Reader::new(plain, 0);
        while let Some((field, value)) = request.field()? {
            if field == 1 {
                self.resource(value.part(&request)?)?;
            }
        }
        Ok(())
    }

    fn resource(&mut self, message: Reader<'a>) -> Result<(), Stop> {
        let mut attributes = Vec::new();
        let mut fields = message;
        while let Some((field, value)) = fields.field()? {
            if field == 1 {
                let mut resource = value.part(&fields)?;
                while let Some((field, value)) = resource.field()? {
                    if field == 1 {
                        push_attribute(&mut attributes, value, &resource)?;
                    }
                }
            }
        }
        let digest = self.digest(self.settings_digest, &attributes);
        let mut resource = Resource { digest, attributes, labels: None, times_ms: None };
        let mut fields = message;
        while let Some((field, value)) = fields.field()? {
            if field == 2 {
                self.scope(&mut resource, value.part(&fields)?)?;
            }
        }
        self.target_info(&mut resource)
    }

    fn scope(&mut self, resource: &mut Resource<'a>, message: Reader<'a>) -> Result<(), Stop> {
        let mut scope = self.read_scope(message)?;
        let mut fields = message;
        while let Some((field, value)) = fields.field()? {
            if field == 2 {
                self.metric(resource, &mut scope, value.part(&fields)?)?;
            }
        }
        Ok(())
    }

    fn read_scope(&mut self, message: Reader<'a>) -> Result<Scope<'a>, Malformed> {
        let (mut texts, mut attributes) = ([""; 3], Vec::new());
        if !self.settings.promote_scope_metadata {
            return Ok(Scope { digest: 0, texts, attributes, labels: None });
        }
        let mut fields = message;
        while let Some((field, value)) = fields.field()? {
            match field {
                1 => {
                    let mut scope = value.part(&fields)?;
                    while let Some((field, value)) = scope.field()? {
                        match field {
                            1 => texts[0] = any::text(value.part(&scope)?)?,
                            2 => texts[1] = any::text(value.part(&scope)?)?,
                            3 => push_attribute(&mut attributes, value, &scope)?,
                            _ => {}
                        }
                    }
                }
                3 => texts[2] = any::text(value.part(&fields)?)?,
                _ => {}
            }
        }
        if texts[0].is_empty() {
            // A scope without a name is none.
            return Ok(Scope { digest: 0, texts, attributes, labels: None });
        }
        let of_attributes = self.digest(0, &attributes);
        self.scratch.clear();
        self.scratch.extend(of_attributes.to_le_bytes());
        for text in texts {
            self.scratch.extend((text.len() as u64).to_le_bytes());
            self.scratch.extend(text.as_bytes());
        }
        Ok(Scope { digest: self.hasher.digest(&self.scratch), texts, attributes, labels: None })
    }

    /// Of what came before and attributes.
    fn digest(&mut self, before: u128, attributes: &[Reader<'_>]) -> u128 {
        self.scratch.clear();
        self.scratch.extend(before.to_le_bytes());
        for attribute in attributes {
            self.scratch.extend((attribute.bytes().len() as u64).to_le_bytes());
            self.scratch.extend(attribute.bytes());
        }
        self.hasher.digest(&self.scratch)
    }

    fn metric(&mut self, resource: &mut Resource<'a>, scope: &mut Scope<'a>, message: Reader<'a>) -> Result<(), Stop> {
        let read = ReadMetric::read(message)?;
        let Some((kind, data)) = read.kind() else {
            self.batch.rejected.metric(0, || format!("metric {}: it has no data of a known type", shown(read.name)));
            return Ok(());
        };
        let points = count_points(data)?;
        if points == 0 {
            self.batch.warn("empty_data_points", || format!("metric {} has no data points", shown(read.name)));
            return Ok(());
        }
        let Some(is_delta) = self.is_delta(kind, read.temporality) else {
            self.batch.rejected.metric(points, || {
                let name = shown(read.name);
                format!("invalid temporality and type combination for metric {name}: {}", temporality(read.temporality))
            });
            return Ok(());
        };
        let metric = self.family(&read, kind, is_delta, [resource.digest, scope.digest])?;
        let mut fields = data;
        while let Some((field, value)) = fields.field()? {
            if field == 1 {
                let mut context = Context { resource, scope, metric: &metric };
                self.data_point(&mut context, value.part(&fields)?)?;
            }
        }
        Ok(())
    }

    /// Whether a metric holds deltas; `None` = it cannot be taken.
    fn is_delta(&self, kind: Kind, temporality: u64) -> Option<bool> {
        match (kind, temporality) {
            (Kind::Gauge | Kind::Summary, _) | (_, 2) => Some(false),
            (_, 1) => (self.settings.delta != DeltaMode::Reject).then_some(true),
            _ => None,
        }
    }

    fn family(&mut self, read: &ReadMetric<'a>, kind: Kind, is_delta: bool, of: [u128; 2]) -> Result<Metric, Stop> {
        let metric_type = match kind {
            _ if is_delta && self.settings.delta == DeltaMode::Native => MetricType::Unknown,
            Kind::Gauge | Kind::Sum => MetricType::Gauge,
            Kind::Counter => MetricType::Counter,
            Kind::Histogram | Kind::ExponentialHistogram => MetricType::Histogram,
            Kind::Summary => MetricType::Summary,
        };
        self.scratch.clear();
        for part in of {
            self.scratch.extend(part.to_le_bytes());
        }
        self.scratch.extend([kind as u8, u8::from(is_delta)]);
        for text in [read.name, read.unit] {
            self.scratch.extend((text.len() as u64).to_le_bytes());
            self.scratch.extend(text.as_bytes());
        }
        let digest = self.hasher.digest(&self.scratch);
        self.scratch.clear();
        self.scratch.push(metric_type as u8);
        self.scratch.extend((read.unit.len() as u64).to_le_bytes());
        self.scratch.extend(read.unit.as_bytes());
        self.scratch.extend(read.description.as_bytes());
        let metadata = (self.hasher.digest(&self.scratch) as u64).max(1);
        self.batch.room.take(size_of::<Family<'_>>())?;
        self.batch.families.push(Family {
            name: read.name,
            unit: read.unit,
            description: read.description,
            kind,
            metric_type,
            metadata,
            built: None,
        });
        Ok(Metric { digest, family: self.batch.families.len() as u32 - 1, kind, is_delta })
    }

    fn data_point(&mut self, context: &mut Context<'_, 'a>, message: Reader<'a>) -> Result<(), Stop> {
        let number = self.batch.points;
        self.batch.points += 1;
        // One is used for all, and lies beside the rest while it is worked on.
        let mut point = std::mem::take(&mut self.point);
        let read = match context.metric.kind {
            Kind::Gauge | Kind::Counter | Kind::Sum => point.read_number(message),
            Kind::Histogram => point.read_histogram(message),
            Kind::ExponentialHistogram => point.read_exponential(message),
            Kind::Summary => point.read_summary(message),
        };
        let outcome = read.map_err(Stop::from).and_then(|()| self.take_point(context, &mut point, number));
        self.point = point;
        outcome
    }

    fn take_point(&mut self, context: &mut Context<'_, 'a>, point: &mut Point<'a>, number: u32) -> Result<(), Stop> {
        let metric = context.metric;
        let digest = self.digest(metric.digest, &point.attributes);
        let mut named = Named { digest, point: number, common: None };
        let time_ms = point.time_ms();
        let checked = match time_ms > self.latest_ms {
            true => Err("out of bounds: timestamp is too far in the future".to_owned()),
            false => point.check(metric.kind),
        };
        let summed = match (&mut self.streams, metric.is_delta) {
            (Some(streams), true) => checked.and_then(|()| streams.accumulate(digest, metric.kind, point, self.now_ms)),
            _ => checked,
        };
        if let Err(why) = summed {
            self.reject(metric, &named, time_ms, why);
            return Ok(());
        }
        if time_ms > 0 {
            let (first, last) = context.resource.times_ms.unwrap_or((time_ms, time_ms));
            context.resource.times_ms = Some((first.min(time_ms), last.max(time_ms)));
        }
        match metric.kind {
            Kind::Gauge | Kind::Counter | Kind::Sum => self.number(context, point, &mut named),
            Kind::Histogram if self.settings.convert_histograms_to_nhcb => {
                let is_gauge = metric.is_delta && self.settings.delta == DeltaMode::Native;
                self.native(context, point, &mut named, point.custom_buckets(is_gauge))
            }
            Kind::Histogram => self.classic(context, point, &mut named),
            Kind::ExponentialHistogram => {
                let is_gauge = metric.is_delta && self.settings.delta == DeltaMode::Native;
                self.native(context, point, &mut named, point.exponential(is_gauge))
            }
            Kind::Summary => self.summary(context, point, &mut named),
        }
    }

    pub fn reject(&mut self, metric: &Metric, named: &Named, time_ms: i64, why: String) {
        let name = self.batch.families.get(metric.family as usize).map_or("", |f| f.name);
        self.batch.rejected.point(named.point, || format!("{why} for metric {} at {time_ms}", shown(name)));
    }
}
