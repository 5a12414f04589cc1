//! The answer: columns over the steps of the query, put into messages and taken out of them.

use std::sync::Arc;

use histogram::FloatHistogram;
use labels::Labels;
use model::{Annotation, Annotations, Severity, TimeRange};
use promql::{InstantSample, Matrix, MatrixSeries, Points, QueryError, QueryResult, QueryStats, StepColumn, Value};
use proto::aion as wire;
use storage::{Ctx, Error, HintSink, Origin, Reservation, SourceRead};

use crate::histogram::{from_wire, size_bytes, to_wire};
use crate::received::Kind;

/// A message is closed once it holds this much.
const MESSAGE_BYTES: usize = 256 << 10;
/// What a series counts for in memory beside its labels and steps, bytes.
const SERIES_BYTES: u64 = 96;

/// The answer as messages. A series is put into its message when its turn comes, and what the answer counts for in the budget
/// is held until all is sent.
///
/// # Errors
/// For samples at times of their own, which are no steps.
pub(super) fn messages(
    result: QueryResult,
    origins: Vec<Origin>,
) -> Result<impl Iterator<Item = wire::EvaluateResponse> + Send, QueryError> {
    let QueryResult { value, annotations, stats, held } = result;
    let not_steps = || QueryError::Bad("only values at steps can be sent".to_owned());
    let mut series: Box<dyn Iterator<Item = wire::EvaluatedSeries> + Send> = match value {
        Value::Scalar { value, .. } => {
            Box::new(std::iter::once(encoded(&Labels::empty(), &StepColumn::full(vec![value]))))
        }
        Value::Vector { samples, .. } => Box::new(samples.into_iter().map(|s| encoded(&s.labels, &at_one_step(&s)))),
        Value::Matrix(matrix) => {
            let column = |s: MatrixSeries| match s.points {
                Points::Steps(column) => Ok((s.labels, column)),
                Points::Samples(_) => Err(not_steps()),
            };
            let columns: Vec<(Labels, StepColumn)> = matrix.series.into_iter().map(column).collect::<Result<_, _>>()?;
            Box::new(columns.into_iter().map(|(labels, column)| encoded(&labels, &column)))
        }
        Value::String { .. } => return Err(not_steps()),
    };
    let annotation =
        |a: &Annotation| wire::EvaluateAnnotation { info: a.severity == Severity::Info, text: a.text.clone() };
    let mut last = Some(wire::EvaluateResponse {
        series: Vec::new(),
        annotations: annotations.iter().map(annotation).collect(),
        origins: origins.iter().map(origin_to_wire).collect(),
        stats: Some(wire::EvaluateStats {
            total_samples: stats.total_samples,
            decoded_samples: stats.decoded_samples,
            series: stats.series,
            chunk_bytes: stats.chunk_bytes,
            peak_samples: stats.peak_samples,
            peak_bytes: stats.peak_bytes,
        }),
    });
    Ok(std::iter::from_fn(move || {
        let _held = &held;
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while bytes < MESSAGE_BYTES
            && let Some(next) = series.next()
        {
            bytes += encoded_bytes(&next);
            batch.push(next);
        }
        match batch.is_empty() {
            true => last.take(),
            false => Some(wire::EvaluateResponse { series: batch, ..Default::default() }),
        }
    }))
}

fn at_one_step(sample: &InstantSample) -> StepColumn {
    match &sample.histogram {
        None => StepColumn::full(vec![sample.value]),
        Some(h) => StepColumn { native_histograms: vec![(0, h.clone())], ..StepColumn::absent(1) },
    }
}

fn encoded(labels: &Labels, column: &StepColumn) -> wire::EvaluatedSeries {
    let is_full = column.native_histograms.is_empty() && column.count() == column.steps();
    wire::EvaluatedSeries {
        labels: labels.iter().flat_map(|(name, value)| [name.to_owned(), value.to_owned()]).collect(),
        present: if is_full { Vec::new() } else { column.present.clone() },
        values: column.floats().map(|(_, value)| value).collect(),
        histogram_steps: column.native_histograms.iter().map(|(step, _)| *step).collect(),
        histograms: column.native_histograms.iter().map(|(_, h)| to_wire(0, h)).collect(),
    }
}

