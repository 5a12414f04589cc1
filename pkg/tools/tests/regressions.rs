//! Bugs that Prometheus or Thanos once had; `r<number>` is their issue's number, in Prometheus where nothing else is
//! said.

use promql::Engine;
use tools::promqltest::{engine_options, run_script};

async fn passes(script: &str) {
    let report = run_script("inline", script, &Engine::new(engine_options())).await.unwrap();
    assert!(report.failed.is_empty() && report.passed > 0, "{}", report.render());
}

#[tokio::test]
async fn r8433_timestamp_of_a_pinned_selector_has_a_point_at_each_step() {
    passes(
        "load 10s
           m 1x100

         eval range from 1m to 5m step 1m timestamp(m @ 30)
           {} 30 30 30 30 30
         ",
    )
    .await;
}

/// Of what the offset lets through, the sample is shown that is the last one at the pinned time.
#[tokio::test]
async fn timestamp_of_a_pinned_selector_with_an_offset() {
    passes(
        "load 10s
           m 1x100

         eval instant at 0 timestamp(m offset 30s @ 300)
           {} 270

         eval instant at 0 timestamp(m offset -30s @ 300)
           {} 300

         eval instant at 0 timestamp(m offset 290s @ 900)
           {} 610

         eval instant at 0 timestamp(m offset 299s @ 900)

         eval instant at 0 timestamp(m offset 7m @ 900)

         eval instant at 0 timestamp(m offset -7m @ 300)

         eval range from 0 to 2m step 1m timestamp(m offset 1m @ end())
           {} 60 60 60

         eval instant at 0 m offset 7m @ 900
           m 1
         ",
    )
    .await;
}

#[tokio::test]
async fn r2674_deriv_far_from_the_epoch_is_exact() {
    // The second sample of each is far out in time; a regression from 0 would lose all digits.
    passes(
        "load 1m
           m 0+10x100000

         eval instant at 99990m deriv(m[10m])
           {} 0.16666666666666666
         ",
    )
    .await;
}

#[tokio::test]
async fn r16714_means_neither_overflow_nor_lose_digits() {
    passes(
        "load 10s
           big{i=\"1\"} 9.988465674311579e+307
           big{i=\"2\"} 9.988465674311579e+307
           big{i=\"3\"} 9.988465674311579e+307
           small 0.1 0.2 0.3 1e16 -1e16

         eval instant at 0 avg(big)
           {} 9.988465674311579e+307

         eval instant at 40s avg_over_time(small[1m])
           {} 0.12
         ",
    )
    .await;
}

#[tokio::test]
async fn sums_do_not_depend_on_large_values_that_cancel() {
    passes(
        "load 10s
           m{i=\"1\"} 1e100
           m{i=\"2\"} 1
           m{i=\"3\"} -1e100

         eval instant at 0 sum(m)
           {} 1
         ",
    )
    .await;
}

#[tokio::test]
async fn a_failing_eval_is_told_with_its_line() {
    let script = "load 10s\n  m 1\n\neval instant at 0 m\n  m 2\n\neval instant at 0 m\n  m 1\n";
    let report = run_script("x.test", script, &Engine::new(engine_options())).await.unwrap();
    let text = report.render();
    assert!(text.starts_with("FAIL x.test:4: m\n"), "{text}");
    assert!(text.contains("- {__name__=\"m\"} 2") && text.ends_with("1 passed, 1 failed\n"), "{text}");
}
