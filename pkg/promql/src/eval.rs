//! What an evaluation carries along, and the interface of operators.

use std::any::Any;
use std::rc::Rc;
use std::sync::Arc;

use model::{Resolution, TimeRange};
use promql_syntax::Reads;
use storage::{Ctx, Reservation, Select, SeriesSource};

use crate::annotations::QueryAnnotations;
use crate::hands::Hands;
use crate::profile::Profile;
use crate::reads;
use crate::select_plan::{METADATA_LABELS, SelectPlan};
use crate::series::StepSeries;
use crate::spare::SpareHistograms;
use crate::{EngineOptions, Grid, QueryError, QueryStats, ReadOptions, StepColumn};

pub(crate) type Result<T> = std::result::Result<T, QueryError>;

/// A node of the running query: hands out its series one by one, label order where its input has it. One series may
/// come in several parts over disjoint steps; who cannot bear that merges (see `merge`).
pub(crate) trait Operator {
    /// The next series, `None` at the end. Columns that come out are never empty.
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>>;
}

pub(crate) type Stream = Box<dyn Operator>;

/// The state of one evaluation, on one thread.
pub(crate) struct Cx {
    pub ctx: Ctx,
    pub source: Arc<dyn SeriesSource>,
    pub runtime: tokio::runtime::Handle,
    pub options: Arc<EngineOptions>,
    /// How the query's data is read.
    pub read: ReadOptions,
    pub lookback_ms: i64,
    /// The query's own step, 0 for an instant query; a hint to sources.
    pub step_ms: i64,
    pub annotations: QueryAnnotations,
    pub stats: QueryStats,
    /// The query's own steps, and samples looked at by each, when that was asked for.
    per_step: Option<(Grid, Vec<u64>)>,
    samples: usize,
    /// Bytes counted; never more than are reserved.
    held_bytes: u64,
    reservation: Reservation,
    /// Done since the last look at the clock, see [`Cx::work`].
    worked: usize,
    /// Histograms kept for reuse.
    pub histograms: SpareHistograms,
    spare: Vec<StepColumn>,
    spare_bytes: usize,
    /// What several places of the query read; those who put it there know its type.
    pub kept: Vec<Rc<dyn Any>>,
    /// What each operator takes, when that was asked for.
    pub profile: Option<Profile>,
    /// Threads that may help.
    pub hands: Option<Arc<Hands>>,
}

/// What threads that evaluate parts of one query have in common.
pub(crate) struct Shared {
    pub ctx: Ctx,
    source: Arc<dyn SeriesSource>,
    runtime: tokio::runtime::Handle,
    options: Arc<EngineOptions>,
    read: ReadOptions,
    step_ms: i64,
    annotations: QueryAnnotations,
    /// The steps by which samples are counted.
    counted: Option<Grid>,
}

impl Shared {
    /// The state of an evaluation on the thread that calls.
    ///
    /// # Errors
    /// The budget is used up.
    pub fn cx(&self) -> Result<Cx> {
        let (ctx, source, runtime) = (self.ctx.clone(), self.source.clone(), self.runtime.clone());
        let annotations = self.annotations.fresh();
        let (options, read) = (self.options.clone(), self.read.clone());
        let mut cx = Cx::new(ctx, source, runtime, options, read, self.step_ms, annotations)?;
        if let Some(grid) = self.counted {
            cx.count_steps(grid);
        }
        Ok(cx)
    }
}

/// What an evaluation found and counted beside its series.
pub(crate) struct Findings {
    annotations: QueryAnnotations,
    stats: QueryStats,
    counts: Option<Vec<u64>>,
}

/// No column is longer, whatever the limits say: 2 GiB of values.
const STEPS_MAX: usize = 1 << 28;

/// Emptied columns kept for reuse: how many, and their bytes in all.
const SPARE_MAX: usize = 64;
const SPARE_BYTES_MAX: usize = 4 << 20;

/// Reserved at one time, so that most of what a query holds is counted without asking its budget.
const LUMP_BYTES: u64 = 64 << 10;

/// Values looked at between two looks at the clock.
const WORK: usize = 1 << 16;

