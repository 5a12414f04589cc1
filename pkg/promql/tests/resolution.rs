//! A resolution chosen automatically never leaves a graph empty where any block has data.

mod common;

use chunkenc::{Encoding, encode_xor};
use common::blocks::{PIECE, RESOLUTIONS, START, store};
use common::{DAY, FIVE, HOUR, Levels, MINUTE, Random, Sample, range, steps};
use model::Severity;
use promql::{Query, QueryError, ReadOptions};
use storage::{AggrChunk, Chunk, Ctx, EncodedChunk};

/// One a minute, each one more than the one before by 60; some of them missing.
fn steady(days: i64) -> Vec<Sample> {
    (0..days * 1440).map(|i| (START + 1_000 + i * MINUTE, 1e6 + (i * 60) as f64)).collect()
}

fn auto(step: i64) -> ReadOptions {
    ReadOptions { max_resolution_ms: step / 5, auto_resolution: true, ..ReadOptions::default() }
}

const QUERIES: [&str; 25] = [
    "m_total",
    "sum(m_total)",
    "max(m_total)",
    "m_total offset 20m",
    "rate(m_total[2m])",
    "rate(m_total[5m])",
    "irate(m_total[5m])",
    "increase(m_total[30m])",
    "count_over_time(m_total[5m])",
    "sum_over_time(m_total[10m])",
    "avg_over_time(m_total[5m])",
    "max_over_time(m_total[1h])",
    "quantile_over_time(0.5, m_total[5m])",
    "deriv(m_total[5m])",
    "rate(m_total[2h])",
    "count(m_total) unless absent(m_total)",
    "count(m_total) unless absent_over_time(m_total[5m])",
    "present_over_time(m_total[5m])",
    "last_over_time(m_total[5m])",
    "timestamp(m_total)",
    "predict_linear(m_total[10m], 600)",
    "changes(m_total[5m])",
    "min_over_time(m_total[5m])",
    "resets(m_total[10m])",
    "max_over_time(rate(m_total[5m])[30m:10m])",
];

