//! The planner's passes: no answer depends on them, and what each of them does.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chunkenc::{Encoding, encode_xor};
use common::answers::shown;
use common::random::{Writer, source};
use common::{MINUTE, Random};
use futures::future::BoxFuture;
use labels::Labels;
use promql::{Engine, EngineOptions, Grid, OperatorStats, Passes, Query};
use proptest::prelude::*;
use storage::{Answer, Chunk, Ctx, LabelQuery, MemorySource, Select, Series, SeriesSource, SeriesStream, SourceInfo};

fn engine(passes: Passes) -> Engine {
    let parse = promql_syntax::ParseOptions::ALL;
    Engine::new(EngineOptions { parse, passes, ..EngineOptions::default() })
}

fn planned(text: &str) -> promql::Explained {
    let options = EngineOptions { parse: promql_syntax::ParseOptions::ALL, ..EngineOptions::default() };
    let expr = promql_syntax::parse_with(text, &options.parse).unwrap();
    promql::explain(&expr, Grid::new(0, 60_000, 15_000), &options).unwrap()
}

#[test]
fn what_passes_change() {
    let cases: &[(&str, &[&str])] = &[
        ("a", &[]),
        ("a * (2 ^ 3 + 1)", &["fold-constants: calculated 8", "fold-constants: calculated 9"]),
        ("clamp_min(a, scalar(vector(-(1))))", &["fold-constants: calculated -1", "fold-constants: calculated -1"]),
        ("a * time()", &[]),
        // Matchers.
        ("a{x=\"1\"} / b", &["propagate-matchers: added x=\"1\" to b"]),
        ("a / b{x=~\"1|2\",y!=\"\"}", &["propagate-matchers: added x=~\"1|2\",y!=\"\" to a"]),
        ("a * on (x) group_left () sum by (x) (b{x=\"1\",y=\"2\"})", &["propagate-matchers: added x=\"1\" to a"]),
        ("a{x=\"1\"} and on (x) b", &["propagate-matchers: added x=\"1\" to b"]),
        ("a and ignoring (x) b{x=\"1\",y=\"2\"}", &["propagate-matchers: added y=\"2\" to a"]),
        ("a{x=\"1\"} unless b", &["propagate-matchers: added x=\"1\" to b"]),
        ("count by (x) (a) + on (x) count by (x) (b{x=\"1\"})", &["propagate-matchers: added x=\"1\" to a"]),
        (
            "abs(a) + a{x=\"1\"}",
            &["propagate-matchers: added x=\"1\" to a", "share-selectors: 2 selectors read a{x=\"1\"} once"],
        ),
        // An error about two series of one group would be gone.
        ("a * on (x) group_left () b{x=\"1\"}", &[]),
        ("{__name__=~\"a|b\"} / {__name__=~\"c|d\",x=\"1\"}", &[]),
        // So would be what is shown: the unmatched.
        ("a{x=\"1\"} or b", &[]),
        ("a unless b{x=\"1\"}", &[]),
        ("a{x=\"1\"} + fill (0) b", &[]),
        // So would be infos about a.
        ("rate(a[5m]) / b{x=\"1\"}", &[]),
        ("sum by (x) (a) / on (x) sum by (x) (b{x=\"1\"})", &[]),
        // These labels are not those that b has.
        ("label_replace(a{x=\"1\"}, \"x\", \"2\", \"\", \"\") / b", &[]),
        ("count by (x) (a{y=\"1\"}) and b", &[]),
        // Histograms.
        ("histogram_count(rate(a[5m]))", &["histogram-stats: of histograms of a only count and sum"]),
        ("histogram_quantile(0.5, a) + histogram_sum(a >/ 1)", &["share-selectors: 2 selectors read a once"]),
        ("histogram_sum(rate(a[5m:1m]))", &[]),
        // Steps.
        ("a @ 5", &["step-invariant: evaluates once: [vectorSelector] a @ 5"]),
        ("sum(a @ 5 + 1) / b", &["step-invariant: evaluates once: [aggregate] sum"]),
        ("timestamp(a @ 5) > 2", &["step-invariant: evaluates once: [binary] > (vector before scalar)"]),
        ("hour(a @ 5)", &["step-invariant: evaluates once: [vectorSelector] a @ 5"]),
        ("predict_linear(a[5m] @ 5, 10)", &[]),
        // Sharing.
        ("a + a", &["share-selectors: 2 selectors read a once"]),
        ("rate(a[5m]) + rate(a[5m] offset 1m) + rate(a[1m])", &[]),
        ("sum(a) / (sum(a) + sum(b))", &["share-subtrees: 2 places share [aggregate] sum"]),
        ("sum(max(a)) / sum(max(a))", &["share-subtrees: 2 places share [aggregate] sum"]),
        ("sum(a) / count(a)", &["share-selectors: 2 selectors read a once"]),
        ("sum(a) + sum by (x) (a)", &["share-selectors: 2 selectors read a once"]),
        ("topk(1, a) + topk(1, a)", &["share-selectors: 2 selectors read a once"]),
        ("max_over_time(sum(a)[1h:1m]) + sum(a)", &[]),
    ];
    for (text, want) in cases {
        let passes = planned(text).passes;
        let lines = passes
            .iter()
            .filter(|pass| pass.name != "project-labels")
            .flat_map(|pass| pass.changes.iter().map(move |line| format!("{}: {line}", pass.name)));
        assert_eq!(lines.collect::<Vec<_>>(), *want, "{text}");
        assert!(passes.iter().all(|pass| pass.enabled));
    }
}

