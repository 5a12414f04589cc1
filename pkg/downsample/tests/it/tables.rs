//! Small inputs with the aggregates written out. `time:value` each; `S` stands for a stale marker.

use bytes::Bytes;
use chunkenc::{Encoding, TimedChunk, aggr, encode_xor};
use downsample::{Downsampler, Error, Report};
use model::stale_nan;

use crate::{Samples, part, xor};

fn samples(text: &str) -> Samples {
    let one = |word: &str| {
        let (time, value) = word.split_once(':').unwrap();
        let value = if value == "S" { stale_nan() } else { value.parse().unwrap() };
        (time.parse().unwrap(), value)
    };
    text.split_whitespace().map(one).collect()
}

fn text(samples: &[(i64, f64)]) -> String {
    samples.iter().map(|(t, v)| format!("{t}:{v}")).collect::<Vec<_>>().join(" ")
}

/// An aggregate chunk of the five parts; `-` is an absent one.
fn aggregate(parts: [&str; 5]) -> TimedChunk {
    let data: Vec<Option<Vec<u8>>> =
        parts.iter().map(|p| (*p != "-").then(|| encode_xor(samples(p)).unwrap())).collect();
    let times: Vec<i64> = samples(parts[0]).iter().map(|s| s.0).collect();
    let list = std::array::from_fn(|i| data[i].as_ref().map(|d| (Encoding::Xor, &d[..])));
    TimedChunk {
        min_time: times[0],
        max_time: times[times.len() - 1],
        encoding: Encoding::Aggregates,
        data: Bytes::from(aggr::encode(list)),
    }
}

fn check(got: &[TimedChunk], want: &[[&str; 5]]) {
    for (place, name) in ["count", "sum", "min", "max", "counter"].into_iter().enumerate() {
        let got: Vec<String> = part(got, place).iter().map(|s| text(s)).collect();
        let want: Vec<&str> = want.iter().map(|w| w[place]).filter(|p| *p != "-").collect();
        assert_eq!(got, want, "{name}");
    }
}

fn raw(chunks: &[&str], resolution_ms: i64) -> (Vec<TimedChunk>, Report) {
    let chunks: Vec<TimedChunk> = chunks.iter().map(|c| xor(&samples(c))).collect();
    let mut out = Vec::new();
    let report = Downsampler::new().raw(&chunks, resolution_ms, &mut out).unwrap();
    (out, report)
}

#[test]
fn one_chunk() {
    let (got, report) = raw(&["20:1 40:2 60:3 80:1 100:2 101:S 120:5 180:10 250:1"], 100);
    let counter = "20:1 99:4 199:13 250:14 250:1";
    check(&got, &[["99:4 199:3 250:1", "99:7 199:17 250:1", "99:1 199:2 250:1", "99:3 199:10 250:1", counter]]);
    assert_eq!(report, Report { samples: 8, stale: 1, ..Report::default() });
    assert_eq!((got[0].min_time, got[0].max_time), (99, 250));
}

#[test]
fn chunks_of_one_kind_are_one_run() {
    let (got, report) = raw(&["10:5 110:7 130:2", "", "150:NaN 160:3", "160:9 155:9 170:4 320:4"], 100);
    check(
        &got,
        &[[
            "99:1 199:4 320:1",
            "99:5 199:16 320:4",
            "99:5 199:2 320:4",
            "99:5 199:7 320:4",
            "10:5 99:5 199:11 320:11 320:4",
        ]],
    );
    assert_eq!(report, Report { samples: 6, nan: 1, out_of_order: 2, empty_chunks: 1, ..Report::default() });
}

#[test]
fn nothing_but_nan_gives_nothing() {
    let (got, report) = raw(&["10:NaN 20:S 30:NaN", "40:NaN"], 100);
    assert_eq!(got, []);
    assert_eq!(report, Report { stale: 1, nan: 3, ..Report::default() });
    assert_eq!(raw(&[], 100).0, []);
}

#[test]
fn times_before_1970_count() {
    let (got, _) = raw(&["-150:1 -100:2 -1:3 0:4"], 100);
    let counter = "-150:1 -101:1 -1:3 0:4 0:4";
    check(&got, &[["-101:1 -1:2 0:1", "-101:1 -1:5 0:4", "-101:1 -1:2 0:4", "-101:1 -1:3 0:4", counter]]);
}

