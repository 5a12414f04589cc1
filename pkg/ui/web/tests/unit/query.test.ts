import assert from "node:assert/strict";
import { test } from "node:test";
import { pairs, tenantOf } from "../../src/lib/api.ts";
import { goDuration, rowsOf } from "../../src/query/analysis.ts";
import { type Node, print, selectors } from "../../src/query/ast.ts";
import { coverage, gaps, serverSources, withFailures } from "../../src/query/coverage.ts";
import { dotsOf } from "../../src/query/exemplars.tsx";
import { cachedShare, classicHeatmap, column, grid, nativeHeatmap, readOf } from "../../src/query/result.ts";
import { fresh, parsePanels, rangeOf, rangeParams, searchOf } from "../../src/query/state.ts";

test("links of Prometheus 3 open what they say", () => {
  const [a, b] = parsePanels("?g0.expr=up&g0.tab=graph&g0.range_input=2d&g0.end_input=2026-01-02+03%3A04%3A05&g0.res_type=fixed&g0.res_step=60&g0.display_mode=stacked&g1.expr=rate(x%5B5m%5D)&g1.tab=explain&g1.res_type=auto&g1.res_step=7");
  assert.equal(a?.expr, "up");
  assert.equal(a?.tab, "graph");
  assert.equal(a?.range_ms, 2 * 86_400_000);
  assert.equal(a?.end_ms, Date.UTC(2026, 0, 2, 3, 4, 5));
  assert.equal(a?.step_ms, 60_000);
  assert.equal(a?.display, "stacked");
  assert.equal(b?.expr, "rate(x[5m])");
  assert.equal(b?.tab, "explain");
  assert.equal(b?.step_ms, undefined);
});

test("links of Prometheus 2 and Thanos open what they say", () => {
  const [p] = parsePanels("?g0.expr=up&g0.tab=0&g0.stacked=1&g0.range_input=1h30m&g0.step_input=15&g0.max_source_resolution=5m&g0.deduplicate=0&g0.partial_response=0&g0.store_matches=%5B%7B%22name%22%3A%22a%3A1%22%7D%5D&g0.engine=thanos");
  assert.deepEqual(p, { ...fresh(), expr: "up", tab: "graph", display: "stacked", range_ms: 5_400_000, step_ms: 15_000, resolution: "5m", dedup: false, partial: false, stores: ["a:1"], engine: "thanos" });
  assert.equal(parsePanels("?g0.expr=ALERTS&g0.tab=1")[0]?.tab, "table");
  assert.equal(parsePanels("?g0.expr=ALERTS")[0]?.tab, "table");
  assert.equal(parsePanels("?g0.expr=up&g0.store_matches=%5B1,null,%22b%22%5D")[0]?.stores[0], "b");
});

