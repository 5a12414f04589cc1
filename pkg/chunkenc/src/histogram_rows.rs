//! The samples of a histogram chunk, written one by one, and read back exactly for being written again.

use std::fmt;

use model::is_stale;

use crate::Error;
use crate::bits::{BitReader, BitWriter};
use crate::start_times::StartTimes;
use crate::xor::{Window, read_xor, write_xor};

/// One sample. Buckets hold absolute counts in layout order; stale samples have none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row<C> {
    pub(crate) time: i64,
    /// 0 = unknown. Written and read by those who have a place for it.
    pub(crate) start: i64,
    pub(crate) count: C,
    pub(crate) zero_count: C,
    pub(crate) sum: f64,
    pub(crate) positive: Vec<C>,
    pub(crate) negative: Vec<C>,
}

/// What the last sample was, for writing the next one as a change of it.
pub(crate) trait Fields: Default + Clone + fmt::Debug {
    /// Counts of buckets and observations.
    type Count: Copy + PartialOrd + Default + fmt::Debug;

    /// Writes a sample.
    fn write(&mut self, bits: &mut BitWriter, row: &Row<Self::Count>, first: bool);

    /// The last sample's time; 0 before any.
    fn row_time(&self) -> i64;

    /// The last sample.
    fn row(&self) -> Row<Self::Count>;

    /// All samples that were written, none of them stale. `starts` reads what is behind each of them.
    fn read(
        data: &[u8],
        samples: usize,
        buckets: (usize, usize),
        starts: Option<StartTimes>,
    ) -> Result<Vec<Row<Self::Count>>, Error>;

    /// Bytes on the heap.
    fn size_bytes(&self) -> usize;
}

/// An integer written by the change of its change.
#[derive(Debug, Clone, Copy, Default)]
struct Changing {
    value: i64,
    delta: i64,
}

impl Changing {
    fn write(&mut self, bits: &mut BitWriter, value: i64) {
        let delta = value.wrapping_sub(self.value);
        bits.varbit_int(delta.wrapping_sub(self.delta));
        *self = Self { value, delta };
    }

    fn read(&mut self, bits: &mut BitReader<'_>) -> i64 {
        self.delta = self.delta.wrapping_add(bits.varbit_int());
        self.value = self.value.wrapping_add(self.delta);
        self.value
    }
}

/// Fields of an integer chunk. A bucket is the difference to its left neighbour.
#[derive(Debug, Clone, Default)]
pub(crate) struct IntegerFields {
    time: Changing,
    count: Changing,
    zero: Changing,
    sum: u64,
    window: Option<Window>,
    positive: Vec<Changing>,
    negative: Vec<Changing>,
}

/// Sums of differences.
fn absolute(fields: &[Changing]) -> Vec<i64> {
    let sum = |sum: &mut i64, field: &Changing| {
        *sum = sum.wrapping_add(field.value);
        Some(*sum)
    };
    fields.iter().scan(0, sum).collect()
}

impl Fields for IntegerFields {
    type Count = i64;

    fn write(&mut self, bits: &mut BitWriter, row: &Row<i64>, first: bool) {
        let sum = row.sum.to_bits();
        if first {
            bits.varbit_int(row.time);
            bits.varbit_uint(row.count as u64);
            bits.varbit_uint(row.zero_count as u64);
            bits.write(sum, 64);
            self.time.value = row.time;
            (self.count.value, self.zero.value) = (row.count, row.zero_count);
            self.positive = vec![Changing::default(); row.positive.len()];
            self.negative = vec![Changing::default(); row.negative.len()];
        } else {
            self.time.write(bits, row.time);
            if is_stale(row.sum) {
                bits.varbit_int(0);
                bits.varbit_int(0);
            } else {
                self.count.write(bits, row.count);
                self.zero.write(bits, row.zero_count);
            }
            write_xor(bits, sum, self.sum, &mut self.window);
        }
        self.sum = sum;
        for (buckets, fields) in [(&row.positive, &mut self.positive), (&row.negative, &mut self.negative)] {
            let mut before = 0i64;
            for (bucket, field) in buckets.iter().zip(fields.iter_mut()) {
                let value = bucket.wrapping_sub(before);
                before = *bucket;
                if first {
                    bits.varbit_int(value);
                    field.value = value;
                } else {
                    field.write(bits, value);
                }
            }
        }
    }

    fn row_time(&self) -> i64 {
        self.time.value
    }

    fn row(&self) -> Row<i64> {
        Row {
            time: self.time.value,
            start: 0,
            count: self.count.value,
            zero_count: self.zero.value,
            sum: f64::from_bits(self.sum),
            positive: absolute(&self.positive),
            negative: absolute(&self.negative),
        }
    }

