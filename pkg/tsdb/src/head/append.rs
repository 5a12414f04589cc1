//! Appending a sample to the open chunk of a series.

use chunkenc::{Appended, Error, ResetFlag, Xor2Appender, XorState};
use histogram::ResetHint;
use storage::append::HistogramValue;

use super::cutpoints::{BYTES_MAX, HISTOGRAM_BYTES, HISTOGRAM_SAMPLES_MIN, SAMPLES, predicted_end, range_end};
use super::encode::Encodings;
use super::open::{Open, OpenRare, OpenXor, Writer};
use super::parts::Value;
use super::series::Series;

/// How chunks are cut and written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChunkRules {
    pub range_ms: i64,
    pub encodings: Encodings,
}

/// What became of the chunks of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The open chunk has one sample more.
    Grew,
    /// A chunk was begun.
    Began,
    /// A chunk became full, and another was begun.
    Cut,
}

impl Step {
    fn after(sealed: bool) -> Self {
        if sealed { Self::Cut } else { Self::Began }
    }
}

impl Series {
    /// Appends a float that is newer than all before.
    #[inline]
    pub fn append_float(
        &mut self,
        rules: ChunkRules,
        (time_ms, start_ms): (i64, i64),
        value: f64,
    ) -> Result<Step, Error> {
        if rules.encodings.xor2 {
            return self.append_xor2(rules, (time_ms, start_ms), value);
        }
        let spread = (self.spread, rules.range_ms);
        let mut step = Step::Grew;
        let cut = if let Open::Xor(open) = &mut self.open { must_cut(open, time_ms, spread) } else { true };
        match &mut self.open {
            Open::Xor(open) if !cut => open.state.append(&mut open.buffer, time_ms, value)?,
            _ => {
                step = Step::after(self.seal()?);
                let (mut state, mut buffer) = (XorState::new(), Box::default());
                state.append(&mut buffer, time_ms, value)?;
                let cut_at = range_end(time_ms, rules.range_ms);
                self.open = Open::Xor(OpenXor { state, buffer, first_time: time_ms, cut_at });
            }
        }
        self.appended(time_ms, &Value::Float(value));
        Ok(step)
    }

    /// Appends a float that is newer than all before, if that is plain to do: the open chunk goes on, and the series has nothing
    /// of what few have. By how many bytes it grew on the heap; `None` if nothing was done.
    #[inline]
    pub fn append_plain(&mut self, rules: ChunkRules, time_ms: i64, value: f64) -> Option<usize> {
        let Open::Xor(open) = &mut self.open else { return None };
        if self.extra.is_some() || rules.encodings.xor2 || must_cut(open, time_ms, (self.spread, rules.range_ms)) {
            return None;
        }
        let bytes = open.buffer.len();
        open.state.append(&mut open.buffer, time_ms, value).ok()?;
        (self.last_time, self.stale) = (time_ms, model::is_stale(value));
        Some(open.buffer.len() - bytes)
    }

    fn append_xor2(&mut self, rules: ChunkRules, (time_ms, start_ms): (i64, i64), value: f64) -> Result<Step, Error> {
        let spread = (self.spread, rules.range_ms);
        let mut step = Step::Grew;
        let cut = if let Open::Rare(open) = &mut self.open { must_cut_rare(open, time_ms, spread) } else { true };
        if !cut
            && let Open::Rare(open) = &mut self.open
            && let Writer::Xor2(floats) = &mut open.writer
        {
            floats.append(start_ms, time_ms, value)?;
            open.last_time = time_ms;
        } else {
            step = Step::after(self.seal()?);
            let mut floats = Xor2Appender::new();
            floats.append(start_ms, time_ms, value)?;
            self.begin(rules, time_ms, Writer::Xor2(floats));
        }
        self.appended(time_ms, &Value::Float(value));
        Ok(step)
    }

    /// Appends a valid histogram that is newer than all before.
    pub fn append_histogram(
        &mut self,
        rules: ChunkRules,
        (time_ms, start_ms): (i64, i64),
        value: &HistogramValue,
    ) -> Result<Step, Error> {
        let spread = (self.spread, rules.range_ms);
        let mut flag = ResetFlag::Unknown;
        if let Open::Rare(open) = &mut self.open
            && same_kind(&open.writer, value, rules.encodings)
        {
            if must_cut_rare(open, time_ms, spread) {
                flag = self.flag_after(value);
            } else {
                match write(&mut open.writer, (time_ms, start_ms), value)? {
                    Appended::Cut(next) => flag = next,
                    Appended::InPlace | Appended::Widened => {
                        open.last_time = time_ms;
                        self.appended(time_ms, &Value::Histogram(value.clone()));
                        return Ok(Step::Grew);
                    }
                }
            }
        }
        let mut writer = match value {
            HistogramValue::Int(_) => Writer::Histogram(rules.encodings.integers(flag)),
            HistogramValue::Float(_) => Writer::FloatHistogram(rules.encodings.floats(flag)),
        };
        if let Appended::Cut(_) = write(&mut writer, (time_ms, start_ms), value)? {
            return Err(Error::Encoding("the first histogram of a chunk does not fit".to_owned()));
        }
        let step = Step::after(self.seal()?);
        self.begin(rules, time_ms, writer);
        self.appended(time_ms, &Value::Histogram(value.clone()));
        Ok(step)
    }

