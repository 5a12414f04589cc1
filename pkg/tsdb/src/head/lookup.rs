//! Looking for one sample in what a series has in memory.

use chunkenc::{Column, Encoding, HistogramColumn, decode_floats, decode_histograms};
use storage::append::HistogramValue;

use super::parts::{Full, Value};
use super::series::Series;

impl Series {
    /// The sample of a time, as far as it is in memory. Chunks on disk are not read: whoever asks holds a lock.
    pub fn find(&self, time_ms: i64) -> Option<Value> {
        if let Some(late) = self.out_of_order()
            && let Some(found) = late.find(time_ms).cloned().or_else(|| find_in(&late.full, time_ms))
        {
            return Some(found);
        }
        if self.open.times().is_some_and(|(first, last)| first <= time_ms && time_ms <= last)
            && let Ok(Some(chunk)) = self.open.chunk(usize::MAX)
        {
            return decode_at(chunk.encoding, &chunk.data, time_ms);
        }
        find_in(self.full(), time_ms)
    }
}

fn find_in(chunks: &[Full], time_ms: i64) -> Option<Value> {
    let around = chunks.iter().filter(|c| c.min_time <= time_ms && time_ms <= c.max_time);
    around.filter_map(|c| decode_at(c.encoding, &c.data, time_ms)).next()
}

fn decode_at(encoding: Encoding, data: &[u8], time_ms: i64) -> Option<Value> {
    if encoding.is_float() {
        let mut column = Column::new();
        decode_floats(encoding, data, &mut column).ok()?;
        let at = column.times.binary_search(&time_ms).ok()?;
        return column.values.get(at).copied().map(Value::Float);
    }
    let mut column = HistogramColumn::default();
    decode_histograms(encoding, data, &mut column).ok()?;
    let at = column.times.binary_search(&time_ms).ok()?;
    column.values.into_iter().nth(at).map(|h| Value::Histogram(HistogramValue::Float(h.into())))
}