impl Cx {
    pub fn new(
        ctx: Ctx,
        source: Arc<dyn SeriesSource>,
        runtime: tokio::runtime::Handle,
        options: Arc<EngineOptions>,
        read: ReadOptions,
        step_ms: i64,
        annotations: QueryAnnotations,
    ) -> Result<Self> {
        let lookback_ms = if read.lookback_ms > 0 { read.lookback_ms } else { options.lookback_ms };
        let reservation = ctx.budget.reserve(0)?;
        Ok(Self {
            ctx,
            source,
            runtime,
            options,
            read,
            lookback_ms,
            step_ms,
            annotations,
            stats: QueryStats::default(),
            per_step: None,
            samples: 0,
            held_bytes: 0,
            reservation,
            worked: 0,
            histograms: SpareHistograms::default(),
            spare: Vec::new(),
            spare_bytes: 0,
            kept: Vec::new(),
            profile: None,
            hands: None,
        })
    }

    /// What another thread needs to evaluate a part of the query.
    pub fn share(&self) -> Shared {
        Shared {
            ctx: self.ctx.clone(),
            source: self.source.clone(),
            runtime: self.runtime.clone(),
            options: self.options.clone(),
            read: self.read.clone(),
            step_ms: self.step_ms,
            annotations: self.annotations.fresh(),
            counted: self.per_step.as_ref().map(|(grid, _)| *grid),
        }
    }

    /// What was found and counted since the last time, for [`Cx::absorb`].
    pub fn take_findings(&mut self) -> Findings {
        let fresh = self.annotations.fresh();
        let counts = self.per_step.as_mut().map(|(_, counts)| {
            let none = vec![0; counts.len()];
            std::mem::replace(counts, none)
        });
        Findings {
            annotations: std::mem::replace(&mut self.annotations, fresh),
            stats: std::mem::take(&mut self.stats),
            counts,
        }
    }

    /// Adds what was found and counted on another thread.
    pub fn absorb(&mut self, found: Findings) {
        let Findings { annotations, stats, counts } = found;
        self.annotations.absorb(annotations);
        self.stats.total_samples += stats.total_samples;
        self.stats.decoded_samples += stats.decoded_samples;
        self.stats.series += stats.series;
        self.stats.chunk_bytes += stats.chunk_bytes;
        self.stats.peak_samples = self.stats.peak_samples.max(self.samples as u64 + stats.peak_samples);
        self.stats.peak_bytes = self.stats.peak_bytes.max(self.held_bytes + stats.peak_bytes);
        if let (Some((_, counted)), Some(counts)) = (&mut self.per_step, counts) {
            counted.iter_mut().zip(counts).for_each(|(counted, more)| *counted += more);
        }
    }

    /// Counts samples by the steps of `grid` from here on.
    pub fn count_steps(&mut self, grid: Grid) {
        self.per_step = Some((grid, vec![0; grid.steps()]));
    }

    /// The counters of [`Cx::count_steps`], if `grid` is what they count by. Steps of subqueries do not count: what they
    /// look at counts where their windows are.
    pub fn step_counters(&mut self, grid: Grid) -> Option<&mut [u64]> {
        self.per_step.as_mut().filter(|(counted, _)| *counted == grid).map(|(_, counts)| counts.as_mut_slice())
    }

    /// What was counted, and by which steps.
    pub fn take_step_counts(&mut self) -> Option<Vec<(i64, u64)>> {
        let (grid, counts) = self.per_step.take()?;
        Some(counts.into_iter().enumerate().map(|(i, n)| (grid.time(i), n)).collect())
    }

    /// Fails once the request has been cancelled or its deadline has passed.
    pub fn check(&self) -> Result<()> {
        Ok(self.ctx.check()?)
    }

    /// Counts `amount` values or bytes looked at; every now and then asks whether to go on.
    #[inline]
    pub fn work(&mut self, amount: usize) -> Result<()> {
        self.worked = self.worked.saturating_add(amount);
        if self.worked < WORK {
            return Ok(());
        }
        self.worked = 0;
        self.check()
    }

