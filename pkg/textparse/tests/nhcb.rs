//! Classic histograms become native ones with custom buckets.

mod common;

use common::dump;
use textparse::{Format, Options};

fn converted(body: &str, keeps_classic: bool) -> Vec<String> {
    let options = Options {
        convert_classic_histograms: true,
        keep_classic_histograms: keeps_classic,
        exemplars: true,
        start_timestamps: true,
        ..Options::default()
    };
    dump(format!("{body}# EOF\n").as_bytes(), Format::OpenMetrics, options)
}

#[test]
fn histograms() {
    for (body, want) in [
        // The groups are told apart by their labels and names.
        (
            "# TYPE h histogram\nh_bucket{a=\"1\",le=\"1\"} 1\nh_bucket{le=\"2\",a=\"1\"} 3\nh_bucket{a=\"1\",le=\"+Inf\"} 4\n\
             h_sum{a=\"1\"} 9.5\nh_count{a=\"1\"} 4\nh_bucket{a=\"2\",le=\"+Inf\"} 7\nh_count{a=\"2\"} 7\nother 1\n",
            &[
                "type h histogram",
                "h{a=\"1\"} Unknown schema=-53 count=4 sum=9.5 zero=0/0 +[(0, 3)][1, 1, -1] -[][] [1.0, 2.0]",
                "h{a=\"2\"} Unknown schema=-53 count=7 sum=0 zero=0/0 +[(0, 1)][7] -[][] []",
                "other{} 1",
            ][..],
        ),
        // Without the last bucket, without buckets, without a count.
        (
            "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_count 3\n# TYPE i histogram\ni_count 2\ni_sum 5\n\
             # TYPE j histogram\nj_bucket{le=\"1\"} 2\n",
            &[
                "type h histogram",
                "h{} Unknown schema=-53 count=3 sum=0 zero=0/0 +[(0, 2)][1, 1] -[][] [1.0]",
                "type i histogram",
                "i{} Unknown schema=-53 count=2 sum=5 zero=0/0 +[(0, 1)][2] -[][] []",
                "type j histogram",
                "j{} Unknown schema=-53 count=2 sum=0 zero=0/0 +[(0, 1)][2] -[][] [1.0]",
            ],
        ),
        // Fractions; buckets in any order; a bound twice.
        (
            "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2.5\nh_bucket{le=\"1\"} 1.5\nh_bucket{le=\"1.0\"} 1.5\nh_count 2.5\n",
            &[
                "type h histogram",
                "h{} float Unknown schema=-53 count=2.5 sum=0 zero=0/0 +[(0, 2)][1.5, 1.0] -[][] [1.0]",
            ],
        ),
        // Empty buckets: up to two in a row stay where they are between others.
        (
            "# TYPE h histogram\nh_bucket{le=\"1\"} 0\nh_bucket{le=\"2\"} 1\nh_bucket{le=\"3\"} 1\nh_bucket{le=\"4\"} 2\n\
             h_bucket{le=\"5\"} 2\nh_bucket{le=\"6\"} 2\nh_bucket{le=\"7\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_count 3\n",
            &[
                "type h histogram",
                "h{} Unknown schema=-53 count=3 sum=0 zero=0/0 +[(1, 3), (3, 1)][1, -1, 1, 0] -[][] \
                 [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]",
            ],
        ),
        // Exemplars, times, start times.
        (
            "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1 5 # {t=\"x\"} 1 2\nh_count 1 5\nh_created 3\n",
            &[
                "type h histogram",
                "h{} Unknown schema=-53 count=1 sum=0 zero=0/0 +[(0, 1)][1] -[][] [] @5000 st@3000 # {t=\"x\"} 1 @2000",
            ],
        ),
        // No histograms: other types, other names, buckets without a bound.
        ("# TYPE g gauge\ng_count 1\n", &["type g gauge", "g_count{} 1"]),
        (
            "# TYPE h histogram\nx_count 1\nh_bucket 1\nh_bucket{le=\"x\"} 1\nh 1\n",
            &["type h histogram", "x_count{} 1", "h_bucket{} 1", "h_bucket{le=\"x\"} 1", "h{} 1"],
        ),
        // What makes no histogram is told.
        (
            "# TYPE h histogram\nh_bucket{le=\"1\"} 5\nh_bucket{le=\"+Inf\"} 3\n# TYPE i histogram\ni_sum 1\n\
             # TYPE j histogram\nj_bucket{le=\"+Inf\"} 3\nj_count 4\n",
            &[
                "type h histogram",
                "type i histogram",
                "type j histogram",
                "unconverted 3: h: count is not cumulative: le=inf, count=3",
            ],
        ),
    ] {
        assert_eq!(converted(body, false), want, "{body}");
    }
}

#[test]
fn classic_series_may_stay() {
    let body = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_count 1\nother 1\n";
    assert_eq!(
        converted(body, true),
        [
            "type h histogram",
            "h_bucket{le=\"1.0\"} 1",
            "h_count{} 1",
            "h{} Unknown schema=-53 count=1 sum=0 zero=0/0 +[(0, 1)][1] -[][] [1.0]",
            "other{} 1",
        ]
    );
    let broken = "# TYPE h histogram\nh_sum 1\n";
    assert_eq!(converted(broken, true), ["type h histogram", "h_sum{} 1"]);
}
