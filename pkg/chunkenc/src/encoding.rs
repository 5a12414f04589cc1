//! The byte that names a chunk's encoding.

/// How a chunk's bytes are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Encoding {
    /// Floats, XORed with the value before.
    Xor = 1,
    /// Integer native histograms.
    Histogram = 2,
    /// Float native histograms.
    FloatHistogram = 3,
    /// Floats with start timestamps and cheap stale markers (Prometheus 3.11).
    Xor2 = 4,
    /// Integer histograms with start timestamps (Prometheus 3.14).
    HistogramSt = 5,
    /// Float histograms with start timestamps (Prometheus 3.14).
    FloatHistogramSt = 6,
    /// Thanos' downsampled aggregates: up to five chunks in one.
    Aggregates = 0xff,
}

impl Encoding {
    /// The encoding of a byte on disk.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Xor,
            2 => Self::Histogram,
            3 => Self::FloatHistogram,
            4 => Self::Xor2,
            5 => Self::HistogramSt,
            6 => Self::FloatHistogramSt,
            0xff => Self::Aggregates,
            _ => return None,
        })
    }

    /// Whether samples are plain floats.
    pub fn is_float(self) -> bool {
        matches!(self, Self::Xor | Self::Xor2)
    }

    /// Whether samples are native histograms.
    pub fn is_histogram(self) -> bool {
        matches!(self, Self::Histogram | Self::FloatHistogram | Self::HistogramSt | Self::FloatHistogramSt)
    }
}
