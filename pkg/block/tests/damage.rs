//! Corrupt files: an error that names the file, never a panic, never other samples.

mod common;

use block::{IndexHeader, IndexParts, LocalBlock};
use common::{copy_block, golden_dir, lines_of_block};
use model::TimeRange;
use storage::{ChunkData, Ctx, PartialResponse, Select, SeriesSource, collect_series};

const BLOCK: &str = "01M7XNJ90W1DWS89T9WNHA09R1";

/// Everything that a reader can see of a block: labels, chunk bytes, deleted intervals, label values. `Err` with the
/// text of the first error.
fn read_all(dir: &std::path::Path) -> Result<String, String> {
    let block = LocalBlock::open(dir).map_err(|e| e.to_string())?;
    let mut out = format!("{:?} {:?}\n", block.meta(), block.tombstones());
    let table = block.index().postings_table();
    for name in table.label_names() {
        for value in table.label_values(name).map_err(|e| e.to_string())? {
            let range = table.lookup(name, value).map_err(|e| e.to_string())?.ok_or("value without postings")?;
            out += &format!("{name}={value} {:?}\n", block.index().postings(range).map_err(|e| e.to_string())?);
        }
    }
    let want = Select { partial_response: PartialResponse::Abort, ..Select::new(TimeRange::ALL, []) };
    let stream = block.select(&Ctx::background(), want);
    let answer = futures::executor::block_on(collect_series(stream)).map_err(|e| e.to_string())?;
    for series in answer.value {
        out += &format!("{}\n", series.labels);
        for chunk in series.chunks {
            let ChunkData::Raw(raw) = chunk.data else { return Err("not raw".to_owned()) };
            out += &format!("{} {} {:?}\n", chunk.min_time, chunk.max_time, raw);
        }
    }
    Ok(out)
}

struct Corrupted {
    _tmp: tempfile::TempDir,
    dir: std::path::PathBuf,
}

fn fresh() -> Corrupted {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().join(BLOCK);
    copy_block(&golden_dir().join(BLOCK), &dir);
    Corrupted { dir, _tmp: tmp }
}

/// Files are replaced and not changed in place: they may still be mapped.
fn replace(path: &std::path::Path, bytes: &[u8]) {
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn cut_files_are_errors() {
    let copy = fresh();
    for file in ["index", "chunks/000001", "tombstones", "meta.json"] {
        let path = copy.dir.join(file);
        let whole = std::fs::read(&path).unwrap();
        let lens = (0..whole.len()).filter(|l| whole.len() < 400 || l % 37 == 0 || whole.len() - l < 80);
        for len in lens {
            replace(&path, &whole[..len]);
            let error = read_all(&copy.dir).expect_err(&format!("{file} cut to {len} of {}", whole.len()));
            assert!(error.contains(file), "{error}");
        }
        replace(&path, &whole);
    }
}

#[test]
fn flipped_bits_are_errors_or_change_nothing() {
    let copy = fresh();
    let good = read_all(&copy.dir).unwrap();
    let mut silent = 0;
    for (file, step) in [("index", 3), ("chunks/000001", 7), ("tombstones", 1)] {
        let path = copy.dir.join(file);
        let whole = std::fs::read(&path).unwrap();
        for bit in (0..whole.len() * 8).step_by(step) {
            let mut bad = whole.clone();
            bad[bit / 8] ^= 0x80 >> (bit % 8);
            replace(&path, &bad);
            match read_all(&copy.dir) {
                Ok(read) => {
                    assert_eq!(read, good, "{file} bit {bit}");
                    silent += 1;
                }
                // The length of a file's segment tells nothing of the chunk that the index points to, so an index with
                // a wrong reference may be told by the chunk file; all else names the file itself.
                Err(e) => {
                    assert!(e.contains(file) || file == "index" && e.contains("chunks/"), "{file} bit {bit}: {e}")
                }
            }
        }
        replace(&path, &whole);
    }
    // Padding, and the label indices that nobody reads: there are some, and they are few.
    assert!((1..4000).contains(&silent), "{silent} flips went unseen");
}

#[test]
fn a_corrupt_chunk_is_a_warning_where_partial_answers_are_wanted() {
    let copy = fresh();
    let good = LocalBlock::open(&copy.dir).unwrap();
    let lines = lines_of_block(&good).lines().count();
    let path = copy.dir.join("chunks/000001");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[40] ^= 1;
    replace(&path, &bytes);
    let block = LocalBlock::open(&copy.dir).unwrap();
    let select = |partial_response| {
        let want = Select { partial_response, ..Select::new(TimeRange::ALL, []) };
        futures::executor::block_on(collect_series(block.select(&Ctx::background(), want)))
    };
    let answer = select(PartialResponse::Warn).unwrap();
    assert_eq!(answer.warnings.len(), 1);
    assert!(
        answer.warnings[0].contains(BLOCK) && answer.warnings[0].contains("chunks/000001: offset 8: chunk: checksum")
    );
    // One chunk is corrupt, others are under a tombstone.
    let left: usize = answer.value.iter().map(|s| s.chunks.len()).sum();
    assert!(left < lines && left >= lines - 4, "{left} of {lines}");
    let error = select(PartialResponse::Abort).unwrap_err();
    assert!(matches!(error, storage::Error::Corrupt(_)), "{error}");
}

#[test]
fn a_corrupt_index_header_is_an_error() {
    let bytes = block::map_file(&golden_dir().join(BLOCK).join("index")).unwrap();
    let part = |r: &std::ops::Range<u64>| bytes.slice(r.start as usize..r.end as usize);
    let [head, toc] = IndexParts::probe("index", bytes.len() as u64).unwrap();
    let parts = IndexParts::parse("index", bytes.len() as u64, &part(&head), &part(&toc)).unwrap();
    let header = parts.build("index", &part(&parts.symbols), &part(&parts.tail)).unwrap();
    assert!(IndexHeader::open("index-header", header.clone().into()).is_ok());
    for len in 0..header.len() {
        let error = IndexHeader::open("index-header", header[..len].to_vec().into()).unwrap_err().to_string();
        assert!(error.starts_with("index-header: "), "{error}");
    }
    let base = IndexHeader::open("index-header", header.clone().into()).unwrap();
    let mut silent = Vec::new();
    for bit in 0..header.len() * 8 {
        let mut bad = header.clone();
        bad[bit / 8] ^= 0x80 >> (bit % 8);
        if let Ok(opened) = IndexHeader::open("index-header", bad.into()) {
            assert!(opened.symbols().iter().eq(base.symbols().iter()));
            silent.push(bit);
        }
    }
    // Version 2 may turn into 3, which is read as 2; anything else is told.
    assert_eq!(silent, [5 * 8 + 7]);
}

proptest::proptest! {
    #[test]
    fn any_bytes(data: Vec<u8>) {
        let bytes = bytes::Bytes::from(data);
        let _ = block::IndexReader::open("index", bytes.clone());
        let _ = IndexHeader::open("index-header", bytes.clone());
        let _ = block::Tombstones::parse("tombstones", &bytes);
        let _ = block::chunk_reader::parse("000001", 0, &bytes);
        let _ = block::postings::decode("index", 0, &bytes);
        let _ = block::BlockMeta::parse("meta.json", &bytes);
        let mut raw = block::series::RawEntry::default();
        let _ = block::series::parse_raw("index", 0, &bytes, &mut raw);
    }
}