fn encoded_bytes(series: &wire::EvaluatedSeries) -> usize {
    let labels: usize = series.labels.iter().map(|l| l.len() + 2).sum();
    let bucket = |h: &proto::prometheus_copy::Histogram| 64 + 9 * (h.positive_counts.len() + h.negative_counts.len());
    labels + 8 * (series.present.len() + series.values.len()) + series.histograms.iter().map(bucket).sum::<usize>()
}

fn origin_to_wire(origin: &Origin) -> wire::EvaluateOrigin {
    let Origin { resolution_ms, requests, series, chunks, bytes, .. } = *origin;
    let read = |read: SourceRead| {
        let SourceRead { blocks, bytes, bucket_bytes, bucket_requests } = read;
        wire::EvaluateSourceRead { blocks, bytes, bucket_bytes, bucket_requests }
    };
    wire::EvaluateOrigin {
        kind: origin.kind.to_string(),
        name: origin.name.to_string(),
        resolution_ms,
        times: origin.range.map(|range| wire::EvaluateTimes { min_ms: range.min, max_ms: range.max }),
        requests,
        series,
        chunks,
        bytes,
        read: origin.read.map(read),
    }
}

fn origin_from_wire(sent: wire::EvaluateOrigin) -> Origin {
    let wire::EvaluateOrigin { kind, name, resolution_ms, times, requests, series, chunks, bytes, read } = sent;
    let read = read.map(|read| {
        let wire::EvaluateSourceRead { blocks, bytes, bucket_bytes, bucket_requests } = read;
        SourceRead { blocks, bytes, bucket_bytes, bucket_requests }
    });
    let range = times.map(|times| TimeRange::new(times.min_ms, times.max_ms));
    Origin {
        kind: kind.into(),
        name: name.into(),
        resolution_ms,
        range,
        requests,
        series,
        chunks,
        bytes,
        read,
        error: None,
    }
}

/// An answer so far; it counts in the request's budget.
pub(super) struct Answer {
    name: Arc<str>,
    kind: Kind,
    steps: usize,
    series: Vec<(Labels, StepColumn)>,
    annotations: Annotations,
    stats: Option<QueryStats>,
    /// Where to tell what was read, if somebody wants to know.
    hints: Option<Arc<HintSink>>,
    held: Reservation,
}

impl Answer {
    pub fn new(name: &Arc<str>, ctx: &Ctx, kind: Kind) -> Result<Self, QueryError> {
        let steps = if let Kind::Matrix(grid) = kind { grid.steps() } else { 1 };
        Ok(Self {
            name: name.clone(),
            kind,
            steps,
            series: Vec::new(),
            annotations: Annotations::new(),
            stats: None,
            hints: ctx.hints.clone(),
            held: ctx.budget.reserve(0)?,
        })
    }

    pub fn message(&mut self, message: wire::EvaluateResponse) -> Result<(), QueryError> {
        for series in message.series {
            let (labels, column) = self.decoded(series)?;
            self.series.push((labels, column));
        }
        for wire::EvaluateAnnotation { info, text } in message.annotations {
            self.held.grow(text.len() as u64)?;
            match info {
                true => self.annotations.info(text),
                // The engine's are about the query; all others are about the data there.
                false if text.starts_with("PromQL ") => self.annotations.warn(text),
                false => self.annotations.warn(format!("{}: {text}", self.name)),
            }
        }
        if let Some(hints) = &self.hints {
            for origin in message.origins {
                self.held.grow((size_of::<Origin>() + origin.kind.len() + origin.name.len()) as u64)?;
                hints.add_origin(origin_from_wire(origin));
            }
        }
        if let Some(stats) = message.stats {
            self.stats = Some(QueryStats {
                total_samples: stats.total_samples,
                decoded_samples: stats.decoded_samples,
                series: stats.series,
                chunk_bytes: stats.chunk_bytes,
                peak_samples: stats.peak_samples,
                peak_bytes: stats.peak_bytes,
                ..QueryStats::default()
            });
        }
        Ok(())
    }