/// The resolutions of each piece of three days.
type Layout = (&'static str, fn(usize) -> Vec<i64>);

const LAYOUTS: [Layout; 7] = [
    ("only 1 h", |_| vec![HOUR]),
    ("only 5 m", |_| vec![FIVE]),
    ("only raw", |_| vec![0]),
    ("all", |_| vec![0, FIVE, HOUR]),
    ("each a day", |i| vec![RESOLUTIONS[2 - i / 12]]),
    ("each a day, raw first", |i| vec![RESOLUTIONS[i / 12]]),
    ("what retention leaves", |i| match i / 12 {
        0 => vec![HOUR],
        1 => vec![FIVE, HOUR],
        _ => vec![0, FIVE, HOUR],
    }),
];

#[tokio::test]
async fn no_step_is_empty() {
    let samples = steady(3);
    for (name, layout) in LAYOUTS {
        for cut in [DAY, 3 * DAY] {
            let source = store(&samples, cut, layout);
            for step in [15_000, MINUTE, 7 * MINUTE, 30 * MINUTE, HOUR, 6 * HOUR, DAY] {
                // Two windows need to have ended; short steps look at the borders between the parts.
                let first = START + 3 * HOUR;
                let spans = match step < 30 * MINUTE {
                    true => vec![
                        (first, first + 2 * HOUR),
                        (START + DAY - HOUR, START + DAY + 3 * HOUR),
                        (START + 2 * DAY - HOUR, START + 2 * DAY + 3 * HOUR),
                    ],
                    false => vec![(first, START + 3 * DAY - 1)],
                };
                for query in QUERIES {
                    for (from, to) in &spans {
                        let result = range(&source, query, (*from, *to, step), &auto(step)).await;
                        for (i, v) in steps(&result).into_iter().enumerate() {
                            assert!(
                                v.is_some(),
                                "{name}, chunks of {cut}: {query} is empty at step {i} of {step} from {from}"
                            );
                        }
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn rates_and_counts_are_those_of_the_range() {
    let samples = steady(3);
    let step = MINUTE;
    let first = START + 4 * HOUR;
    let mut wrong = Vec::new();
    for (name, layout) in LAYOUTS {
        let source = store(&samples, 3 * DAY, layout);
        for (query, want) in [
            ("rate(m_total[5m])", 1.0),
            ("rate(m_total[40m])", 1.0),
            ("irate(m_total[5m])", 1.0),
            ("increase(m_total[5m])", 300.0),
            ("increase(m_total[90m])", 5400.0),
            ("delta(m_total[10m])", 600.0),
            ("deriv(m_total[10m])", 1.0),
            ("count_over_time(m_total[10m])", 10.0),
            ("count_over_time(m_total[90m])", 90.0),
        ] {
            let result = range(&source, query, (first, START + 3 * DAY - 1, step), &auto(step)).await;
            for (i, v) in steps(&result).into_iter().enumerate() {
                let v = v.unwrap();
                // Samples lie up to a minute before the ends of windows; where data of two kinds meets that shows.
                if (v - want).abs() > want * 0.21 {
                    wrong.push(format!("{name}: {query} is {v} at step {i}"));
                }
            }
        }
        for query in
            ["sum_over_time(m_total[10m]) / count_over_time(m_total[10m])", "avg_over_time(m_total[10m])", "m_total"]
        {
            let result = range(&source, query, (first, START + 3 * DAY - 1, step), &auto(step)).await;
            for (i, v) in steps(&result).into_iter().enumerate() {
                let now = 1e6 + (first - START + i as i64 * step) as f64 / 1000.0;
                let old = now - v.unwrap();
                // The mean of the window that holds it is half a window too new or too old.
                if !(-1_860.0..=2.1 * 3600.0).contains(&old) {
                    wrong.push(format!("{name}: {query} is {old} s old at step {i}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn wider_windows_are_told_of() {
    let samples = steady(1);
    let coarse = store(&samples, DAY, |_| vec![HOUR]);
    let times = (START + 5 * HOUR, START + 6 * HOUR, MINUTE);
    let annotations = |result: promql::QueryResult| -> Vec<String> {
        let infos = result.annotations.iter().filter(|a| a.severity == Severity::Info);
        infos.map(|a| a.text.clone()).collect()
    };
    let got = annotations(range(&coarse, "1 + rate(m_total[5m])", times, &auto(MINUTE)).await);
    assert_eq!(
        got,
        [
            "PromQL info: some data is downsampled to 1h, too coarse for a range of 5m: wider windows were taken, and scaled (1:10)"
        ]
    );
    for (query, source) in [
        ("rate(m_total[2h])", &coarse),
        ("m_total", &coarse),
        ("rate(m_total[5m])", &store(&samples, DAY, |_| vec![0, HOUR])),
    ] {
        assert_eq!(annotations(range(source, query, times, &auto(MINUTE)).await), [""; 0], "{query}");
    }
    // A resolution that was given is a limit, and no reason to be silent.
    let given = ReadOptions { max_resolution_ms: HOUR, ..ReadOptions::default() };
    assert_eq!(annotations(range(&coarse, "1 + rate(m_total[5m])", times, &given).await), got);
    for limit in [0, FIVE] {
        let given = ReadOptions { max_resolution_ms: limit, ..ReadOptions::default() };
        let result = range(&coarse, "rate(m_total[5m])", times, &given).await;
        assert!(steps(&result).iter().all(Option::is_none));
        assert_eq!(annotations(result), [""; 0]);
    }
    let got = annotations(range(&coarse, "max_over_time(m_total[90m:5m])", times, &auto(MINUTE)).await);
    assert!(got.len() == 1 && got[0].contains("downsampled to 1h, too coarse for a range of 1h30m"), "{got:?}");
}

/// A series that ends, and one that pauses, do not go on for longer than their data is coarse.
#[tokio::test]
async fn gaps_stay_gaps() {
    let mut samples = steady(1);
    samples.retain(|s| s.0 < START + 8 * HOUR || s.0 >= START + 14 * HOUR);
    samples.retain(|s| s.0 < START + 20 * HOUR);
    for (resolution, late) in [(0, FIVE), (FIVE, 2 * FIVE), (HOUR, 2 * HOUR)] {
        let source = store(&samples, DAY, move |_| vec![resolution]);
        for query in ["m_total", "count_over_time(m_total[5m])", "rate(m_total[5m])"] {
            let times = (START, START + DAY, MINUTE);
            for (i, v) in steps(&range(&source, query, times, &auto(MINUTE)).await).into_iter().enumerate() {
                let t = START + i as i64 * MINUTE;
                let inside = |from: i64, to: i64| t >= START + from * HOUR && t <= START + to * HOUR + late;
                assert!(v.is_none() || inside(0, 8) || inside(14, 20), "{query} at {resolution}: {i} min has {v:?}");
            }
        }
    }
}

/// Any blocks, any steps: a value wherever a block whose resolution is at most an hour has two windows behind the step.
#[tokio::test]
async fn any_layout_any_step() {
    let samples = steady(2);
    let mut random = Random(21);
    let mut wrong = Vec::new();
    for round in 0..60 {
        let mut kinds: Vec<Vec<i64>> = Vec::new();
        while kinds.len() < 25 {
            let kind = RESOLUTIONS.into_iter().filter(|_| random.below(2) == 0).collect::<Vec<_>>();
            for _ in 0..=random.below(6) {
                kinds.push(kind.clone());
            }
        }
        let layout = kinds.clone();
        let cut = [2 * HOUR, DAY, 2 * DAY][random.below(3) as usize];
        let source = store(&samples, cut, move |i| layout[i].clone());
        let step = [15_000, 50_000, 6 * MINUTE, 35 * MINUTE, 5 * HOUR][random.below(5) as usize];
        let from = START + (2 * HOUR as u64 + random.below(40 * HOUR as u64)) as i64;
        let to = (from + 150 * step).min(START + 2 * DAY - 1);
        for (query, want) in [
            ("m_total", None),
            ("rate(m_total[4m])", Some(1.0)),
            ("rate(m_total[30m])", Some(1.0)),
            ("increase(m_total[3h])", Some(10_800.0)),
            ("delta(m_total[20m])", Some(1_200.0)),
            ("count_over_time(m_total[4m])", Some(4.0)),
            ("count_over_time(m_total[70m])", Some(70.0)),
        ] {
            for (i, v) in steps(&range(&source, query, (from, to, step), &auto(step)).await).into_iter().enumerate() {
                let t = from + i as i64 * step;
                let piece = ((t - START) / PIECE) as usize;
                // Two windows of the coarsest kind lie within this piece and the one before.
                let held = !kinds[piece].is_empty() && !kinds[piece - 1].is_empty();
                assert!(
                    v.is_some() || !held,
                    "round {round}: {query} is empty at {t}, step {i} of {step} from {from}, cut {cut}: {kinds:?}"
                );
                // All of the range, and the windows before it.
                let whole = piece >= 4 && kinds[piece - 4..=piece].iter().all(|k| !k.is_empty());
                if let (true, Some(v), Some(want)) = (whole, v, want)
                    && (v - want).abs() > want * 0.26
                {
                    wrong.push(format!(
                        "round {round}: {query} is {v} at {t}, step {i} of {step}, cut {cut}: {:?}",
                        &kinds[piece - 4..=piece]
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// With a resolution that was given nothing changes: neither the select nor the answer.
#[tokio::test]
async fn given_resolutions_ask_for_what_they_did() {
    let samples = steady(2);
    let source = store(&samples, DAY, |_| vec![0, FIVE, HOUR]);
    for (resolution, query) in [
        (0, "rate(m_total[5m])"),
        (FIVE, "rate(m_total[30m])"),
        (HOUR, "rate(m_total[6h])"),
        (0, "m_total"),
        (FIVE, "m_total"),
    ] {
        let given = ReadOptions { max_resolution_ms: resolution, ..ReadOptions::default() };
        let automatic = ReadOptions { auto_resolution: true, ..given.clone() };
        let times = (START + 7 * HOUR, START + 40 * HOUR, 20 * MINUTE);
        let (a, b) = (range(&source, query, times, &given).await, range(&source, query, times, &automatic).await);
        for (i, (a, b)) in steps(&a).into_iter().zip(steps(&b)).enumerate() {
            // Windows cut short at the ends of chunks are put right.
            let near = matches!((a, b), (Some(a), Some(b)) if (a - b).abs() <= a * 0.15);
            assert!(near, "{query} at {resolution}, step {i}: {b:?}, not {a:?}");
        }
    }
}

/// Chunks of a peer that lies: aggregates that do not belong together, times and values of any kind.
#[tokio::test]
async fn nonsense_is_harmless() {
    let mut random = Random(77);
    let far = [i64::MIN, i64::MIN / 2, model::MIN_TIME_MS, -1, 0, HOUR - 1, model::MAX_TIME_MS, i64::MAX / 2, i64::MAX];
    let far_queries = [
        "rate(m_total[290y])",
        "m_total offset -290y",
        "m_total @ 9e15",
        "sum_over_time(m_total[1m] @ 9e15 offset -290y)",
        "count_over_time(m_total[290y] @ -9e15)",
        "predict_linear(m_total[1m] @ -9e15, 1e300)",
        "delta(m_total[290y] @ 9e15)",
        "increase(m_total[290y] @ 9e15 offset 290y)",
    ];
    let values = [0.0, -0.0, 1.0, -3.0, 1e308, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 5e-324];
    for round in 0..40 {
        let mut chunks = Vec::new();
        for _ in 0..=random.below(5) {
            let mut parts = [const { None }; 5];
            let (mut min, mut max) = (0, 0);
            let near = random.below(2) == 0;
            for part in &mut parts {
                let mut times: Vec<i64> = (0..random.below(9))
                    .map(|i| match near {
                        true => START + HOUR * i as i64 + [0, FIVE - 1, HOUR - 1, 7][random.below(4) as usize],
                        false => far[random.below(9) as usize],
                    })
                    .collect();
                if random.below(5) > 0 {
                    times.sort_unstable();
                }
                let Some(first) = times.first() else { continue };
                (min, max) = (*first, times[times.len() - 1]);
                let samples = times.iter().map(|t| (*t, values[random.below(9) as usize]));
                let Ok(data) = encode_xor(samples) else { continue };
                *part = Some(EncodedChunk { encoding: Encoding::Xor, data: data.into() });
            }
            let aggr = Chunk::aggr(min.min(max), max.max(min), AggrChunk { parts });
            chunks.push(Chunk { replica: random.below(3), ..aggr });
        }
        if random.below(2) == 0 {
            chunks.extend(Levels::of(&steady(1)).raw.into_iter().take(2));
        }
        chunks.sort_by_key(|c| (c.min_time, c.max_time));
        let source = common::source(chunks);
        for query in QUERIES.iter().chain(&far_queries) {
            let query = query.replace("m_total", "m");
            for times in [
                (START - HOUR, START + 9 * HOUR, 50 * MINUTE),
                (model::MIN_TIME_MS, model::MAX_TIME_MS, model::MAX_TIME_MS / 9),
            ] {
                for options in [auto(HOUR), ReadOptions { auto_resolution: false, ..auto(5 * HOUR) }] {
                    let ctx = Ctx::background();
                    let (from, to, step) = times;
                    let result = common::engine()
                        .evaluate(&ctx, source.clone(), Query::range(&query, from, to, step).reading(options.clone()))
                        .await;
                    let fine = matches!(result, Ok(_) | Err(QueryError::Limit(_)));
                    assert!(fine, "round {round}: {query}: {result:?}");
                }
            }
        }
    }
}

/// Each selector of a query takes what its own range can be told from, also at a resolution that was given.
#[tokio::test]
async fn each_range_has_its_own_resolution() {
    let samples = steady(2);
    let source = store(&samples, 2 * DAY, |_| vec![0, FIVE, HOUR]);
    let times = (START + 9 * HOUR + 33_000, START + 40 * HOUR, 7 * MINUTE);
    for limit in [0, FIVE, HOUR] {
        let given = ReadOptions { max_resolution_ms: limit, ..ReadOptions::default() };
        for (query, want) in [
            ("rate(m_total[1h])", 1.0),
            ("rate(m_total[5m]) + rate(m_total[10m]) + rate(m_total[3h])", 3.0),
            ("max_over_time(rate(m_total[5m])[1h:10m])", 1.0),
            ("rate(m_total[1h] offset 3h)", 1.0),
            ("rate(m_total[6m] @ 1728050000)", 1.0),
            ("rate(m_total[30m:1m])", 1.0),
            ("count_over_time(m_total[5m])", 5.0),
            ("min_over_time(count_over_time(m_total[30m])[2h:10m])", 30.0),
            ("avg_over_time(m_total[10m]) - avg_over_time(m_total[10m] offset 1h)", 3600.0),
        ] {
            let result = range(&source, query, times, &given).await;
            for (i, v) in steps(&result).into_iter().enumerate() {
                // Instants show averages, one for all of a window.
                let off = if query.contains("[30m:1m]") { 0.2 } else { 0.03 };
                let right = v.is_some_and(|v| (v - want).abs() <= want * off);
                assert!(right, "{query} at {limit} is {v:?} at step {i}");
            }
            assert_eq!(result.annotations.iter().count(), 0, "{query} at {limit}");
        }
    }
}