#[test]
fn labels_that_are_looked_at() {
    let cases: &[(&str, &[&str])] = &[
        ("sum by (x, y) (rate(a{z=\"1\"}[5m]))", &["of a{z=\"1\"} the labels x, y are looked at"]),
        ("count(a) / sum by (x) (-abs(b > 1))", &["of a no labels are looked at", "of b the labels x are looked at"]),
        ("sum by (x) (max by (x, y) (a))", &["of a the labels x, y are looked at"]),
        ("histogram_quantile(0.9, sum by (le) (rate(a[5m])))", &["of a the labels le are looked at"]),
        ("quantile by (x) (0.5, timestamp(a))", &["of a the labels x are looked at"]),
        ("absent(a)", &["of a no labels are looked at"]),
        ("sum(a) / (sum(a) + 1)", &["of a no labels are looked at"]),
        // What is shown, and what tells series apart.
        ("a", &[]),
        ("topk by (x) (1, a)", &[]),
        ("sum without (x) (a)", &[]),
        ("count_values by (x) (\"v\", a)", &[]),
        ("sum by (x) (a * on (y) b)", &[]),
        ("sum by (x) (label_replace(a, \"x\", \"$1\", \"y\", \"(.*)\"))", &[]),
        ("sum by (x) (histogram_quantile(0.9, a))", &[]),
        ("sum by (x) (max_over_time(a[1h:1m]))", &[]),
        // Without their names they could be the same, which is an error.
        ("sum by (x) (rate({__name__=~\"a|b\"}[5m]))", &[]),
        ("sum by (x) ({x=\"1\"})", &[]),
        // Read for both.
        ("sum by (x) (a) / count by (y) (a)", &[]),
    ];
    for (text, want) in cases {
        let passes = planned(text).passes;
        let pass = passes.iter().find(|pass| pass.name == "project-labels").unwrap();
        assert_eq!(pass.changes, *want, "{text}");
    }
}

fn tree(node: &promql::PlanNode) -> String {
    let children: Vec<String> = node.children.iter().map(tree).collect();
    if children.is_empty() { node.name.clone() } else { format!("{} ({})", node.name, children.join("; ")) }
}

#[test]
fn plans_as_people_see_them() {
    for (text, want) in [
        ("\"text\"", "[string] \"text\""),
        ("1 + time()", "[binary] + ([number] 1; [function] time)"),
        (
            "sum by (job) (rate(a{b=\"c\"}[5m] offset 1m)) > bool 2",
            "[binary] > bool (vector before scalar) ([aggregate] sum by (job) ([function] rate \
             ([matrixSelector] a{b=\"c\"}[5m] offset 1m)); [number] 2)",
        ),
        (
            "a * on (x) group_left (y) sum(b)",
            "[binary] * on (x) group_left (y) ([vectorSelector] a; [aggregate] sum ([vectorSelector] b))",
        ),
        (
            "topk(2, max_over_time(a[1h:5m]))",
            "[aggregate] topk ([number] 2; [function] max_over_time ([vectorSelector] a))",
        ),
        (
            "sum(a) / sum(a)",
            "[binary] / ([shared] 1 ([aggregate] sum ([vectorSelector] a)); [shared] 1 ([aggregate] sum ([vectorSelector] a)))",
        ),
    ] {
        assert_eq!(tree(&planned(text).root), want, "{text}");
    }
}

/// A source that counts its selects.
#[derive(Debug)]
struct Counted(Arc<dyn SeriesSource>, AtomicUsize);

impl SeriesSource for Counted {
    fn info(&self) -> SourceInfo {
        self.0.info()
    }

    fn select(&self, ctx: &Ctx, want: Select) -> SeriesStream {
        self.1.fetch_add(1, Ordering::AcqRel);
        self.0.select(ctx, want)
    }

    fn label_names(&self, ctx: &Ctx, want: LabelQuery) -> BoxFuture<'static, storage::Result<Answer<Vec<String>>>> {
        self.0.label_names(ctx, want)
    }

    fn label_values(
        &self,
        ctx: &Ctx,
        name: &str,
        want: LabelQuery,
    ) -> BoxFuture<'static, storage::Result<Answer<Vec<String>>>> {
        self.0.label_values(ctx, name, want)
    }
}

