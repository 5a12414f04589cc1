//! Thousands of corrupt inputs for each decoder: none panics, hangs, or takes memory beyond what its input justifies.
//!
//! `FUZZ_MUTATIONS` is their number for each decoder, `FUZZ_SEED` the first of them. The same number gives the same
//! input, so what a failure names can be made again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use fuzz_targets::mutate::Mutator;
use fuzz_targets::{TARGETS, Target};

mod counting;

const MUTATIONS: u64 = 20_000;
/// Far above what any input takes, far below what one would wait for.
const TIME_MAX: Duration = Duration::from_secs(5);

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn hex(data: &[u8]) -> String {
    data.iter().take(4096).map(|b| format!("{b:02x}")).collect()
}

/// Runs one input; tells what is wrong with it.
fn run(target: &Target, data: &[u8]) -> Result<usize, String> {
    let began = Instant::now();
    let (result, peak) = counting::peak_bytes(|| catch_unwind(AssertUnwindSafe(|| (target.run)(data))));
    if let Err(panic) = result {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("?");
        return Err(format!("panics: {text}"));
    }
    let allowed = target.base_bytes + target.bytes_per_byte * data.len();
    if peak > allowed {
        return Err(format!("holds {peak} bytes, {allowed} are allowed for {} bytes of input", data.len()));
    }
    match began.elapsed() {
        took if took > TIME_MAX => Err(format!("takes {took:?}")),
        _ => Ok(peak),
    }
}

fn check(name: &str) {
    let target = TARGETS.iter().find(|t| t.name == name).expect("a target");
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty());
    for (i, seed) in seeds.iter().enumerate() {
        run(target, seed).unwrap_or_else(|e| panic!("{name}: seed {i} {e}"));
    }
    // What panics is told once, below.
    std::panic::set_hook(Box::new(|_| {}));
    let (first, count) = (number("FUZZ_SEED", 0), number("FUZZ_MUTATIONS", MUTATIONS));
    let mut mutator = Mutator::new(seeds, first);
    let mut failures = Vec::new();
    for i in 0..count {
        let data = mutator.mutated();
        if let Err(e) = run(target, &data) {
            failures.push(format!("{name}: mutation {i} of seed {first} {e}\n  {}", hex(&data)));
            if failures.len() == 3 {
                break;
            }
        }
    }
    drop(std::panic::take_hook());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

macro_rules! tests {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            check(stringify!($name));
        })*

        #[test]
        fn each_target_is_run_here_and_by_libfuzzer() {
            let here = [$(stringify!($name)),*];
            let all: Vec<_> = TARGETS.iter().map(|t| t.name).collect();
            assert_eq!(all, here);
            let fuzz = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
            let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
            for name in all {
                let source = std::fs::read_to_string(fuzz.join(format!("fuzz_targets/{name}.rs"))).unwrap_or_default();
                assert!(source.contains(&format!("fuzz_targets::{name}(data)")), "fuzz/fuzz_targets/{name}.rs");
                assert!(manifest.contains(&format!("name = \"{name}\"")), "fuzz/Cargo.toml: {name}");
            }
        }
    };
}

tests! {
    xor xor2 resume_xor histogram float_histogram histogram_st float_histogram_st aggregates
    index index_header chunk_segment postings postings_table symbols series_entry toc tombstones meta_json marks
    wal_record wal_segment
    remote_frames remote_message remote_samples remote_write_v1 remote_write_v2 remote_read_request otlp_protobuf otlp_json store_answer store_request inspect_messages grpc_snappy
    exposition_text exposition_openmetrics exposition_protobuf content_type
    promql promql_selectors re2_pattern test_script durations metrics_page
    objstore_yaml relabel_yaml alert_template api_histogram http_client_yaml http_answer web_yaml tracing_yaml request_log_yaml prometheus_yaml
    scrape_yaml http_sd_json consul_instances
}

#[test]
fn the_same_seed_gives_the_same_mutations() {
    let mutations = |seed| {
        let mut mutator = Mutator::new(vec![b"some words".to_vec(), vec![1, 2, 3]], seed);
        (0..100).map(|_| mutator.mutated()).collect::<Vec<_>>()
    };
    assert_eq!(mutations(1), mutations(1));
    assert_ne!(mutations(1), mutations(2));
}

#[test]
fn memory_is_counted() {
    let (_, peak) = counting::peak_bytes(|| {
        drop(vec![0u8; 10_000]);
        drop(vec![0u8; 5_000]);
    });
    assert!((10_000..11_000).contains(&peak), "{peak}");
}
