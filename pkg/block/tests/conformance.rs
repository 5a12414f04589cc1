//! A local block keeps to what every source of series must do.

use block::{BlockId, BlockMeta, BlockWriter, BlockWriterOptions, LocalBlock, ThanosMeta};
use chunkenc::TimedChunk;
use storage::conformance::{self, EXTERNAL, Traits};

#[tokio::test]
async fn it_is_a_source() {
    let dir = tempfile::tempdir().unwrap();
    let id = BlockId::new(1, 1);
    let mut writer = BlockWriter::create(dir.path(), id, BlockWriterOptions::default()).unwrap();
    for series in conformance::series() {
        let chunks: Vec<_> = series.chunks.iter().map(|c| TimedChunk::try_from(c).unwrap()).collect();
        writer.add_series(&series.labels, &chunks).unwrap();
    }
    let labels = EXTERNAL.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let thanos = ThanosMeta { labels, ..ThanosMeta::default() };
    writer.finish(BlockMeta { thanos: Some(thanos), ..BlockMeta::default() }).unwrap();
    let block = LocalBlock::open(&dir.path().join(id.to_string())).unwrap();
    conformance::run(&block, Traits { budgeted: false, exact_label_times: false }).await;
}