test("every parameter of the others' links has its effect", () => {
  const of = (rest: string) => parsePanels(`?g0.expr=up&${rest}`)[0];
  // Prometheus 3.
  assert.deepEqual(
    of("g0.show_tree=1&g0.tab=graph&g0.end_input=2026-01-02+03%3A04%3A05&g0.moment_input=2026-01-02+03%3A04%3A05&g0.range_input=6h&g0.res_type=auto&g0.res_density=high&g0.display_mode=lines&g0.y_axis_min=-2.5&g0.show_exemplars=1"),
    { ...fresh(), expr: "up", tree: true, tab: "graph", end_ms: Date.UTC(2026, 0, 2, 3, 4, 5), range_ms: 21_600_000, density: "high", y_min: -2.5, exemplars: true },
  );
  assert.equal(of("g0.res_type=custom&g0.res_step=13")?.step_ms, 13_000);
  assert.equal(of("g0.y_axis_min=&g0.show_exemplars=0&g0.show_tree=0")?.y_min, undefined);
  assert.deepEqual(["low", "medium", "high"].map((density) => rangeOf({ ...fresh(), density: density as "low" }, 0).step_ms), [60_000, 15_000, 5_000]);
  // Prometheus 2: exemplars, a time of the table that is not the graph's.
  const times = "g0.end_input=2026-01-02%2003%3A04&g0.moment_input=2025-01-01";
  assert.equal(of(`g0.tab=1&${times}`)?.end_ms, Date.UTC(2025, 0, 1));
  assert.equal(of(`g0.tab=0&${times}`)?.end_ms, Date.UTC(2026, 0, 2, 3, 4));
  assert.equal(of("g0.tab=0&g0.stacked=0&g0.show_exemplars=1")?.exemplars, true);
  // Thanos.
  assert.equal(of("g0.tab=1&g0.analyze=1")?.tab, "explain");
  assert.equal(of("g0.tab=1&g0.analyze=0&g0.tenant=")?.tab, "table");
  const tenant = of("g0.tab=0&g0.tenant=team-a&g0.max_source_resolution=0s&g0.store_matches=%5B%5D");
  assert.deepEqual([tenant?.tenant, tenant?.resolution, tenant?.stores], ["team-a", "0s", []]);
  // Several panels, in their order, with holes between their numbers.
  assert.deepEqual(parsePanels("?g10.expr=c&g2.expr=b&g0.expr=a&g2.tab=0").map((p) => p.expr + p.tab), ["atable", "bgraph", "ctable"]);
});

test("the tenant of a link goes into a header only", () => {
  const panel = { ...fresh(), expr: "up", tenant: "a" };
  const params = rangeParams(panel, rangeOf(panel, 0), true);
  assert.equal(tenantOf(params), "a");
  assert.ok(pairs(params).every(([name, value]) => name !== "@tenant" && value !== "a"));
});

test("what is written is read back", () => {
  const panels = [
    { ...fresh(), expr: 'a{b="c&d"}', tab: "graph" as const },
    { ...fresh(), expr: "x", tab: "table" as const, end_ms: 1_767_323_045_000, step_ms: 90_500, dedup: false, partial: false, resolution: "1h", stores: ["a:1", "b"], display: "heatmap" as const, y_min: 0, exemplars: true, tree: true, tenant: "t" },
    { ...fresh(), expr: "y", density: "low" as const },
  ];
  assert.deepEqual(parsePanels(searchOf(panels)), panels);
  assert.deepEqual(parsePanels(""), [fresh()]);
  assert.deepEqual(parsePanels("?other=1&g0.range_input=nonsense&g0.tab=9"), [{ ...fresh(), tab: "table" }]);
});

test("automatic steps are round and lie on the same grid at any time", () => {
  const panel = { ...fresh(), expr: "up" };
  const range = rangeOf(panel, 1_767_323_046_789);
  assert.equal(range.step_ms, 15_000);
  assert.equal(range.end_ms % range.step_ms, 0);
  assert.equal((range.end_ms - range.start_ms) / range.step_ms, 240);
  assert.equal(rangeOf({ ...panel, step_ms: 7000 }, 1_767_323_046_789).end_ms, 1_767_323_046_789);
  assert.equal(rangeParams(panel, range, false)["max_source_resolution"], undefined);
});

test("values come to their steps, gaps stay gaps", () => {
  const range = { start_ms: 1000, end_ms: 5000, step_ms: 1000 };
  assert.deepEqual(grid(range), [1, 2, 3, 4, 5]);
  assert.deepEqual(column([[1, "1"], [3, "NaN"], [4, "+Inf"], [5, "-2.5"], [9, "7"]], range, 5), [1, null, null, null, -2.5]);
});