    fn decoded(&mut self, sent: wire::EvaluatedSeries) -> Result<(Labels, StepColumn), QueryError> {
        let pairs = || sent.labels.as_chunks::<2>().0.iter().map(|[name, value]| (name.as_str(), value.as_str()));
        if !sent.labels.len().is_multiple_of(2) {
            return Err(self.corrupt(format_args!("a label without a value")));
        }
        let labels = Labels::from_sorted(pairs()).map_err(|e| self.corrupt(format_args!("labels of a series: {e}")))?;
        let words = self.steps.div_ceil(64);
        let (steps, is_full) = (self.steps, sent.present.is_empty());
        self.held.grow(SERIES_BYTES + labels.size_bytes() as u64 + 8 * (steps + words) as u64)?;
        let counted: usize = sent.present.iter().map(|word| word.count_ones() as usize).sum();
        let beyond = !steps.is_multiple_of(64) && sent.present.last().is_some_and(|last| last >> (steps % 64) != 0);
        let floats = if is_full { steps } else { counted };
        if (!is_full && sent.present.len() != words) || beyond || sent.values.len() != floats {
            return Err(self.corrupt(format_args!("values of {labels} do not fit the steps")));
        }
        let mut column = if is_full {
            StepColumn::full(sent.values)
        } else {
            let mut column = StepColumn { present: sent.present, ..StepColumn::absent(steps) };
            let places: Vec<usize> = column.floats().map(|(step, _)| step).collect();
            places.into_iter().zip(sent.values).for_each(|(step, value)| column.values[step] = value);
            column
        };
        let ascending = sent.histogram_steps.is_sorted_by(|a, b| a < b);
        let free = |step: &u32| (*step as usize) < steps && !column.has(*step as usize);
        if sent.histogram_steps.len() != sent.histograms.len() || !ascending || !sent.histogram_steps.iter().all(free) {
            return Err(self.corrupt(format_args!("histograms of {labels} do not fit the steps")));
        }
        for (step, h) in sent.histogram_steps.into_iter().zip(&sent.histograms) {
            let h: FloatHistogram = from_wire(h).map_err(|e| self.corrupt(format_args!("{labels}: {e}")))?;
            self.held.grow(size_bytes(&h))?;
            column.native_histograms.push((step, Arc::new(h)));
        }
        Ok((labels, column))
    }

    /// All of it, which is complete once its statistics have come.
    pub fn finish(mut self) -> Result<QueryResult, QueryError> {
        let Some(stats) = self.stats.take() else { return Err(self.corrupt(format_args!("the answer has no end"))) };
        let series = std::mem::take(&mut self.series);
        let value = match self.kind {
            Kind::Scalar { time_ms } => match &series[..] {
                [(_, column)] if column.has(0) => Value::Scalar { time_ms, value: column.values[0] },
                _ => return Err(self.corrupt(format_args!("{} series for a scalar", series.len()))),
            },
            Kind::Vector { time_ms } => {
                let sample = |(labels, column): (Labels, StepColumn)| match (column.get(0), column.histogram(0)) {
                    (Some(value), _) => Ok(InstantSample { labels, value, histogram: None }),
                    (None, Some(h)) => Ok(InstantSample { labels, value: f64::NAN, histogram: Some(h.clone()) }),
                    (None, None) => Err(self.corrupt(format_args!("no sample of {labels}"))),
                };
                let samples = series.into_iter().map(sample).collect::<Result<_, _>>()?;
                Value::Vector { time_ms, samples }
            }
            Kind::Matrix(grid) => {
                if !series.is_sorted_by(|(a, _), (b, _)| a < b) {
                    return Err(self.corrupt(format_args!("series are not in the order of their labels")));
                }
                let series =
                    series.into_iter().map(|(labels, column)| MatrixSeries { labels, points: Points::Steps(column) });
                Value::Matrix(Matrix { grid, series: series.collect() })
            }
        };
        Ok(QueryResult { value, annotations: self.annotations, stats, held: Some(Arc::new(self.held)) })
    }

    fn corrupt(&self, what: std::fmt::Arguments<'_>) -> QueryError {
        QueryError::Storage(Error::Corrupt(format!("{}: {what}", self.name)))
    }
}

#[cfg(test)]
mod tests {
    use histogram::{ResetHint, Span};
    use promql::Grid;
    use storage::Budget;

    use super::*;

    const GRID: Grid = Grid { start_ms: 0, end_ms: 69_000, step_ms: 1000 };

    fn histogram() -> Arc<FloatHistogram> {
        Arc::new(FloatHistogram {
            reset_hint: ResetHint::Gauge,
            count: 2.5,
            sum: -0.0,
            positive_spans: vec![Span { offset: 1, length: 1 }],
            positive_buckets: vec![2.5],
            ..FloatHistogram::default()
        })
    }

    fn result(value: Value) -> QueryResult {
        let mut annotations = Annotations::new();
        annotations.warn("PromQL warning: odd (1:1)");
        annotations.warn("block 01X: corrupt");
        annotations.info("PromQL info: name (1:2)");
        let stats = QueryStats { total_samples: 7, series: 3, peak_samples: 2, ..QueryStats::default() };
        QueryResult { value, annotations, stats, held: None }
    }