    /// The next series of `stream`. What is done with it later is in proportion to its size, so that counts as work here.
    pub fn next(&mut self, stream: &mut Stream) -> Result<Option<StepSeries>> {
        let next = stream.next(self)?;
        if let Some(series) = &next {
            self.work(series.column.steps() + series.labels.size_bytes() + 64)?;
        }
        Ok(next)
    }

    /// A column without values, from the spare ones if there is one.
    pub fn column(&mut self, steps: usize) -> StepColumn {
        match self.spare.pop() {
            Some(mut column) => {
                self.spare_bytes -= column.size_bytes();
                column.reset(steps);
                column
            }
            None => StepColumn::absent(steps),
        }
    }

    /// Up to `count` of the spare columns.
    pub fn spare_columns(&mut self, count: usize) -> Vec<StepColumn> {
        let columns = self.spare.split_off(self.spare.len().saturating_sub(count));
        self.spare_bytes -= columns.iter().map(StepColumn::size_bytes).sum::<usize>();
        columns
    }

    /// Takes a column back for reuse.
    pub fn recycle(&mut self, mut column: StepColumn) {
        column.native_histograms.drain(..).for_each(|(_, h)| self.histograms.give(h));
        let bytes = column.size_bytes();
        if self.spare.len() < SPARE_MAX && self.spare_bytes + bytes <= SPARE_BYTES_MAX {
            self.spare_bytes += bytes;
            self.spare.push(column);
        }
    }

    /// Refuses more steps, or decoded samples of one series, than a query may hold: no memory is taken for them.
    pub fn check_size(&self, count: usize, what: &str) -> Result<()> {
        let max = match self.options.max_samples {
            0 => STEPS_MAX,
            max => max.min(STEPS_MAX),
        };
        if count > max {
            return Err(QueryError::Limit(format!(
                "query processing would load too many samples into memory in query execution: {count} {what}, limit {max} \
                 (--query.max-samples)"
            )));
        }
        Ok(())
    }

    /// Refuses more series than a query may read.
    pub fn check_series(&self) -> Result<()> {
        let max = self.options.max_series;
        if max > 0 && self.stats.series > max {
            return Err(QueryError::Limit(format!(
                "the query would read more than {max} series (--query.max-series): narrow its selectors"
            )));
        }
        Ok(())
    }

    /// Counts what the columns of `grid` take that are on their way between operators, for the rest of the query;
    /// `per_step` bytes each step.
    pub fn hold_grid(&mut self, grid: Grid, per_step: usize) -> Result<()> {
        self.hold(0, grid.steps().saturating_mul(per_step))
    }

    /// Refuses a label value of `bytes` that is too long; called before it is made.
    pub fn check_label(&self, bytes: usize, name: &str) -> Result<()> {
        let max = self.options.max_label_bytes;
        if max > 0 && bytes > max {
            return Err(QueryError::Limit(format!(
                "the query would make a value of label {:?} of {bytes} bytes, over the limit of {max} \
                 (--query.max-label-bytes)",
                crate::annotations::shown(name)
            )));
        }
        Ok(())
    }

    /// Makes labels of about `bytes`, for which there must be room: the new value, the builder's copy, the encoded pairs
    /// twice.
    pub fn make_labels<T>(&mut self, bytes: usize, make: impl FnOnce() -> T) -> Result<T> {
        let room = bytes.saturating_mul(4);
        self.hold(0, room)?;
        let labels = make();
        self.release(0, room);
        self.work(bytes)?;
        Ok(labels)
    }

    /// Counts samples and bytes that stay in memory from here on.
    pub fn hold(&mut self, samples: usize, bytes: usize) -> Result<()> {
        self.samples += samples;
        self.stats.peak_samples = self.stats.peak_samples.max(self.samples as u64);
        let max = self.options.max_samples;
        if max > 0 && self.samples > max {
            return Err(QueryError::Limit(format!(
                "query processing would load too many samples into memory in query execution: {} held, limit {max} \
                 (--query.max-samples)",
                self.samples
            )));
        }
        self.held_bytes = self.held_bytes.saturating_add(bytes as u64);
        if self.held_bytes > self.reservation.bytes() {
            self.reserve()?;
        }
        self.stats.peak_bytes = self.stats.peak_bytes.max(self.held_bytes);
        Ok(())
    }

