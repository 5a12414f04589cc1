//! One frame of an answer. The two calls have two messages of one meaning.

use proto::prometheus_copy::TimeSeries;
use proto::thanos as wire;

pub(crate) enum Frame {
    Warning(String),
    Series(TimeSeries),
    Batch(Vec<TimeSeries>),
    Stats(wire::QueryStats),
    /// Of a kind that is newer than this program.
    Unknown,
}

impl From<Frame> for wire::QueryResponse {
    fn from(frame: Frame) -> Self {
        use wire::query_response::Result as Item;
        let item = match frame {
            Frame::Warning(text) => Item::Warnings(text),
            Frame::Series(series) => Item::Timeseries(series),
            Frame::Batch(series) => Item::TimeseriesBatch(wire::TimeSeriesBatch { series }),
            Frame::Stats(stats) => Item::Stats(stats),
            Frame::Unknown => return Self { result: None },
        };
        Self { result: Some(item) }
    }
}

impl From<Frame> for wire::QueryRangeResponse {
    fn from(frame: Frame) -> Self {
        use wire::query_range_response::Result as Item;
        let item = match frame {
            Frame::Warning(text) => Item::Warnings(text),
            Frame::Series(series) => Item::Timeseries(series),
            Frame::Batch(series) => Item::TimeseriesBatch(wire::TimeSeriesBatch { series }),
            Frame::Stats(stats) => Item::Stats(stats),
            Frame::Unknown => return Self { result: None },
        };
        Self { result: Some(item) }
    }
}

impl From<wire::QueryResponse> for Frame {
    fn from(message: wire::QueryResponse) -> Self {
        use wire::query_response::Result as Item;
        match message.result {
            Some(Item::Warnings(text)) => Self::Warning(text),
            Some(Item::Timeseries(series)) => Self::Series(series),
            Some(Item::TimeseriesBatch(batch)) => Self::Batch(batch.series),
            Some(Item::Stats(stats)) => Self::Stats(stats),
            None => Self::Unknown,
        }
    }
}

impl From<wire::QueryRangeResponse> for Frame {
    fn from(message: wire::QueryRangeResponse) -> Self {
        use wire::query_range_response::Result as Item;
        match message.result {
            Some(Item::Warnings(text)) => Self::Warning(text),
            Some(Item::Timeseries(series)) => Self::Series(series),
            Some(Item::TimeseriesBatch(batch)) => Self::Batch(batch.series),
            Some(Item::Stats(stats)) => Self::Stats(stats),
            None => Self::Unknown,
        }
    }
}
