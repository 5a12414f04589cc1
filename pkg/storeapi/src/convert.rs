//! Wire messages to domain values and back, by hand, in one place.

use std::sync::Arc;

use crate::hints::Asked;
use bytes::Bytes;
use chunkenc::{Column, Encoding, FloatHistogramAppender, HistogramColumn, ResetFlag};
use labels::{Labels, MatchType, Matcher};
use model::TimeRange;
use prost::Message;
use proto::hintspb;
use proto::thanos::{self as wire, label_matcher};
use storage::{
    Aggregate, Aggregates, Chunk, ChunkData, EncodedChunk, Error, LabelQuery, PartialResponse, Result, Select, Shard,
};

/// Labels off the wire, which must ascend strictly.
///
/// # Errors
/// [`Error::Corrupt`] on disorder or duplicates.
pub fn labels_from_wire(list: &[wire::Label]) -> Result<Labels> {
    Labels::from_sorted(list.iter().map(|l| (l.name.as_str(), l.value.as_str())))
        .map_err(|e| Error::Corrupt(e.to_string()))
}

/// Labels as messages of the wire, in their order.
pub fn labels_to_wire(labels: &Labels) -> Vec<wire::Label> {
    labels.iter().map(|(n, v)| wire::Label { name: n.to_owned(), value: v.to_owned() }).collect()
}

pub(crate) fn label_set(labels: &Labels) -> wire::LabelSet {
    wire::LabelSet { labels: labels_to_wire(labels) }
}

/// Label sets of informational messages: sorted here, since not all peers do.
pub(crate) fn label_set_from_wire(set: Option<&wire::LabelSet>) -> Labels {
    Labels::from_pairs(set.into_iter().flat_map(|s| &s.labels).map(|l| (&l.name, &l.value)))
}

/// Labels and annotations of a rule, which may have empty ones.
pub(crate) fn texts_from_wire(set: Option<&wire::LabelSet>) -> Labels {
    Labels::with_empty_values(set.into_iter().flat_map(|s| &s.labels).map(|l| (&l.name, &l.value)))
}

