//! Prometheus' own PromQL test scripts, and those that Thanos keeps, read in place.

use std::path::PathBuf;

use tools::promqltest::run_files;

/// The directory of the scripts in the conformance data; `None`, said loudly, when it is not there. Never on a build server.
fn scripts(dir: &str) -> Option<PathBuf> {
    let default = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let root = std::env::var_os("AION_CONFORMANCE_DIR").map_or(default, PathBuf::from);
    let dir = root.join(dir);
    if dir.is_dir() {
        return Some(dir);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "no conformance data in {}", dir.display());
    eprintln!("SKIPPED: no conformance data in {}; set AION_CONFORMANCE_DIR", dir.display());
    None
}

async fn passes(names: &[&str]) {
    pass_in("promqltest", names).await;
}

async fn pass_in(dir: &str, names: &[&str]) {
    let Some(dir) = scripts(dir) else { return };
    let files: Vec<PathBuf> = names.iter().map(|n| dir.join(format!("{n}.test"))).collect();
    let report = run_files(&files).await.unwrap();
    println!("{}", report.render());
    assert!(report.failed.is_empty(), "{}", report.render());
    assert!(report.passed > 0);
}

macro_rules! scripts {
    ($($name:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                passes(&[stringify!($name)]).await;
            }
        )*
    };
}

scripts! {
    aggregators at_modifier collision functions histograms limit literals name_label_dropping operators range_queries
    selectors staleness subquery trig_functions
    duration_expression extended_vectors info native_histograms start_timestamps type_and_unit
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fill_modifier() {
    passes(&["fill-modifier"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_that_thanos_keeps() {
    let names = [
        "aggregators",
        "collision",
        "functions",
        "histograms",
        "literals",
        "operators",
        "selectors",
        "staleness",
        "subquery",
    ];
    pass_in("thanos/pkg/query/testdata/promql/prometheus", &names).await;
    pass_in("thanos/pkg/query/testdata/promql/thanos", &["aggregators"]).await;
}