    fn received(kind: Kind, sent: impl IntoIterator<Item = wire::EvaluateResponse>) -> Result<QueryResult, QueryError> {
        let mut answer = Answer::new(&"h:1".into(), &Ctx::background(), kind)?;
        sent.into_iter().try_for_each(|message| answer.message(message))?;
        answer.finish()
    }

    fn labels(value: &str) -> Labels {
        Labels::from_pairs([("a", value), ("b", "")])
    }

    #[test]
    fn matrices_come_as_they_went() {
        let mut holes = StepColumn::absent(70);
        holes.set(0, 1.5);
        holes.set(69, f64::from_bits(0x7ff0_0000_0000_0002));
        holes.native_histograms.push((3, histogram()));
        let full = StepColumn::full((0..70).map(f64::from).collect());
        let series = |value: &str, column: &StepColumn| MatrixSeries {
            labels: labels(value),
            points: Points::Steps(column.clone()),
        };
        // Enough for several messages.
        let names: Vec<String> = (0..1500).map(|i| format!("{i:04}")).collect();
        let list = names.iter().map(|n| series(n, if n == "0001" { &holes } else { &full })).collect();
        let sent: Vec<_> =
            messages(result(Value::Matrix(Matrix { grid: GRID, series: list })), Vec::new()).unwrap().collect();
        assert!(sent.len() > 3, "{}", sent.len());
        let got = received(Kind::Matrix(GRID), sent).unwrap();
        let Value::Matrix(matrix) = &got.value else { panic!("{:?}", got.value) };
        assert_eq!((matrix.grid, matrix.series.len()), (GRID, 1500));
        for (name, s) in names.iter().zip(&matrix.series) {
            assert_eq!(s.labels, labels(name));
            let bits = |s: &MatrixSeries| s.floats(GRID).map(|(t, v)| (t, v.to_bits())).collect::<Vec<_>>();
            let want = series(name, if name == "0001" { &holes } else { &full });
            assert_eq!(bits(s), bits(&want), "{name}");
            let native = |s: &MatrixSeries| s.histograms(GRID).map(|(t, h)| (t, h.clone())).collect::<Vec<_>>();
            assert_eq!(native(s), native(&want), "{name}");
        }
        assert_eq!((got.stats.total_samples, got.stats.series, got.stats.peak_samples), (7, 3, 2));
        let texts = |severity| got.annotations.texts(severity, 0);
        assert_eq!(texts(Severity::Warning), ["PromQL warning: odd (1:1)", "h:1: block 01X: corrupt"]);
        assert_eq!(texts(Severity::Info), ["PromQL info: name (1:2)"]);
    }

    #[test]
    fn what_was_read_is_told_to_those_who_ask() {
        let read = SourceRead { blocks: 1, bytes: 2, bucket_bytes: 3, bucket_requests: 4 };
        let plain = Origin {
            kind: "store".into(),
            name: "h:1".into(),
            resolution_ms: 300_000,
            range: None,
            requests: 1,
            series: 2,
            chunks: 3,
            bytes: 4,
            read: None,
            error: None,
        };
        let whole = Origin { resolution_ms: 0, range: Some(TimeRange::new(-5, 9)), read: Some(read), ..plain.clone() };
        let ctx = Ctx { hints: Some(Arc::default()), ..Ctx::background() };
        let mut answer = Answer::new(&"h:1".into(), &ctx, Kind::Scalar { time_ms: 0 }).unwrap();
        let scalar = result(Value::Scalar { time_ms: 0, value: 1.0 });
        for message in messages(scalar, vec![plain.clone(), whole.clone()]).unwrap() {
            answer.message(message).unwrap();
        }
        answer.finish().unwrap();
        assert_eq!(ctx.hints.unwrap().hints().origins, [plain, whole]);
    }