test("heat maps of classic buckets show what lies between bounds", () => {
  const range = { start_ms: 1000, end_ms: 2000, step_ms: 1000 };
  const of = (le: string, a: string, b: string) => ({ metric: { le }, values: [[1, a], [2, b]] as [number, string][] });
  const map = classicHeatmap([of("+Inf", "10", "4"), of("0.5", "3", "4"), of("1", "9", "4")], range, 2);
  assert.deepEqual(map?.bounds, [0.5, 1, Infinity]);
  assert.deepEqual(map?.counts.map((row) => [...row]), [[3, 4], [6, 0], [1, 0]]);
  assert.equal(map?.max, 6);
  assert.equal(classicHeatmap([{ metric: {}, values: [] }], range, 2), undefined);
});

test("heat maps of native histograms have a row for each bucket that occurs", () => {
  const range = { start_ms: 1000, end_ms: 2000, step_ms: 1000 };
  const histogram = { count: "3", sum: "1", buckets: [[0, "0.5", "1", "2"], [0, "1", "2", "1"]] as [number, string, string, string][] };
  const map = nativeHeatmap([{ metric: {}, histograms: [[2, histogram]] }], range, 2);
  assert.deepEqual(map?.bounds, [1, 2]);
  assert.deepEqual(map?.counts.map((row) => [...row]), [[0, 2], [0, 1]]);
});

const HOUR = 3_600_000;

test("gaps are what nobody covers", () => {
  const range = { from_ms: 0, to_ms: 10 };
  assert.deepEqual(gaps([], range), [range]);
  assert.deepEqual(gaps([{ from_ms: 2, to_ms: 4 }, { from_ms: 3, to_ms: 7 }], range), [{ from_ms: 0, to_ms: 2 }, { from_ms: 7, to_ms: 10 }]);
  assert.deepEqual(gaps([{ from_ms: -5, to_ms: 20 }], range), []);
});

test("an endpoint that is down may lack what it had", () => {
  const now = 100 * HOUR;
  const range = { from_ms: 90 * HOUR, to_ms: now };
  const live = { kind: "sidecar", name: "a", from_ms: 95 * HOUR, to_ms: now - 60_000, error: undefined };
  const store = { kind: "store", name: "b", from_ms: 10 * HOUR, to_ms: 96 * HOUR, error: "connection refused" };
  const found = coverage([live, store], range, now);
  assert.deepEqual(found.missing.map((m) => [m.from_ms, m.to_ms, m.isError]), [[90 * HOUR, 96 * HOUR, true]]);
  assert.match(found.missing[0]?.why ?? "", /connection refused/);
  assert.equal(found.sources[0]?.to_ms, now);
  const never = { kind: "unknown component type", name: "c", from_ms: 0, to_ms: 0, error: "no such host" };
  assert.deepEqual(coverage([live, never], range, now).missing.map((m) => [m.from_ms, m.to_ms]), [[90 * HOUR, now]]);
  assert.deepEqual(coverage([live], range, now).missing.map((m) => m.isError), [false]);
  assert.deepEqual(coverage([], range, now), { sources: [], missing: [] });
});

test("a source whose answer broke off may lack what it had", () => {
  const range = { from_ms: 0, to_ms: 10 };
  const source = { kind: "store", name: "a", from_ms: 2, to_ms: 4, error: undefined };
  const origin = { kind: "store", resolution: "raw", start: null, end: null, requests: 1, series: 0, chunks: 0, bytes: 0 };
  const found = withFailures({ sources: [source], missing: [] }, [{ ...origin, name: "a", error: "gone" }, { ...origin, name: "b", error: "cut" }, { ...origin, name: "c" }], range);
  assert.deepEqual(found.missing.map((m) => [m.from_ms, m.to_ms, m.isError, m.why]), [[2, 4, true, "a (store) broke off: gone"], [0, 10, true, "b (store) broke off: cut"]]);
  const known = { from_ms: 2, to_ms: 4, isError: true, why: "a (store) is down: gone" };
  assert.deepEqual(withFailures({ sources: [source], missing: [known] }, [{ ...origin, name: "a", error: "gone" }], range).missing, [known]);
});