    fn reserve(&mut self) -> Result<()> {
        let missing = self.held_bytes - self.reservation.bytes();
        // Close to the limit, no more than is needed.
        if self.reservation.grow(missing.max(LUMP_BYTES)).is_err() {
            self.reservation.grow(missing)?;
        }
        self.check()
    }

    /// Samples that are held now.
    pub fn held_samples(&self) -> usize {
        self.samples
    }

    /// Counts back what [`Cx::hold`] counted.
    pub fn release(&mut self, samples: usize, bytes: usize) {
        self.samples = self.samples.saturating_sub(samples);
        self.held_bytes = self.held_bytes.saturating_sub(bytes as u64);
        let unused = self.reservation.bytes().saturating_sub(self.held_bytes);
        if unused > 4 * LUMP_BYTES {
            self.reservation.shrink(unused - LUMP_BYTES);
        }
    }

    /// What the answer holds, when the evaluation is over.
    pub fn into_result(mut self) -> (QueryAnnotations, QueryStats, Reservation) {
        self.reservation.shrink(self.reservation.bytes().saturating_sub(self.held_bytes));
        (self.annotations, self.stats, self.reservation)
    }

    /// [`Cx::hold`] of a series.
    pub fn hold_series(&mut self, series: &StepSeries) -> Result<()> {
        self.hold(series.column.count(), series.size_bytes())
    }

    /// [`Cx::release`] of a series.
    pub fn release_series(&mut self, series: &StepSeries) {
        self.release(series.column.count(), series.size_bytes());
    }

    /// A select over `range` with this query's settings; `range_ms` is a range selector's own, else that of a subquery
    /// counts. Where the resolution was chosen by the client, it stays the limit.
    pub fn select(&self, range: TimeRange, plan: &SelectPlan, wanted: Reads, range_ms: Option<i64>) -> Select {
        let mut select = Select::new(range, plan.matchers.clone());
        let allowed_ms = self.read.max_resolution_ms;
        // A range of two windows is the least that can be reckoned with; where there are none so short, longer will do.
        select.max_resolution_ms = range_ms.or(plan.within_ms).map_or(allowed_ms, |r| allowed_ms.min(r / 2));
        select.coarser = self.read.auto_resolution || select.max_resolution_ms < allowed_ms;
        if !self.read.auto_resolution {
            select.coarsest_ms = allowed_ms;
        }
        // Windows that hold the first or the last look end outside of the range.
        let window_ms = Resolution::coarsest_within(select.max_resolution_ms).map_or(0, Resolution::ms);
        select.range = TimeRange::new(range.min.saturating_sub(window_ms), range.max.saturating_add(window_ms));
        select.aggregates = reads::aggregates(wanted);
        select.partial_response = self.read.partial_response;
        select.step_ms = self.step_ms;
        select.function = plan.hint.clone();
        select.labels = plan.labels.get().cloned();
        select
    }

    /// Whether names are dropped at the end only.
    pub fn delayed(&self) -> bool {
        self.options.delayed_name_removal
    }
}

/// A series without its metric name, now or by mark.
pub(crate) fn drop_name(mut series: StepSeries, cx: &Cx) -> StepSeries {
    series.drop_name = true;
    if !cx.delayed() {
        series.labels = series.labels.without(&METADATA_LABELS);
    }
    series
}

/// The steps of a subquery that serve `outer`.
pub(crate) fn subquery_grid(outer: Grid, at_ms: Option<i64>, offset_ms: i64, range_ms: i64, step_ms: i64) -> Grid {
    let (first, last) = match at_ms {
        Some(at) => (at, at),
        None => (outer.start_ms, outer.time(outer.steps().max(1) - 1)),
    };
    let open = first - offset_ms - range_ms;
    let mut start_ms = step_ms * (open / step_ms);
    if start_ms <= open {
        start_ms += step_ms;
    }
    Grid { start_ms, end_ms: last - offset_ms, step_ms }
}
