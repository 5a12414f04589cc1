//! The write-ahead log: its records, and the framing around them.

use encoding::put_uvarint;
use histogram::{FloatHistogram, Histogram};
use wal::record::{
    BucketHistogram, ExemplarReader, Histograms, Kind, Markers, MetadataReader, Samples, SeriesReader, Tombstones,
    encode_histograms_with_starts, encode_samples, encode_samples_with_starts,
};
use wal::{Entry, PAGE_BYTES, Reader};

/// One record of any kind.
pub fn wal_record(data: &[u8]) {
    floats(data);
    histograms::<Histogram>(data);
    histograms::<FloatHistogram>(data);
    drop(Tombstones::default().decode(data));
    drop(Markers::default().decode(data));
    if let Ok(mut reader) = SeriesReader::new(data) {
        while let Ok(Some(_)) = reader.read() {}
    }
    if let Ok(mut reader) = ExemplarReader::new(data) {
        while let Ok(Some(_)) = reader.read() {}
    }
    if let Ok(mut reader) = MetadataReader::new(data) {
        while let Ok(Some(_)) = reader.read() {}
    }
}

/// What was decoded is the same when it is encoded and decoded again.
fn floats(data: &[u8]) {
    let (mut samples, mut again, mut out) = (Samples::default(), Samples::default(), Vec::new());
    if samples.decode(data).is_err() {
        return assert!(samples.is_empty());
    }
    match Kind::of(data) {
        Some(Kind::Samples) => encode_samples(&mut out, &samples.refs, &samples.times_ms, &samples.values),
        _ => {
            encode_samples_with_starts(&mut out, &samples.refs, &samples.times_ms, &samples.starts_ms, &samples.values)
        }
    }
    again.decode(&out).expect("what was written can be read");
    let bits = |s: &Samples| s.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!((&again.refs, &again.times_ms, bits(&again)), (&samples.refs, &samples.times_ms, bits(&samples)));
    assert_eq!(again.starts_ms, samples.starts_ms);
}

fn histograms<H: BucketHistogram>(data: &[u8]) {
    let (mut rows, mut again, mut out) = (Histograms::<H>::default(), Histograms::<H>::default(), Vec::new());
    if rows.decode(data).is_err() {
        return assert!(rows.is_empty());
    }
    let all = rows.refs.iter().zip(&rows.times_ms).zip(&rows.values).map(|((r, t), h)| (*r, *t, 0, h));
    encode_histograms_with_starts(&mut out, all);
    assert!(again.decode(&out).expect("what was written can be read").is_empty());
    assert_eq!((&again.refs, &again.times_ms), (&rows.refs, &rows.times_ms));
}

/// A segment, as it is and with its checksums put right.
pub fn wal_segment(data: &[u8]) {
    let mut repaired = data.to_vec();
    repair(&mut repaired);
    let inputs = if repaired == data { &[data][..] } else { &[data, &repaired] };
    for bytes in inputs {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(dir.path().join("00000000"), bytes).expect("writable");
        let mut reader = Reader::open(dir.path(), 0).expect("a directory");
        let (mut records, mut corruptions) = (0, 0);
        while let Some(entry) = reader.read() {
            match entry {
                Entry::Record(_) => records += 1,
                Entry::Corrupt(_) => corruptions += 1,
            }
        }
        assert!(records <= bytes.len(), "a record takes a byte at least");
        assert!(corruptions <= bytes.len() + 1, "each one is told once");
        assert!(reader.position().offset <= bytes.len() as u64);
    }
}

/// Writes the right checksum into each fragment of each page, as far as lengths lead from one to the next.
fn repair(bytes: &mut [u8]) {
    for page in bytes.chunks_mut(PAGE_BYTES) {
        let mut at = 0;
        while let Some([kind, len0, len1, ..]) = page.get(at..).and_then(|p| p.first_chunk::<7>()).copied() {
            let end = at + 7 + usize::from(u16::from_be_bytes([len0, len1]));
            let Some(data) = page.get(at + 7..end).filter(|_| kind != 0) else { break };
            let crc = crc32c::crc32c(data);
            page[at + 3..at + 7].copy_from_slice(&crc.to_be_bytes());
            at = end;
        }
    }
}

/// Records of all kinds.
pub(crate) fn record_seeds() -> Vec<Vec<u8>> {
    let ints = crate::seeds::integer_histograms();
    let floats: Vec<_> = ints.iter().map(Histogram::to_float).collect();
    let (refs, times, values) = ([3, 4, 900], [T0, T0 + 1, T0], [1.0, model::stale_nan(), -0.0]);
    let labels = [("__name__", "up"), ("job", "é")];
    let mut all = vec![Vec::new(); 8];
    encode_samples(&mut all[0], &refs, &times, &values);
    encode_samples_with_starts(&mut all[1], &refs, &times, &[T0 - 5, T0 - 5, 0], &values);
    wal::record::encode_series(&mut all[2], refs.map(|r| (r, labels.into_iter())));
    wal::record::encode_tombstones(&mut all[3], [(3, T0, T0 + 5), (4, i64::MIN, i64::MAX)]);
    let row = |r| wal::record::ExemplarRow { series_ref: r, time_ms: T0, value: 1.0, labels: labels.into_iter() };
    wal::record::encode_exemplars(&mut all[4], refs.map(row));
    wal::record::encode_markers(&mut all[5], refs.map(|r| (r, 1 << 32 | r)));
    let metadata = |r| wal::record::MetadataRow {
        series_ref: r,
        metric_type: model::MetricType::Counter,
        unit: "seconds",
        help: "What it counts.",
    };
    wal::record::encode_metadata(&mut all[6], refs.map(metadata));
    // A kind of later days.
    put_uvarint(&mut all[7], 100);
    all.extend(histogram_seeds(&ints));
    all.extend(histogram_seeds(&floats));
    all
}

const T0: i64 = 1_700_000_000_000;

fn histogram_seeds<H: BucketHistogram>(histograms: &[H]) -> Vec<Vec<u8>> {
    let mut all = vec![Vec::new(); 3];
    let rows = || histograms.iter().enumerate().map(|(i, h)| (i as u64, T0 + i as i64, h));
    for (record, custom) in all.iter_mut().zip([false, true]) {
        wal::record::encode_histograms(record, custom, rows());
    }
    encode_histograms_with_starts(&mut all[2], rows().map(|(r, t, h)| (r, t, T0, h)));
    all.retain(|record| !record.is_empty());
    all
}

/// Segments with records of several lengths, compressed in all ways.
pub(crate) fn segment_seeds() -> Vec<Vec<u8>> {
    let compressions = [wal::Compression::None, wal::Compression::Snappy, wal::Compression::Zstd];
    let segment = |compression| {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let options = wal::Options { compression, ..wal::Options::default() };
        let (mut writer, _) = wal::Writer::open(dir.path(), options).expect("writable");
        let mut records = record_seeds();
        if compression == wal::Compression::None {
            // Over the border of a page.
            let noise = |i: u32| (i.wrapping_mul(2_654_435_761) >> 11) as u8;
            records.push((0..33_000).map(noise).collect());
        }
        records.push(vec![7; 3_000]);
        writer.log(&records).expect("writable");
        std::fs::read(dir.path().join("00000000")).expect("readable")
    };
    compressions.into_iter().map(segment).collect()
}