#[test]
fn infinite_values_change_neither_minimum_nor_counter() {
    let (got, _) = raw(&["10:inf 20:inf 110:3 120:-inf 130:5 210:1"], 100);
    check(
        &got,
        &[[
            "99:2 199:3 210:1",
            "99:inf 199:-inf 210:1",
            "99:inf 199:-inf 210:1",
            "99:inf 199:5 210:1",
            "110:3 99:NaN 199:5 210:6 210:1",
        ]],
    );
    let (got, _) = raw(&["10:inf 20:-inf"], 100);
    check(&got, &[["20:2", "20:NaN", "20:-inf", "20:inf", "10:NaN 20:NaN 20:NaN"]]);
}

#[test]
fn minus_zero_stays() {
    let (got, _) = raw(&["10:-0 150:0"], 100);
    check(&got, &[["99:1 150:1", "99:0 150:0", "99:-0 150:0", "99:-0 150:0", "10:-0 99:-0 150:0 150:0"]]);
}

#[test]
fn aggregates_join() {
    let first = [
        "199:5 299:1 399:10 400:3 499:10 699:0 999:100",
        "199:5 299:1 399:10 400:3 499:10 699:0 999:100",
        "199:5 299:1 399:10 400:-3 499:10 699:0 999:100",
        "199:5 299:1 399:10 400:-3 499:10 699:0 999:100",
        // As if of three chunks: no reset before the second one, one before the third.
        "99:100 299:150 499:210 499:10 599:20 799:50 999:120 999:50 1099:40 1199:80 1299:110",
    ];
    let second = [
        "1399:10 1400:3 1499:10 1699:0 1999:100",
        "1399:1 1400:3 1499:1 1699:0 1999:10",
        "1399:1 1400:-3 1499:1 1699:0 1999:10",
        "1399:1 1400:-3 1499:1 1699:0 1999:10",
        "1310:120 1399:125 1499:210 1999:220 1999:7",
    ];
    let mut downsampler = Downsampler::new();
    let mut out = Vec::new();
    let report = downsampler.aggregates(&[aggregate(first), aggregate(second)], 100, 500, &mut out).unwrap();
    check(
        &out,
        &[[
            "499:29 999:100 1499:23 1999:100",
            "499:29 999:100 1499:5 1999:10",
            "499:-3 999:0 1499:-3 1999:0",
            "499:10 999:100 1499:1 1999:10",
            // The counter's last window is later than the others' where the first chunk reaches too far.
            "99:100 499:210 999:320 1499:530 1999:540 1999:7",
        ]],
    );
    assert_eq!(report.samples, 12);

    // To the same resolution: as it was.
    let before = std::mem::take(&mut out);
    downsampler.aggregates(&before, 500, 500, &mut out).unwrap();
    assert_eq!(out, before);
}

#[test]
fn absent_aggregates_stay_absent() {
    let mut out = Vec::new();
    let chunk = aggregate(["99:1 199:2", "-", "99:4 199:3", "-", "-"]);
    Downsampler::new().aggregates(&[chunk], 100, 200, &mut out).unwrap();
    check(&out, &[["199:3", "-", "199:3", "-", "-"]]);
    assert_eq!((out[0].min_time, out[0].max_time), (199, 199));
}

#[test]
fn r1568_resets_between_chunks_are_seen_at_both_resolutions() {
    let chunks = ["10:1 20:3 30:5", "50:1 60:8 70:10", "120:1 130:18 140:20", "160:21 170:38 180:40"];
    // Each chunk by itself, as if it were long.
    let fine: Vec<TimedChunk> = chunks.iter().flat_map(|c| raw(&[c], 50).0).collect();
    let counters: Vec<String> = part(&fine, 4).iter().map(|s| text(s)).collect();
    assert_eq!(counters, ["10:1 30:5 30:5", "50:1 70:10 70:10", "120:1 140:20 140:20", "160:21 180:40 180:40"]);
    let mut out = Vec::new();
    for pair in fine.chunks(2) {
        Downsampler::new().aggregates(pair, 50, 100, &mut out).unwrap();
    }
    let counters: Vec<String> = part(&out, 4).iter().map(|s| text(s)).collect();
    assert_eq!(counters, ["10:1 70:15 70:10", "120:1 180:40 180:40"]);
}