test("what was read from caches", () => {
  const origin = { kind: "store", name: "a", resolution: "raw", start: 1, end: 2, requests: 1, series: 1, chunks: 1, bytes: 5 };
  assert.equal(readOf([origin]), undefined);
  const read = readOf([origin, { ...origin, read: { blocks: 2, bytes: 100, bucketBytes: 20, bucketRequests: 3 } }, { ...origin, name: "b", read: { blocks: 1, bytes: 100, bucketBytes: 30, bucketRequests: 1 } }]);
  assert.deepEqual(read, { blocks: 3, bytes: 200, bucketBytes: 50, bucketRequests: 4 });
  assert.deepEqual([read, { blocks: 1, bytes: 10, bucketBytes: 70, bucketRequests: 1 }, { blocks: 1, bytes: 0, bucketBytes: 0, bucketRequests: 0 }].map((r) => r && cachedShare(r)), [0.75, 0, 0]);
});

test("operators, and where the time went", () => {
  for (const [text, ms] of [["418.43019ms", 418.43019], ["1m2.5s", 62_500], ["2h0m0s", 7_200_000], ["15µs", 0.015], ["900ns", 0.0009], ["", 0]] as const) assert.equal(goDuration(text).toFixed(6), ms.toFixed(6));
  const leaf = { name: "[vectorSelector] up", executionTime: "7ms", series: 3 };
  const tree = { name: "[query]", executionTime: "11ms", children: [{ name: "[binary] /", executionTime: "10ms", children: [leaf, { ...leaf, executionTime: "1ms" }] }] };
  assert.deepEqual(rowsOf(tree).map((row) => [row.depth, row.name, row.all_ms, row.own_ms]), [[0, "[binary] /", 10, 2], [1, leaf.name, 7, 7], [1, leaf.name, 1, 1]]);
  assert.equal(rowsOf({ name: "[query]", executionTime: "1ms" }).length, 1);
});

test("exemplars, the highest first", () => {
  const dots = dotsOf([{ seriesLabels: { __name__: "x", job: "a" }, exemplars: [{ labels: { trace_id: "1" }, value: "2", timestamp: 5 }, { labels: {}, value: "NaN", timestamp: 6 }, { labels: { trace_id: "2" }, value: "3.5", timestamp: 7 }] }]);
  assert.deepEqual(dots, [{ at_s: 7, value: 3.5, text: '{trace_id="2"} x{job="a"}' }, { at_s: 5, value: 2, text: '{trace_id="1"} x{job="a"}' }]);
});

test("a server has blocks and a head", () => {
  const sources = serverSources([{ ulid: "B", minTime: 1, maxTime: 2 }], 2);
  assert.deepEqual(sources.map((s) => s.kind), ["block", "head"]);
  assert.deepEqual(serverSources([], 9_223_372_036_854_776_000), []);
});

const TIMED = { offset: 0, timestamp: null, startOrEnd: null };

test("trees become PromQL again", () => {
  const selector: Node = { type: "matrixSelector", name: "a", matchers: [{ name: "__name__", type: "=", value: "a" }, { name: "b", type: "!~", value: 'c"d' }], range: 300_000, ...TIMED, offset: 60_000 };
  const rate: Node = { type: "call", func: { name: "rate" }, args: [selector] };
  const sum: Node = { type: "aggregation", op: "sum", expr: rate, param: null, grouping: ["job"], without: false };
  const tree: Node = {
    type: "binaryExpr", op: "/", bool: false, lhs: sum,
    rhs: { type: "parenExpr", expr: { type: "vectorSelector", name: "http.requests", matchers: [], ...TIMED } },
    matching: { card: "many-to-one", labels: ["job"], on: true, include: ["x"] },
  };
  assert.equal(print(tree), 'sum by (job) (rate(a{b!~"c\\"d"}[5m] offset 1m)) / on (job) group_left (x) ({"http.requests"})');
  assert.deepEqual(selectors(tree).map((s) => s.name), ["a", "http.requests"]);
});
