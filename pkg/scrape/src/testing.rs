//! For tests: what a store holds.

use std::collections::BTreeMap;

use labels::{MatchType, Matcher};
use memory_store::MemoryStore;
use model::TimeRange;
use storage::{ChunkData, Ctx, PartialResponse, Select, Series, SeriesSource, collect_series};

/// All series with this name, an expression.
pub(crate) async fn series(store: &MemoryStore, name: &str) -> Vec<Series> {
    let matcher = Matcher::new(MatchType::Regex, "__name__", name).unwrap();
    let want = Select { partial_response: PartialResponse::Abort, ..Select::new(TimeRange::ALL, vec![matcher]) };
    collect_series(store.select(&Ctx::background(), want)).await.unwrap().value
}

/// The float samples of a metric by its labels.
pub(crate) async fn dump(store: &MemoryStore, name: &str) -> BTreeMap<String, Vec<(i64, f64)>> {
    let mut out = BTreeMap::new();
    for series in series(store, name).await {
        let mut column = chunkenc::Column::new();
        for chunk in &series.chunks {
            let ChunkData::Raw(raw) = &chunk.data else { panic!("a raw chunk") };
            chunkenc::decode_floats(raw.encoding, &raw.data, &mut column).unwrap();
        }
        out.insert(series.labels.to_string(), column.iter().collect());
    }
    out
}