    fn begin(&mut self, rules: ChunkRules, time_ms: i64, writer: Writer) {
        let cut_at = range_end(time_ms, rules.range_ms);
        self.open = Open::Rare(Box::new(OpenRare { first_time: time_ms, last_time: time_ms, cut_at, writer }));
    }

    fn appended(&mut self, time_ms: i64, value: &Value) {
        self.last_time = time_ms;
        self.stale = value.is_stale();
        match value {
            Value::Histogram(h) => self.extra().last_histogram = Some(h.clone()),
            Value::Float(_) => {
                if let Some(extra) = &mut self.extra
                    && extra.last_histogram.take().is_some()
                {
                    self.tidy();
                }
            }
        }
    }

    /// Puts the open chunk with the full ones; true if there was one.
    pub fn seal(&mut self) -> Result<bool, Error> {
        if self.open.is_none() {
            return Ok(false);
        }
        let Some(full) = std::mem::take(&mut self.open).finish()? else { return Ok(false) };
        let chunks = &mut self.extra().full;
        chunks.reserve_exact(1);
        chunks.push(full);
        Ok(true)
    }

    /// What a chunk that goes on with `value` says of a reset.
    fn flag_after(&self, value: &HistogramValue) -> ResetFlag {
        let float = |h: &HistogramValue| match h {
            HistogramValue::Int(h) => h.to_float(),
            HistogramValue::Float(h) => (**h).clone(),
        };
        let now = float(value);
        let before = self.extra.as_ref().and_then(|extra| extra.last_histogram.as_ref()).map(float);
        match (now.reset_hint, before) {
            (ResetHint::Gauge, _) => ResetFlag::Gauge,
            (ResetHint::Reset, _) => ResetFlag::Reset,
            (_, Some(before)) if before.reset_hint == ResetHint::Gauge || model::is_stale(before.sum) => {
                ResetFlag::Unknown
            }
            (_, Some(before)) if now.is_reset_since(&before) => ResetFlag::Reset,
            (_, Some(_)) => ResetFlag::NotReset,
            (_, None) => ResetFlag::Unknown,
        }
    }
}

fn same_kind(writer: &Writer, value: &HistogramValue, encodings: Encodings) -> bool {
    writer.encoding() == encodings.of_histogram(value)
}

fn write(writer: &mut Writer, (time_ms, start_ms): (i64, i64), value: &HistogramValue) -> Result<Appended, Error> {
    match (writer, value) {
        (Writer::Histogram(writer), HistogramValue::Int(h)) => writer.append_from(start_ms, time_ms, h),
        (Writer::FloatHistogram(writer), HistogramValue::Float(h)) => writer.append_from(start_ms, time_ms, h),
        (writer, _) => Err(Error::Encoding(format!("{:?} chunk for a histogram of the other kind", writer.encoding()))),
    }
}

#[inline]
fn must_cut(open: &mut OpenXor, time_ms: i64, spread: (u8, i64)) -> bool {
    let samples = open.state.len();
    if samples == SAMPLES / 4 {
        open.cut_at = predicted_end(open.first_time, open.state.last_time(), open.cut_at, 4.0, spread);
    }
    time_ms >= open.cut_at || samples >= 2 * SAMPLES || open.state.size_bytes() > BYTES_MAX
}

fn must_cut_rare(open: &mut OpenRare, time_ms: i64, spread: (u8, i64)) -> bool {
    let samples = open.writer.len();
    let Writer::Xor2(_) = &open.writer else { return must_cut_histogram(open, time_ms, spread) };
    if samples == SAMPLES / 4 {
        open.cut_at = predicted_end(open.first_time, open.last_time, open.cut_at, 4.0, spread);
    }
    time_ms >= open.cut_at || samples >= 2 * SAMPLES || open.writer.data_bytes() > BYTES_MAX
}

/// Histograms are large: their bytes count, and a few are in each chunk whatever their size.
fn must_cut_histogram(open: &mut OpenRare, time_ms: i64, spread: (u8, i64)) -> bool {
    let (samples, bytes) = (open.writer.len(), open.writer.data_bytes());
    let range_end = range_end(open.first_time, spread.1);
    if bytes > HISTOGRAM_BYTES / 4 && open.cut_at == range_end {
        let part = HISTOGRAM_BYTES as f64 / bytes as f64;
        open.cut_at = predicted_end(open.first_time, open.last_time, range_end, part, spread);
    }
    time_ms >= range_end || samples >= HISTOGRAM_SAMPLES_MIN && (time_ms >= open.cut_at || bytes >= 2 * HISTOGRAM_BYTES)
}
