//! The files of a block.

use std::sync::Arc;

use block::series::{RawEntry, parse_raw};
use block::toc::Toc;
use block::{
    BlockMeta, ChunkMeta, ChunkReader, IndexHeader, IndexReader, PostingsTable, Symbols, Tombstones, chunk_reader,
    postings as lists,
};
use bucket::marks::{DeletionMark, NoCompactMark, NoDownsampleMark};
use bytes::Bytes;
use labels::{MatchType, Matcher};

use crate::{checksums, chunks};

/// Reads `data` as it is, and with its checksums put right.
fn twice(data: &[u8], repair: impl FnOnce(&mut [u8]), read: impl Fn(Bytes)) {
    let mut repaired = data.to_vec();
    repair(&mut repaired);
    if repaired != data {
        read(Bytes::copy_from_slice(data));
    }
    read(repaired.into());
}

fn file() -> Arc<str> {
    "fuzzed".into()
}

fn walk_table(table: &PostingsTable) {
    let names: Vec<_> = table.label_names().collect();
    assert!(names.is_sorted());
    for name in names {
        let Ok(values) = table.label_values(name) else { continue };
        assert_eq!(values.len(), table.value_count(name));
        // Each once more by search; a few are enough, since each search reads up to 32.
        for value in values.iter().take(64) {
            drop(table.lookup(name, value));
        }
        drop(table.lookup(name, "no such value"));
        drop(table.each_value(name, "a", |value, _| assert!(value.starts_with('a'))));
    }
}

fn walk_symbols(symbols: &Symbols) {
    assert_eq!(symbols.iter().count(), symbols.len());
    for reference in (0..symbols.len() as u32 + 2).chain([u32::MAX]) {
        drop(symbols.get(reference));
    }
}

/// An index of either version: all of its lists and series, and some searches.
pub fn index(data: &[u8]) {
    twice(data, checksums::index, |bytes| {
        let Ok(index) = IndexReader::open("fuzzed", bytes) else { return };
        walk_symbols(index.symbols());
        walk_table(index.postings_table());
        for id in index.all_postings().unwrap_or_default() {
            if let Ok(entry) = index.series(id) {
                assert!(entry.labels.iter().is_sorted());
            }
        }
        drop(index.series(u32::MAX));
        drop(index.postings(3..u64::MAX));
        for (kind, value) in [
            (MatchType::Equal, "1"),
            (MatchType::NotEqual, ""),
            (MatchType::Regex, "1.*"),
            (MatchType::Regex, "1|2|3"),
            (MatchType::NotRegex, ".+"),
        ] {
            let matcher = Matcher::new(kind, "instance", value).expect("it compiles");
            if let Ok(ids) = index.expand(&[matcher]) {
                assert!(ids.is_sorted());
            }
        }
    });
}

/// Thanos' index-header.
pub fn index_header(data: &[u8]) {
    twice(data, checksums::index_header, |bytes| {
        let Ok(header) = IndexHeader::open("fuzzed", bytes) else { return };
        walk_symbols(header.symbols());
        walk_table(header.postings_table());
    });
}

/// A segment of chunks, each of them decoded.
pub fn chunk_segment(data: &[u8]) {
    let repair = |bytes: &mut [u8]| {
        let end = bytes.len();
        checksums::records(bytes, chunk_reader::SEGMENT_HEADER_LEN, end, 1, 1);
    };
    twice(data, repair, |bytes| {
        let Ok(reader) = ChunkReader::new(vec![("fuzzed".to_owned(), bytes.clone().into())]) else { return };
        let mut at = chunk_reader::SEGMENT_HEADER_LEN;
        while at < bytes.len() {
            let meta = ChunkMeta { min_time: 0, max_time: 0, reference: at as u64 };
            let Ok((encoding, data)) = reader.chunk(meta) else { return };
            chunks::any(encoding, &data);
            let Some(len) = chunk_reader::record_len(&bytes[at..]) else { return };
            at += len as usize;
        }
    });
}

/// One postings list.
pub fn postings(data: &[u8]) {
    twice(
        data,
        |bytes| _ = checksums::whole_section(bytes),
        |bytes| {
            _ = lists::encoded_len(&bytes);
            let Ok(ids) = lists::decode("fuzzed", 0, &bytes) else { return };
            let mut again = Vec::new();
            lists::encode(&ids, &mut again);
            assert_eq!(again, bytes[..again.len()]);
        },
    );
}

/// The postings offset table, of both versions.
pub fn postings_table(data: &[u8]) {
    twice(
        data,
        |bytes| _ = checksums::whole_section(bytes),
        |bytes| {
            for version in [1, 2] {
                if let Ok(table) = PostingsTable::open(file(), 0, 1 << 20, version, &bytes) {
                    walk_table(&table);
                }
            }
        },
    );
}

/// The symbol table, of both versions.
pub fn symbols(data: &[u8]) {
    twice(
        data,
        |bytes| _ = checksums::whole_section(bytes),
        |bytes| {
            for version in [1, 2] {
                if let Ok(symbols) = Symbols::open(file(), 0, 5, version, &bytes) {
                    walk_symbols(&symbols);
                }
            }
        },
    );
}

/// One entry of a series.
pub fn series_entry(data: &[u8]) {
    twice(
        data,
        |bytes| _ = checksums::record(bytes, 0, 0),
        |bytes| {
            _ = block::series::entry_len(&bytes);
            let mut entry = RawEntry::default();
            if parse_raw("fuzzed", 0, &bytes, &mut entry).is_ok() {
                let (mut out, mut again) = (Vec::new(), RawEntry::default());
                block::series::put_entry(&mut out, &mut Vec::new(), &entry);
                parse_raw("fuzzed", 0, &out, &mut again).expect("what was written can be read");
                assert_eq!(again, entry);
            }
        },
    );
}

/// The table of contents of an index.
pub fn toc(data: &[u8]) {
    twice(
        data,
        |bytes| _ = checksums::toc(bytes),
        |bytes| {
            drop(Toc::parse("fuzzed", bytes.len() as u64, &bytes));
            if let Ok(toc) = Toc::parse("fuzzed", u64::MAX, &bytes) {
                assert_eq!(toc.to_bytes(), bytes[bytes.len() - block::toc::TOC_LEN..]);
            }
        },
    );
}

/// Tombstones.
pub fn tombstones(data: &[u8]) {
    twice(data, checksums::tombstones, |bytes| {
        if let Ok(tombstones) = Tombstones::parse("fuzzed", &bytes) {
            let again = Tombstones::parse("fuzzed", &tombstones.to_bytes()).expect("what was written can be read");
            assert_eq!(again, tombstones);
        }
    });
}

/// `meta.json`.
pub fn meta_json(data: &[u8]) {
    if let Ok(meta) = BlockMeta::parse("fuzzed", data) {
        let text = meta.to_json();
        let again = BlockMeta::parse("fuzzed", &text).expect("what was written can be read");
        assert_eq!(again, meta, "{}", String::from_utf8_lossy(&text));
        drop(meta.group_key());
    }
}

/// The three marks of a block.
pub fn marks(data: &[u8]) {
    drop(serde_json::from_slice::<DeletionMark>(data));
    drop(serde_json::from_slice::<NoCompactMark>(data));
    drop(serde_json::from_slice::<NoDownsampleMark>(data));
    drop(serde_json::from_slice::<bucket::deletions::Request>(data));
}