#[test]
fn r6598_raw_and_empty_chunks_among_aggregates() {
    let aggr = |text: &str| raw(&[text], 100).0.remove(0);
    let empty = TimedChunk { min_time: 300, max_time: 300, encoding: Encoding::Xor, data: Bytes::from(vec![0, 0]) };
    let nothing = TimedChunk { encoding: Encoding::Aggregates, data: Bytes::from(vec![0; 5]), ..empty.clone() };
    let chunks = [
        empty.clone(),
        aggr("10:1 110:2 210:3"),
        empty,
        nothing,
        xor(&samples("320:4 330:5")),
        xor(&samples("350:6 410:1")),
        aggr("500:7 610:8"),
    ];
    let mut out = Vec::new();
    let report = Downsampler::new().aggregates(&chunks, 100, 1000, &mut out).unwrap();
    check(&out, &[["610:9", "610:37", "610:1", "610:8", "10:1 610:14 610:8"]]);
    assert_eq!((report.empty_chunks, report.raw_chunks), (3, 2));
}

#[test]
fn more_planned_chunks_than_there_are_ends() {
    // 600 windows in two chunks, told to span so much that five are planned.
    let long = |from: i64| xor(&(0..300).map(|i| ((from + i) * 100, i as f64)).collect::<Vec<_>>());
    let mut fine = Vec::new();
    for chunk in [long(0), long(300)] {
        Downsampler::new().raw(&[chunk], 100, &mut fine).unwrap();
    }
    let counts: usize = fine.iter().map(|c| c.num_samples().unwrap()).sum();
    assert_eq!(counts, 600);
    let mut out = Vec::new();
    Downsampler::new().aggregates(&fine, 100, 100, &mut out).unwrap();
    assert_eq!(part(&out, 0).concat(), part(&fine, 0).concat());
}

#[test]
fn chunk_sizes() {
    // Two weeks at 15 s: 4032 windows, 29 chunks of about 139.
    let samples: Samples = (0..14 * 5760).map(|i| (i * 15_000, i as f64)).collect();
    let chunks: Vec<TimedChunk> = samples.chunks(120).map(xor).collect();
    let (mut out, mut downsampler) = (Vec::new(), Downsampler::new());
    downsampler.raw(&chunks, 300_000, &mut out).unwrap();
    let sizes: Vec<usize> = out.iter().map(|c| c.num_samples().unwrap()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 4032);
    assert!(sizes.iter().all(|s| *s <= 141), "{sizes:?}");
    assert_eq!(sizes.len(), 29);
}

#[test]
fn more_windows_than_a_chunk_can_count() {
    // Dense for a while, so that few chunks are planned, then one sample a window.
    let dense = (0..3_000_000i64).map(|i| (i, 1.0));
    let sparse = (0..70_000i64).map(|i| (3_000_000 + i * 100, 2.0));
    let samples: Samples = dense.chain(sparse).collect();
    let chunks: Vec<TimedChunk> = samples.chunks(60_000).map(xor).collect();
    let mut out = Vec::new();
    Downsampler::new().raw(&chunks, 100, &mut out).unwrap();
    let count: f64 = part(&out, 0).concat().iter().map(|(_, v)| v).sum();
    assert_eq!(count, samples.len() as f64);
    assert!(out.windows(2).all(|w| w[0].max_time < w[1].min_time));
}

#[test]
fn errors_leave_the_output_alone() {
    let good = xor(&samples("10:1 20:2"));
    let mut cut = xor(&samples("30:1 40:2.5 50:3.7"));
    cut.data = cut.data.slice(..cut.data.len() / 2);
    let mut out = vec![good.clone()];
    let mut downsampler = Downsampler::new();
    let mixed = aggregate(["99:1", "99:1", "99:1", "99:1", "99:1 99:1"]);
    for chunks in [vec![good.clone(), cut.clone()], vec![mixed.clone()]] {
        let error = downsampler.raw(&chunks, 10, &mut out).unwrap_err();
        assert!(matches!(error, Error::Chunk { .. }), "{error}");
        assert_eq!(out, [good.clone()].as_slice());
    }
    for (from_ms, to_ms) in [(0, 100), (100, 150), (100, 50), (-1, 100)] {
        let error = downsampler.aggregates(&[], from_ms, to_ms, &mut out).unwrap_err();
        assert_eq!(error, Error::Resolution { from_ms, to_ms });
    }
    assert!(downsampler.raw(std::slice::from_ref(&good), 0, &mut out).is_err());
    // And the next series is not affected.
    out.clear();
    downsampler.raw(std::slice::from_ref(&good), 100, &mut out).unwrap();
    assert_eq!(part(&out, 0), [samples("20:2")]);
}
