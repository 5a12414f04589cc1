//! A chunk as blocks hold it.

use bytes::Bytes;

use crate::{Encoding, Error, aggr, num_samples};

/// One chunk of a series with the time it spans; times inclusive.
#[derive(Debug, Clone, PartialEq)]
pub struct TimedChunk {
    /// Time of the first sample, ms.
    pub min_time: i64,
    /// Time of the last sample, ms.
    pub max_time: i64,
    /// How the bytes of `data` are to be read.
    pub encoding: Encoding,
    /// Without encoding byte and CRC.
    pub data: Bytes,
}

impl TimedChunk {
    /// How many samples it holds, as its header says; of aggregates, how many windows.
    ///
    /// # Errors
    /// [`Error`] when the bytes make no header.
    pub fn num_samples(&self) -> Result<usize, Error> {
        if self.encoding != Encoding::Aggregates {
            return num_samples(self.encoding, &self.data);
        }
        // The count aggregate has one sample per window.
        match &aggr::decode(&self.data)?[0] {
            Some((encoding, data)) => num_samples(*encoding, data),
            None => Ok(0),
        }
    }
}