#[tokio::test]
async fn what_is_shared_is_read_once_while_memory_lasts() {
    let chunk = |i: i64| Chunk::raw(0, 0, Encoding::Xor, encode_xor([(0, i as f64)]).unwrap().into());
    let series = |i| Series {
        labels: Labels::from_pairs([("__name__", "a"), ("i", &format!("{i:04}"))]),
        chunks: vec![chunk(i)],
    };
    let inner: Arc<dyn SeriesSource> = Arc::new(MemorySource::new((0..1000).map(series).collect()));
    let run = async |text: &str, passes, max_bytes| {
        let counted = Arc::new(Counted(inner.clone(), AtomicUsize::new(0)));
        let budget = storage::Budget::new("the query", "--none", max_bytes, None);
        let ctx = Ctx { budget, ..Ctx::background() };
        let query = Query { analyze: true, ..Query::instant(text, 0) };
        let result = engine(passes).evaluate(&ctx, counted.clone(), query).await.unwrap();
        (counted.1.load(Ordering::Acquire), result)
    };
    for (text, reads) in
        [("a and a", 1), ("a + a * a", 1), ("sum(a) / sum(a)", 1), ("sum(a) + count(a)", 1), ("a + a offset 1m", 2)]
    {
        let (count, result) = run(text, Passes::ALL, 0).await;
        assert_eq!(count, reads, "{text}");
        let (count, plain) = run(text, Passes::NONE, 0).await;
        assert!(count >= 2, "{text}");
        assert_eq!(shown(text, &Ok(result)), shown(text, &Ok(plain)), "{text}");
    }
    // A quarter of 1 MiB is less than what one side has to keep for the other.
    let (count, result) = run("a and a", Passes::ALL, 1 << 20).await;
    assert_eq!(count, 2);
    let (_, plain) = run("a and a", Passes::NONE, 0).await;
    assert_eq!(shown("", &Ok(result)), shown("", &Ok(plain)));
}

#[tokio::test]
async fn operators_tell_what_they_took() {
    let source = source(&mut Random(7));
    let text = "sum(b) / sum(b) + on () group_right () max by (i) (count_over_time(c[10m]))";
    let query = Query { analyze: true, ..Query::range(text, 0, 10 * MINUTE, MINUTE) };
    let result = engine(Passes::ALL).evaluate(&Ctx::background(), source.clone(), query.clone()).await.unwrap();
    let [top] = &result.stats.operators[..] else { panic!("{:?}", result.stats) };
    let names = |s: &OperatorStats| s.children.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
    assert_eq!(top.name, "[binary] + on () group_right ()");
    assert_eq!(names(top), ["[binary] /", "[aggregate] max by (i)"]);
    assert_eq!(names(&top.children[0]), ["[shared] 1", "[shared] 1"]);
    assert_eq!(names(&top.children[0].children[0]), ["[aggregate] sum"]);
    assert!(top.children[0].children[1].children.is_empty(), "it was evaluated for the other one");
    let counts = &top.children[1].children[0];
    assert_eq!(counts.name, "[function] count_over_time [matrixSelector] c[10m]");
    assert!(counts.series > 0 && counts.series_read >= counts.series && counts.samples > counts.series, "{counts:?}");
    let stats = &result.stats;
    let all = (top.total_samples, top.decoded_samples, top.series_read, top.chunk_bytes);
    assert_eq!(all, (stats.total_samples, stats.decoded_samples, stats.series, stats.chunk_bytes));
    assert!(top.seconds >= counts.seconds && top.seconds <= stats.eval_seconds);
    let plain = Query { analyze: false, ..query };
    let plain = engine(Passes::ALL).evaluate(&Ctx::background(), source, plain).await.unwrap();
    assert!(plain.stats.operators.is_empty());
    assert_eq!(shown(text, &Ok(plain)), shown(text, &Ok(result)));
}

async fn answer(passes: Passes, source: &Arc<dyn SeriesSource>, query: &Query) -> String {
    shown(&query.text, &engine(passes).evaluate(&Ctx::background(), source.clone(), query.clone()).await)
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn no_answer_depends_on_a_pass(seed: u64) {
        let random = &mut Random(seed);
        let source = source(random);
        let text = Writer { random, vectors: Vec::new() }.vector(4);
        let queries = [
            Query::instant(&text, 17 * MINUTE),
            Query::range(&text, 10 * MINUTE, 44 * MINUTE, MINUTE),
        ];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for query in queries {
            let answer = |passes| runtime.block_on(answer(passes, &source, &query));
            let plain = answer(Passes::NONE);
            // Without buckets, resets are told from counts, which may disagree where all were unknown: as in Prometheus,
            // which leaves buckets out as well.
            let stats = answer(only("histogram-stats"));
            prop_assert_eq!(calm(&stats), calm(&plain), "seed {}, pass histogram-stats: {}", seed, text);
            let all = answer(Passes::ALL);
            if all == stats {
                continue;
            }
            for name in Passes::names().filter(|name| *name != "histogram-stats") {
                prop_assert_eq!(&answer(only(name)), &plain, "seed {}, pass {}: {}", seed, name, text);
            }
            prop_assert_eq!(&all, &stats, "seed {}, passes together: {}", seed, text);
        }
    }
}

fn only(name: &str) -> Passes {
    Passes::ALL.without(Passes::names().filter(|other| *other != name)).unwrap()
}

/// The answer without warnings of counter resets that disagree.
fn calm(answer: &str) -> String {
    answer.lines().filter(|line| !line.contains("conflicting counter resets")).collect::<Vec<_>>().join("\n")
}