    #[test]
    fn vectors_keep_their_order_and_scalars_their_value() {
        let sample = |name: &str, value, histogram| InstantSample { labels: labels(name), value, histogram };
        let samples =
            vec![sample("z", 2.0, None), sample("a", f64::NAN, Some(histogram())), sample("m", f64::NAN, None)];
        let sent = messages(result(Value::Vector { time_ms: 5, samples }), Vec::new()).unwrap();
        let got = received(Kind::Vector { time_ms: 5 }, sent).unwrap();
        let Value::Vector { time_ms: 5, samples } = &got.value else { panic!("{:?}", got.value) };
        let shown: Vec<_> =
            samples.iter().map(|s| (s.labels.value("a"), s.value.is_nan(), s.histogram.is_some())).collect();
        assert_eq!(shown, [("z", false, false), ("a", true, true), ("m", true, false)]);
        let sent = messages(result(Value::Scalar { time_ms: 5, value: f64::INFINITY }), Vec::new()).unwrap();
        let got = received(Kind::Scalar { time_ms: 5 }, sent).unwrap();
        assert!(matches!(got.value, Value::Scalar { time_ms: 5, value } if value == f64::INFINITY));
        let samples = Matrix {
            grid: GRID,
            series: vec![MatrixSeries { labels: labels("a"), points: Points::Samples(Default::default()) }],
        };
        assert!(messages(result(Value::Matrix(samples)), Vec::new()).is_err(), "samples at their own times");
    }

    #[test]
    fn what_makes_no_sense_is_corrupt_and_names_the_peer() {
        let end = || wire::EvaluateResponse { stats: Some(wire::EvaluateStats::default()), ..Default::default() };
        let series = |labels: &[&str], present: &[u64], values: usize| wire::EvaluatedSeries {
            labels: labels.iter().map(|l| (*l).to_owned()).collect(),
            present: present.to_vec(),
            values: vec![1.0; values],
            ..Default::default()
        };
        let h = || proto::prometheus_copy::Histogram::default();
        let with = |steps: &[u32], count: usize| wire::EvaluatedSeries {
            histogram_steps: steps.to_vec(),
            histograms: vec![h(); count],
            ..series(&["a", "1"], &[1, 0], 1)
        };
        for sent in [
            series(&["a"], &[], 70),
            series(&["b", "1", "a", "1"], &[], 70),
            series(&["a", "1"], &[], 69),
            series(&["a", "1"], &[1], 1),
            series(&["a", "1"], &[1, 0, 0], 1),
            series(&["a", "1"], &[1, 0], 2),
            series(&["a", "1"], &[0, 1 << 6], 1),
            with(&[1], 2),
            with(&[0], 1),
            with(&[70], 1),
            with(&[2, 1], 2),
            with(&[1, 1], 2),
        ] {
            let shown = format!("{sent:?}");
            let answer = wire::EvaluateResponse { series: vec![sent], ..Default::default() };
            let error = received(Kind::Matrix(GRID), [answer, end()]).unwrap_err();
            assert!(
                matches!(&error, QueryError::Storage(Error::Corrupt(t)) if t.starts_with("h:1: ")),
                "{shown}: {error}"
            );
        }
        let whole = |name: &str| series(&["a", name], &[], 70);
        for (kind, list, ended) in [
            (Kind::Matrix(GRID), vec![whole("2"), whole("1")], true),
            (Kind::Matrix(GRID), vec![whole("1"), whole("1")], true),
            (Kind::Matrix(GRID), vec![whole("1")], false),
            (Kind::Scalar { time_ms: 0 }, vec![], true),
            (Kind::Scalar { time_ms: 0 }, vec![series(&[], &[0], 0)], true),
            (Kind::Vector { time_ms: 0 }, vec![series(&[], &[0], 0)], true),
        ] {
            let answer = wire::EvaluateResponse { series: list, ..Default::default() };
            let error = received(kind, std::iter::once(answer).chain(ended.then(end))).unwrap_err();
            assert!(matches!(error, QueryError::Storage(Error::Corrupt(_))), "{kind:?}: {error}");
        }
    }

    #[test]
    fn an_answer_without_end_is_refused() {
        let budget = Budget::new("the test", "--test.max-bytes", 10_000, None);
        let ctx = Ctx { budget: budget.clone(), ..Ctx::background() };
        let mut answer = Answer::new(&"h:1".into(), &ctx, Kind::Matrix(GRID)).unwrap();
        let series = wire::EvaluatedSeries { present: vec![0, 0], ..Default::default() };
        let message = wire::EvaluateResponse { series: vec![series], ..Default::default() };
        let error = (0..100).try_for_each(|_| answer.message(message.clone())).unwrap_err();
        assert!(matches!(&error, QueryError::Limit(t) if t.contains("--test.max-bytes")), "{error}");
        drop(answer);
        assert_eq!(budget.used_bytes(), 0);
    }
}
