//! The decoders of what a peer sends, each as one call, for fuzzing and for counting what they cost. Not part of the
//! interface.

use bytes::Bytes;
use prost::Message;
use proto::thanos as wire;
use storage::{Error, Result, Select, Series};

use crate::series_decode::{Incoming, Reader};
use crate::series_encode::{Outgoing, Writer};

/// The series of one message of an answer; none for a warning or hints.
///
/// # Errors
/// As the client.
pub fn answer(message: &Bytes) -> Result<Vec<Series>> {
    match Reader::default().read(message)? {
        Incoming::Series(batch) => Ok(batch),
        Incoming::Warning(_) | Incoming::Hints(_) | Incoming::Other => Ok(Vec::new()),
    }
}

/// The messages of one answer, each with some series, whose chunks are encoded; labels as the protocol has them, or by their
/// differences.
pub fn messages<'a>(batches: impl Iterator<Item = &'a [Series]>, deltas: bool) -> Vec<Bytes> {
    let mut writer = Writer::new(deltas);
    let write = |series: &'a [Series]| -> Bytes {
        let (head, body) = writer.write(&Outgoing::Series { series: series.to_vec(), batch: true });
        [head, body].concat().into()
    };
    batches.map(write).collect()
}

/// The series of all messages of one answer.
///
/// # Errors
/// As the client.
pub fn answers(messages: &[Bytes]) -> Result<usize> {
    let mut reader = Reader::default();
    let mut count = 0;
    for message in messages {
        if let Incoming::Series(batch) = reader.read(message)? {
            count += batch.len();
        }
    }
    Ok(count)
}

/// The values in an answer.
///
/// # Errors
/// As the client.
pub fn label_values(message: &[u8]) -> Result<Vec<String>> {
    crate::names_codec::read(message).map(|answer| answer.values)
}

/// What a request asks for.
///
/// # Errors
/// As the server.
pub fn request(message: &[u8]) -> Result<Select> {
    let request = wire::SeriesRequest::decode(message).map_err(|e| Error::Invalid(e.to_string()))?;
    crate::convert::select_from_wire(request).map(|(select, _)| select)
}

/// Reads a message as each of those that tell of an endpoint.
pub fn inspected(message: &[u8]) {
    if let Ok(group) = wire::RuleGroup::decode(message) {
        crate::inspect_convert::group_from_wire(group);
    }
    if let Ok(targets) = wire::TargetDiscovery::decode(message) {
        crate::inspect_convert::targets_from_wire(targets);
    }
    if let Ok(metadata) = wire::MetricMetadata::decode(message) {
        crate::inspect_convert::metadata_from_wire(metadata);
    }
    if let Ok(exemplars) = wire::ExemplarData::decode(message) {
        crate::inspect_convert::exemplars_from_wire(exemplars);
    }
    if let Ok(statistics) = wire::TsdbStatistics::decode(message) {
        crate::inspect_convert::statistics_from_wire(statistics);
    }
}
