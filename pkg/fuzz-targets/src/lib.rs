//! Every decoder that reads bytes of others, as a function of bytes alone: no result, no panic, no memory beyond a small
//! multiple of the input.
//!
//! Two things drive them: `fuzz/` with libFuzzer, for as long as one likes, and `tests/mutations.rs` on each build,
//! with a fixed number of mutations of well-formed inputs. Where a format has checksums a target reads its input twice,
//! as it is and with the checksums put right, so that what lies behind them is reached.

mod blocks;
mod checksums;
mod chunks;
mod discovered;
mod expositions;
mod logs;
mod messages;
pub mod mutate;
mod otlp_metrics;
mod remote_write;
mod seeds;
mod texts;

pub use blocks::{
    chunk_segment, index, index_header, marks, meta_json, postings, postings_table, series_entry, symbols, toc,
    tombstones,
};
pub use chunks::{aggregates, float_histogram, float_histogram_st, histogram, histogram_st, resume_xor, xor, xor2};
pub use discovered::{consul_instances, http_sd_json, scrape_yaml};
pub use expositions::{content_type, exposition_openmetrics, exposition_protobuf, exposition_text};
pub use logs::{wal_record, wal_segment};
pub use messages::{
    grpc_snappy, inspect_messages, remote_frames, remote_message, remote_samples, store_answer, store_request,
};
pub use otlp_metrics::{otlp_json, otlp_protobuf};
pub use remote_write::{remote_read_request, remote_write_v1, remote_write_v2};
pub use texts::{
    alert_template, api_histogram, durations, http_answer, http_client_yaml, metrics_page, objstore_yaml,
    prometheus_yaml, promql, promql_selectors, re2_pattern, relabel_yaml, request_log_yaml, test_script, tracing_yaml,
    web_yaml,
};

/// One decoder and what is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// As its function and its file under `fuzz/`.
    pub name: &'static str,
    /// Reads the bytes.
    pub run: fn(&[u8]),
    /// Well-formed inputs, made by our own writers.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Most bytes it may hold at a time: so many, and ...
    pub base_bytes: usize,
    /// ... so many for each byte of input.
    pub bytes_per_byte: usize,
}

macro_rules! targets {
    ($($name:ident: $seeds:expr, $base:expr, $per_byte:expr;)*) => {
        /// All targets.
        pub const TARGETS: &[Target] = &[$(Target {
            name: stringify!($name),
            run: $name,
            seeds: $seeds,
            base_bytes: $base,
            bytes_per_byte: $per_byte,
        }),*];
    };
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

// A sample of 16 bytes takes two bits of an XOR chunk (one of XOR2), times two columns that are compared, times what a
// growing vector keeps in reserve.
targets! {
    xor: seeds::xor, 16 * KIB, 1024;
    xor2: seeds::xor2, 16 * KIB, 1024;
    resume_xor: seeds::xor, 16 * KIB, 16;
    histogram: seeds::histogram, 5 * MIB, 8 * KIB;
    float_histogram: seeds::float_histogram, 5 * MIB, 8 * KIB;
    histogram_st: seeds::histogram, 5 * MIB, 8 * KIB;
    float_histogram_st: seeds::float_histogram, 5 * MIB, 8 * KIB;
    aggregates: seeds::aggregates, 5 * MIB, 8 * KIB;
    index: seeds::index, 64 * KIB, 64;
    index_header: seeds::index_header, 64 * KIB, 64;
    chunk_segment: seeds::chunk_segment, 5 * MIB, 8 * KIB;
    postings: seeds::postings, 16 * KIB, 16;
    postings_table: seeds::postings_table, 16 * KIB, 64;
    symbols: seeds::symbols, 16 * KIB, 16;
    series_entry: seeds::series_entry, 16 * KIB, 64;
    toc: seeds::toc, 16 * KIB, 16;
    tombstones: seeds::tombstones, 16 * KIB, 128;
    meta_json: seeds::meta_json, 64 * KIB, 64;
    marks: seeds::marks, 64 * KIB, 64;
    wal_record: logs::record_seeds, 64 * KIB, 512;
    wal_segment: logs::segment_seeds, 2 * MIB, 64;
    remote_frames: seeds::remote_frames, 64 * KIB, 128;
    remote_message: seeds::remote_message, 64 * KIB, 128;
    remote_samples: seeds::remote_samples, 2 * MIB, 128;
    remote_write_v1: remote_write::seeds_v1, 256 * KIB, 128;
    remote_write_v2: remote_write::seeds_v2, 256 * KIB, 128;
    remote_read_request: remote_write::seeds_read, 4 * MIB, 256;
    otlp_protobuf: otlp_metrics::seeds_protobuf, 18 * MIB, 128;
    otlp_json: otlp_metrics::seeds_json, 18 * MIB, 128;
    store_answer: seeds::store_answer, 64 * KIB, 256;
    store_request: seeds::store_request, 4 * MIB, 256;
    inspect_messages: seeds::inspect_messages, 64 * KIB, 512;
    grpc_snappy: seeds::grpc_snappy, 512 * KIB, 64;
    exposition_text: seeds::exposition_text, 16 * KIB, 128;
    exposition_openmetrics: seeds::exposition_openmetrics, 16 * KIB, 256;
    exposition_protobuf: seeds::exposition_protobuf, 16 * KIB, 256;
    content_type: seeds::content_type, 16 * KIB, 64;
    promql: seeds::promql, 4 * MIB, 2 * KIB;
    promql_selectors: seeds::promql_selectors, 4 * MIB, 2 * KIB;
    re2_pattern: seeds::re2_pattern, 8 * MIB, 2 * KIB;
    test_script: seeds::test_script, 4 * MIB, 4 * KIB;
    durations: seeds::durations, 16 * KIB, 64;
    metrics_page: seeds::metrics_page, 16 * KIB, 16;
    objstore_yaml: seeds::objstore_yaml, MIB, KIB;
    relabel_yaml: seeds::relabel_yaml, 8 * MIB, 2 * KIB;
    alert_template: seeds::alert_template, 8 * MIB, 4 * KIB;
    api_histogram: seeds::api_histogram, 64 * KIB, 512;
    http_client_yaml: seeds::http_client_yaml, MIB, KIB;
    http_answer: seeds::http_answer, 128 * KIB, 16;
    web_yaml: seeds::web_yaml, MIB, KIB;
    tracing_yaml: seeds::tracing_yaml, MIB, KIB;
    request_log_yaml: seeds::request_log_yaml, MIB, KIB;
    prometheus_yaml: seeds::prometheus_yaml, MIB, KIB;
    scrape_yaml: discovered::scrape_seeds, 8 * MIB, 4 * KIB;
    http_sd_json: discovered::http_sd_seeds, 64 * KIB, 256;
    consul_instances: discovered::consul_seeds, 64 * KIB, 512;
}