    fn read(
        data: &[u8],
        samples: usize,
        buckets: (usize, usize),
        mut starts: Option<StartTimes>,
    ) -> Result<Vec<Row<i64>>, Error> {
        let mut bits = BitReader::new(data);
        let mut fields = Self {
            positive: vec![Changing::default(); buckets.0],
            negative: vec![Changing::default(); buckets.1],
            ..Self::default()
        };
        let mut window = Window::FULL;
        let mut rows = Vec::with_capacity(samples);
        for sample in 0..samples {
            let (bits, before) = (&mut bits, fields.time.value);
            if sample == 0 {
                fields.time.value = bits.varbit_int();
                fields.count.value = bits.varbit_uint() as i64;
                fields.zero.value = bits.varbit_uint() as i64;
                fields.sum = bits.take(64);
                let buckets = fields.positive.iter_mut().chain(&mut fields.negative);
                buckets.for_each(|bucket| bucket.value = bits.varbit_int());
            } else {
                fields.time.read(bits);
                fields.count.read(bits);
                fields.zero.read(bits);
                read_xor(bits, &mut fields.sum, &mut window).map_err(|what| Error::Invalid { sample, what })?;
                let buckets = fields.positive.iter_mut().chain(&mut fields.negative);
                buckets.for_each(|bucket| {
                    bucket.read(bits);
                });
            }
            let start = read_start(&mut starts, bits, sample, before, fields.time.value)?;
            rows.push(Row { start, ..fields.row() });
        }
        Ok(rows)
    }

    fn size_bytes(&self) -> usize {
        (self.positive.capacity() + self.negative.capacity()) * size_of::<Changing>()
    }
}

fn read_start(
    starts: &mut Option<StartTimes>,
    bits: &mut BitReader<'_>,
    sample: usize,
    before: i64,
    time: i64,
) -> Result<i64, Error> {
    let Some(starts) = starts else { return Ok(0) };
    let start = starts.read_one(bits, sample, before, time);
    start.ok_or_else(|| Error::Invalid { sample, what: "start time is no 64-bit varint".to_owned() })
}

/// A float that is written XORed with the one before.
#[derive(Debug, Clone, Copy, Default)]
struct Xored {
    bits: u64,
    window: Option<Window>,
}

/// Fields of a float chunk: count, zero count, sum, positive and negative buckets.
#[derive(Debug, Clone, Default)]
pub(crate) struct FloatFields {
    time: Changing,
    all: Vec<Xored>,
    positive: usize,
}

impl Fields for FloatFields {
    type Count = f64;

    fn write(&mut self, bits: &mut BitWriter, row: &Row<f64>, first: bool) {
        let values = [row.count, row.zero_count, row.sum];
        let values = values.iter().chain(&row.positive).chain(&row.negative).map(|v| v.to_bits());
        if first {
            bits.varbit_int(row.time);
            self.time.value = row.time;
            self.positive = row.positive.len();
            self.all = values.map(|bits| Xored { bits, window: None }).collect();
            self.all.iter().for_each(|field| bits.write(field.bits, 64));
        } else {
            self.time.write(bits, row.time);
            for (value, field) in values.zip(&mut self.all) {
                write_xor(bits, value, field.bits, &mut field.window);
                field.bits = value;
            }
        }
    }

    fn row_time(&self) -> i64 {
        self.time.value
    }

    fn row(&self) -> Row<f64> {
        let value = |at: usize| self.all.get(at).map_or(0.0, |field| f64::from_bits(field.bits));
        let buckets = self.all.get(3..).unwrap_or(&[]).iter().map(|field| f64::from_bits(field.bits));
        let mut positive: Vec<f64> = buckets.collect();
        let negative = positive.split_off(self.positive.min(positive.len()));
        Row {
            time: self.time.value,
            start: 0,
            count: value(0),
            zero_count: value(1),
            sum: value(2),
            positive,
            negative,
        }
    }

    fn read(
        data: &[u8],
        samples: usize,
        buckets: (usize, usize),
        mut starts: Option<StartTimes>,
    ) -> Result<Vec<Row<f64>>, Error> {
        let mut bits = BitReader::new(data);
        let mut fields = Self { positive: buckets.0, ..Self::default() };
        let mut windows = vec![Window::FULL; 3 + buckets.0 + buckets.1];
        let mut rows = Vec::with_capacity(samples);
        for sample in 0..samples {
            let before = fields.time.value;
            if sample == 0 {
                fields.time.value = bits.varbit_int();
                fields.all = windows.iter().map(|_| Xored { bits: bits.take(64), window: None }).collect();
            } else {
                fields.time.read(&mut bits);
                for (field, window) in fields.all.iter_mut().zip(&mut windows) {
                    read_xor(&mut bits, &mut field.bits, window).map_err(|what| Error::Invalid { sample, what })?;
                }
            }
            let start = read_start(&mut starts, &mut bits, sample, before, fields.time.value)?;
            rows.push(Row { start, ..fields.row() });
        }
        Ok(rows)
    }

    fn size_bytes(&self) -> usize {
        self.all.capacity() * size_of::<Xored>()
    }
}
