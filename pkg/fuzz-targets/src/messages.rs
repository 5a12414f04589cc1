//! What comes over the network.

use bytes::Bytes;
use storage::Series;

use crate::checksums;

/// Above the size of any input here.
const BYTES_MAX: usize = 1 << 20;

fn look(series: &[Series]) {
    for series in series {
        assert!(series.labels.iter().is_sorted());
    }
}

/// A streamed answer of remote read: its first byte says in what parts it comes, the rest is frames.
pub fn remote_frames(data: &[u8]) {
    let Some((part, data)) = data.split_first() else { return };
    let part = usize::from(*part).max(1);
    if let Ok(series) = remote::untrusted::streamed(data, part, BYTES_MAX) {
        look(&series);
    }
    let mut repaired = data.to_vec();
    checksums::frames(&mut repaired);
    if let Ok(series) = remote::untrusted::streamed(&repaired, part, BYTES_MAX) {
        look(&series);
    }
}

/// One message of such an answer.
pub fn remote_message(data: &[u8]) {
    if let Ok(series) = remote::untrusted::message(Bytes::copy_from_slice(data)) {
        look(&series);
    }
}

/// The other form of answer: as it is, and as what is inside the compression.
pub fn remote_samples(data: &[u8]) {
    drop(remote::untrusted::sampled(data, BYTES_MAX));
    if let Ok(packed) = snap::raw::Encoder::new().compress_vec(data)
        && let Ok(series) = remote::untrusted::sampled(&packed, BYTES_MAX)
    {
        look(&series);
    }
}

/// A message of a StoreAPI answer.
pub fn store_answer(data: &[u8]) {
    if let Ok(series) = storeapi::untrusted::answer(&Bytes::copy_from_slice(data)) {
        for series in &series {
            assert!(series.chunks.is_sorted_by_key(|c| c.min_time));
        }
        look(&series);
    }
    drop(storeapi::untrusted::label_values(data));
}

/// A StoreAPI request.
pub fn store_request(data: &[u8]) {
    drop(storeapi::untrusted::request(data));
}

/// Rules, targets, metadata, exemplars, statistics.
pub fn inspect_messages(data: &[u8]) {
    storeapi::untrusted::inspected(data);
}

/// A gRPC body in the snappy encoding.
pub fn grpc_snappy(data: &[u8]) {
    drop(transport::grpc::unpack_all(data));
}