/// Matchers off the wire.
///
/// # Errors
/// [`Error::Invalid`] on a regular expression that does not compile or an unknown type.
pub fn matchers_from_wire(list: &[wire::LabelMatcher]) -> Result<Vec<Matcher>> {
    list.iter()
        .map(|m| {
            let kind = match label_matcher::Type::try_from(m.r#type) {
                Ok(label_matcher::Type::Eq) => MatchType::Equal,
                Ok(label_matcher::Type::Neq) => MatchType::NotEqual,
                Ok(label_matcher::Type::Re) => MatchType::Regex,
                Ok(label_matcher::Type::Nre) => MatchType::NotRegex,
                Err(_) => return Err(Error::Invalid(format!("unknown matcher type {}", m.r#type))),
            };
            Matcher::new(kind, m.name.as_str(), m.value.as_str()).map_err(|e| Error::Invalid(e.to_string()))
        })
        .collect()
}

/// Matchers as messages of the wire, in their order.
pub fn matchers_to_wire(list: &[Matcher]) -> Vec<wire::LabelMatcher> {
    let kind = |m: &Matcher| match m.kind() {
        MatchType::Equal => label_matcher::Type::Eq,
        MatchType::NotEqual => label_matcher::Type::Neq,
        MatchType::Regex => label_matcher::Type::Re,
        MatchType::NotRegex => label_matcher::Type::Nre,
    };
    list.iter()
        .map(|m| wire::LabelMatcher { r#type: kind(m) as i32, name: m.name().to_owned(), value: m.value().to_owned() })
        .collect()
}

/// A shard off the wire; `None` where one shard is the whole.
pub fn shard_from_wire(info: Option<wire::ShardInfo>) -> Option<Shard> {
    info.filter(|s| s.total_shards > 1).map(|s| Shard {
        index: s.shard_index.max(0) as u64,
        total: s.total_shards as u64,
        by: s.by,
        labels: s.labels,
    })
}

/// A shard for the wire.
pub fn shard_to_wire(shard: &Shard) -> wire::ShardInfo {
    wire::ShardInfo {
        shard_index: shard.index as i64,
        total_shards: shard.total as i64,
        by: shard.by,
        labels: shard.labels.clone(),
    }
}

pub(crate) fn strategy_from_wire(disabled: bool, strategy: i32) -> PartialResponse {
    match disabled || strategy == wire::PartialResponseStrategy::Abort as i32 {
        true => PartialResponse::Abort,
        false => PartialResponse::Warn,
    }
}

pub(crate) fn strategy_to_wire(partial: PartialResponse) -> i32 {
    match partial {
        PartialResponse::Warn => wire::PartialResponseStrategy::Warn as i32,
        PartialResponse::Abort => wire::PartialResponseStrategy::Abort as i32,
    }
}

pub(crate) fn select_from_wire(request: wire::SeriesRequest) -> Result<(Select, Asked)> {
    let (block_matchers, asked) = match &request.hints {
        Some(any) => {
            let hints = unpack::<hintspb::SeriesRequestHints>("SeriesRequestHints", any)?;
            (hints.block_matchers, Asked { blocks: true, stats: hints.enable_query_stats })
        }
        None => (Vec::new(), Asked::default()),
    };
    let aggregates: Vec<Aggregate> = request.aggregates().filter_map(aggregate_from_wire).collect();
    let select = Select {
        range: TimeRange::new(request.min_time, request.max_time),
        matchers: matchers_from_wire(&request.matchers)?.into(),
        skip_chunks: request.skip_chunks,
        limit: usize::try_from(request.limit).unwrap_or(0),
        max_resolution_ms: request.max_resolution_window.max(0),
        coarser: request.coarser,
        coarsest_ms: if request.coarsest_window > 0 { request.coarsest_window } else { i64::MAX },
        aggregates: Aggregates::of(&aggregates),
        without_replica_labels: request.without_replica_labels.into(),
        shard: shard_from_wire(request.shard_info),
        partial_response: strategy_from_wire(request.partial_response_disabled, request.partial_response_strategy),
        step_ms: request.query_hints.as_ref().map_or(request.step, |h| h.step_millis),
        function: request.query_hints.and_then(|h| h.func).filter(|f| !f.name.is_empty()).map(|f| f.name.into()),
        labels: request.projected.then(|| sorted(request.projected_labels)),
        block_matchers: matchers_from_wire(&block_matchers)?.into(),
    };
    Ok((select, asked))
}

fn sorted(mut names: Vec<String>) -> Arc<[String]> {
    names.sort();
    names.into()
}

/// `is_counted`: the answer is to end with what it cost.
pub(crate) fn select_to_wire(want: &Select, batch: usize, is_counted: bool) -> wire::SeriesRequest {
    let mut aggregates: Vec<i32> = want.aggregates.iter().map(|a| aggregate_to_wire(a) as i32).collect();
    if aggregates.is_empty() {
        aggregates.push(wire::Aggr::Raw as i32);
    }
    let hints = (is_counted || !want.block_matchers.is_empty()).then(|| {
        let block_matchers = matchers_to_wire(&want.block_matchers);
        pack("SeriesRequestHints", &hintspb::SeriesRequestHints { block_matchers, enable_query_stats: is_counted })
    });
    wire::SeriesRequest {
        min_time: want.range.min,
        max_time: want.range.max,
        matchers: matchers_to_wire(&want.matchers),
        max_resolution_window: want.max_resolution_ms,
        aggregates,
        partial_response_disabled: want.partial_response == PartialResponse::Abort,
        partial_response_strategy: strategy_to_wire(want.partial_response),
        skip_chunks: want.skip_chunks,
        hints,
        step: want.step_ms,
        range: 0,
        query_hints: None,
        shard_info: want.shard.as_ref().map(shard_to_wire),
        without_replica_labels: want.without_replica_labels.to_vec(),
        limit: want.limit as i64,
        response_batch_size: batch as i64,
        coarser: want.coarser,
        coarsest_window: if want.coarsest_ms == i64::MAX { 0 } else { want.coarsest_ms },
        projected: want.labels.is_some(),
        projected_labels: want.labels.as_deref().unwrap_or_default().to_vec(),
    }
}

pub(crate) fn label_names_from_wire(r: wire::LabelNamesRequest) -> Result<LabelQuery> {
    let block_matchers = match &r.hints {
        Some(any) => unpack::<hintspb::LabelNamesRequestHints>("LabelNamesRequestHints", any)?.block_matchers,
        None => Vec::new(),
    };
    Ok(LabelQuery {
        range: TimeRange::new(r.start, r.end),
        matchers: matchers_from_wire(&r.matchers)?.into(),
        limit: usize::try_from(r.limit).unwrap_or(0),
        without_replica_labels: r.without_replica_labels.into(),
        partial_response: strategy_from_wire(r.partial_response_disabled, r.partial_response_strategy),
        block_matchers: matchers_from_wire(&block_matchers)?.into(),
    })
}

pub(crate) fn label_names_to_wire(q: &LabelQuery) -> wire::LabelNamesRequest {
    let hints = (!q.block_matchers.is_empty()).then(|| {
        let block_matchers = matchers_to_wire(&q.block_matchers);
        pack("LabelNamesRequestHints", &hintspb::LabelNamesRequestHints { block_matchers })
    });
    wire::LabelNamesRequest {
        partial_response_disabled: q.partial_response == PartialResponse::Abort,
        partial_response_strategy: strategy_to_wire(q.partial_response),
        start: q.range.min,
        end: q.range.max,
        hints,
        matchers: matchers_to_wire(&q.matchers),
        without_replica_labels: q.without_replica_labels.to_vec(),
        limit: q.limit as i64,
    }
}

pub(crate) fn label_values_from_wire(r: wire::LabelValuesRequest) -> Result<LabelQuery> {
    let block_matchers = match &r.hints {
        Some(any) => unpack::<hintspb::LabelValuesRequestHints>("LabelValuesRequestHints", any)?.block_matchers,
        None => Vec::new(),
    };
    Ok(LabelQuery {
        range: TimeRange::new(r.start, r.end),
        matchers: matchers_from_wire(&r.matchers)?.into(),
        limit: usize::try_from(r.limit).unwrap_or(0),
        without_replica_labels: r.without_replica_labels.into(),
        partial_response: strategy_from_wire(r.partial_response_disabled, r.partial_response_strategy),
        block_matchers: matchers_from_wire(&block_matchers)?.into(),
    })
}

pub(crate) fn label_values_to_wire(name: &str, q: &LabelQuery) -> wire::LabelValuesRequest {
    let hints = (!q.block_matchers.is_empty()).then(|| {
        let block_matchers = matchers_to_wire(&q.block_matchers);
        pack("LabelValuesRequestHints", &hintspb::LabelValuesRequestHints { block_matchers })
    });
    wire::LabelValuesRequest {
        label: name.to_owned(),
        partial_response_disabled: q.partial_response == PartialResponse::Abort,
        partial_response_strategy: strategy_to_wire(q.partial_response),
        start: q.range.min,
        end: q.range.max,
        hints,
        matchers: matchers_to_wire(&q.matchers),
        without_replica_labels: q.without_replica_labels.to_vec(),
        limit: q.limit as i64,
    }
}

fn aggregate_from_wire(a: wire::Aggr) -> Option<Aggregate> {
    match a {
        wire::Aggr::Raw => None,
        wire::Aggr::Count => Some(Aggregate::Count),
        wire::Aggr::Sum => Some(Aggregate::Sum),
        wire::Aggr::Min => Some(Aggregate::Min),
        wire::Aggr::Max => Some(Aggregate::Max),
        wire::Aggr::Counter => Some(Aggregate::Counter),
    }
}

fn aggregate_to_wire(a: Aggregate) -> wire::Aggr {
    match a {
        Aggregate::Count => wire::Aggr::Count,
        Aggregate::Sum => wire::Aggr::Sum,
        Aggregate::Min => wire::Aggr::Min,
        Aggregate::Max => wire::Aggr::Max,
        Aggregate::Counter => wire::Aggr::Counter,
    }
}

/// Makes `chunk` one that the protocol can say.
///
/// # Errors
/// [`Error::Corrupt`] where a chunk that is to be encoded anew does not decode.
pub(crate) fn chunk_for_wire(chunk: &mut Chunk) -> Result<()> {
    match &mut chunk.data {
        ChunkData::Raw(raw) => plain(raw)?,
        ChunkData::Decoded(column) => {
            let data = chunkenc::encode_xor(column.iter()).map_err(|e| Error::Corrupt(e.to_string()))?.into();
            chunk.data = ChunkData::Raw(EncodedChunk { encoding: Encoding::Xor, data });
        }
        ChunkData::Aggr(aggr) => aggr.parts.iter_mut().flatten().try_for_each(plain)?,
    }
    Ok(())
}

/// Histograms with start timestamps as a plain float histogram chunk.
fn plain_histograms(encoding: Encoding, data: &[u8]) -> Result<Bytes> {
    let corrupt = |e: chunkenc::Error| Error::Corrupt(e.to_string());
    let mut column = HistogramColumn::default();
    chunkenc::decode_histograms(encoding, data, &mut column).map_err(corrupt)?;
    let mut appender = FloatHistogramAppender::new(ResetFlag::Unknown);
    for (time, histogram) in column.times.iter().zip(&column.values) {
        // All of one chunk have one layout, so nothing is cut.
        appender.append_same_layout(*time, histogram).map_err(corrupt)?;
    }
    Ok(appender.to_vec().into())
}

/// The protocol has XOR and the two plain histogram encodings; what is newer is sent as the plain form of the same
/// samples, so that any peer can read it.
fn plain(chunk: &mut EncodedChunk) -> Result<()> {
    match chunk.encoding {
        Encoding::Xor2 => *chunk = EncodedChunk { encoding: Encoding::Xor, data: xor2_to_xor(&chunk.data)? },
        Encoding::HistogramSt | Encoding::FloatHistogramSt => {
            let data = plain_histograms(chunk.encoding, &chunk.data)?;
            *chunk = EncodedChunk { encoding: Encoding::FloatHistogram, data };
        }
        _ => {}
    }
    Ok(())
}

fn xor2_to_xor(data: &[u8]) -> Result<Bytes> {
    let mut column = Column::new();
    chunkenc::decode_floats(Encoding::Xor2, data, &mut column).map_err(|e| Error::Corrupt(e.to_string()))?;
    chunkenc::encode_xor(column.iter()).map(Bytes::from).map_err(|e| Error::Corrupt(e.to_string()))
}

pub(crate) fn pack(name: &str, message: &impl Message) -> prost_types::Any {
    prost_types::Any { type_url: format!("type.googleapis.com/hintspb.{name}"), value: message.encode_to_vec() }
}

pub(crate) fn unpack<M: Message + Default>(name: &str, any: &prost_types::Any) -> Result<M> {
    let found = any.type_url.rsplit('/').next().unwrap_or_default();
    if found.strip_prefix("hintspb.") != Some(name) {
        return Err(Error::Invalid(format!("hints are of type {found:?}, not hintspb.{name}")));
    }
    M::decode(any.value.as_slice()).map_err(|e| Error::Invalid(format!("hints {}: {e}", any.type_url)))
}
