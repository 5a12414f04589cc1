//! The chunk of a series that still grows.

use chunkenc::{
    Column, Encoding, FloatHistogramAppender, HistogramAppender, TimedChunk, Xor2Appender, XorState, decode_floats,
};

use super::parts::Full;

#[derive(Debug, Default)]
pub(crate) enum Open {
    #[default]
    None,
    Xor(OpenXor),
    Rare(Box<OpenRare>),
}

/// Floats without start times.
#[derive(Debug)]
pub(crate) struct OpenXor {
    pub state: XorState,
    pub buffer: Box<[u8]>,
    pub first_time: i64,
    /// A sample from here on begins a new chunk.
    pub cut_at: i64,
}

/// What other chunks are made of.
#[derive(Debug)]
pub(crate) struct OpenRare {
    pub first_time: i64,
    pub last_time: i64,
    pub cut_at: i64,
    pub writer: Writer,
}

#[derive(Debug)]
pub(crate) enum Writer {
    /// Floats with start times.
    Xor2(Xor2Appender),
    Histogram(HistogramAppender),
    FloatHistogram(FloatHistogramAppender),
}

impl Writer {
    pub fn len(&self) -> usize {
        match self {
            Self::Xor2(floats) => floats.len(),
            Self::Histogram(h) => h.len(),
            Self::FloatHistogram(h) => h.len(),
        }
    }

    pub fn encoding(&self) -> Encoding {
        match self {
            Self::Xor2(_) => Encoding::Xor2,
            Self::Histogram(h) => h.encoding(),
            Self::FloatHistogram(h) => h.encoding(),
        }
    }

    /// Bytes of its chunk, about.
    pub fn data_bytes(&self) -> usize {
        match self {
            Self::Xor2(floats) => floats.size_bytes(),
            Self::Histogram(h) => h.data_bytes(),
            Self::FloatHistogram(h) => h.data_bytes(),
        }
    }

    fn data(&self) -> Vec<u8> {
        match self {
            Self::Xor2(floats) => floats.to_vec(),
            Self::Histogram(h) => h.to_vec(),
            Self::FloatHistogram(h) => h.to_vec(),
        }
    }
}

impl Open {
    pub fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Xor(open) => open.state.len(),
            Self::Rare(open) => open.writer.len(),
        }
    }

    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// First and last sample's time.
    pub fn times(&self) -> Option<(i64, i64)> {
        match self {
            Self::None => None,
            Self::Xor(open) => Some((open.first_time, open.state.last_time())),
            Self::Rare(open) => Some((open.first_time, open.last_time)),
        }
    }

    pub fn last_float(&self) -> Option<f64> {
        match self {
            Self::Xor(open) => Some(open.state.last_value()),
            Self::Rare(open) => match &open.writer {
                Writer::Xor2(floats) => Some(floats.last_value()),
                _ => None,
            },
            Self::None => None,
        }
    }

    /// Its first `samples` samples as a chunk. `None` without any.
    pub fn chunk(&self, samples: usize) -> Result<Option<TimedChunk>, chunkenc::Error> {
        let Some((min_time, max_time)) = self.times() else { return Ok(None) };
        if samples == 0 {
            return Ok(None);
        }
        let (encoding, mut data) = match self {
            Self::None => return Ok(None),
            Self::Xor(open) => {
                let mut data = Vec::with_capacity(open.state.size_bytes());
                open.state.write_to(&open.buffer, samples, &mut data);
                (Encoding::Xor, data)
            }
            Self::Rare(open) => (open.writer.encoding(), open.writer.data()),
        };
        let max_time = if samples < self.len() { shorten(encoding, &mut data, samples)? } else { max_time };
        Ok(Some(TimedChunk { min_time, max_time, encoding, data: data.into() }))
    }

    /// The chunk, which is full.
    pub fn finish(self) -> Result<Option<Full>, chunkenc::Error> {
        let (Some((min_time, max_time)), samples) = (self.times(), self.len() as u16) else { return Ok(None) };
        let (encoding, data) = match self {
            Self::None => return Ok(None),
            Self::Xor(open) => (Encoding::Xor, open.state.finish(open.buffer)),
            Self::Rare(open) => (open.writer.encoding(), open.writer.data()),
        };
        Ok(Some(Full { min_time, max_time, encoding, samples, data: data.into() }))
    }

    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Xor(open) => open.buffer.len(),
            Self::Rare(open) => {
                size_of::<OpenRare>()
                    + match &open.writer {
                        Writer::Xor2(floats) => floats.size_bytes(),
                        Writer::Histogram(h) => h.size_bytes(),
                        Writer::FloatHistogram(h) => h.size_bytes(),
                    }
            }
        }
    }
}

/// Makes a chunk one of its first `samples` samples, and tells the time of the last of them. All encodings are read from
/// the front and say in their head how far.
pub(crate) fn shorten(encoding: Encoding, data: &mut [u8], samples: usize) -> Result<i64, chunkenc::Error> {
    if let Some(head) = data.first_chunk_mut::<2>() {
        let count = (samples as u16).to_be_bytes();
        match encoding {
            Encoding::HistogramSt | Encoding::FloatHistogramSt => {
                *head = [head[0] & 0xc0 | count[0] & 0x3f, count[1]];
            }
            _ => *head = count,
        }
    }
    if encoding.is_float() {
        let mut column = Column::new();
        decode_floats(encoding, data, &mut column)?;
        return Ok(column.times.last().copied().unwrap_or(i64::MIN));
    }
    let mut column = chunkenc::HistogramColumn::default();
    chunkenc::decode_histograms(encoding, data, &mut column)?;
    Ok(column.times.last().copied().unwrap_or(i64::MIN))
}
