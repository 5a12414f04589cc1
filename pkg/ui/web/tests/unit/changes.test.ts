import assert from "node:assert/strict";
import { test } from "node:test";
import { curve, pastOf, pastQuery } from "../../src/pages/firings.ts";
import { changesOf, lookRange, scopeOf } from "../../src/query/changes.ts";
import type { MatrixEntry } from "../../src/query/result.ts";

const RANGE = { start_ms: 0, end_ms: 600_000, step_ms: 60_000 };

/** A series with a value at these minutes. */
function at(metric: Record<string, string>, minutes: number[]): MatrixEntry {
  return { metric, values: minutes.map((m) => [m * 60, "1"]) };
}

test("series that changed together stand together", () => {
  const all = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
  const but = (...gone: number[]) => all.filter((m) => !gone.includes(m));
  const found = changesOf([
    at({ __name__: "up", job: "a" }, all),
    at({ __name__: "info", job: "a", version: "2" }, [3, 4, 5]),
    at({ __name__: "x", job: "a", instance: "1" }, but(4, 5)),
    at({ __name__: "y", job: "a", instance: "1" }, but(4, 5)),
    at({ __name__: "late", job: "a" }, [8, 9, 10]),
    at({ __name__: "gone", job: "a" }, [0, 1]),
    at({ __name__: "once", job: "a" }, [7]),
  ], RANGE);
  const told = found.map((c) => [c.kind, c.from_ms / 60_000, c.to_ms / 60_000, c.series.length, c.labels]);
  assert.deepEqual(told, [
    ["came and went", 2, 5, 1, { __name__: "info", job: "a", version: "2" }],
    ["paused", 3, 5, 2, { job: "a", instance: "1" }],
    ["began", 7, 10, 1, { __name__: "late", job: "a" }],
    ["ended", -1, 1, 1, { __name__: "gone", job: "a" }],
    ["lived shortly", 6, 7, 1, { __name__: "once", job: "a" }],
  ]);
});

test("the scope is what the series share that moved most", () => {
  const moving = (metric: Record<string, string>, ...values: number[]): MatrixEntry => ({ metric, values: values.map((v, i) => [i, String(v)]) });
  const series = [
    moving({ cluster: "eu", job: "x", code: "500" }, 0, 9, 1),
    moving({ cluster: "eu", job: "x", code: "500", le: "1" }, 1, 8),
    moving({ cluster: "us", job: "x", code: "200" }, 5, 6, NaN),
  ];
  const without = '__name__!~"ALERTS|ALERTS_FOR_STATE"}';
  assert.equal(scopeOf(series, ["cluster", "job", "instance"]), `{cluster="eu", job="x", ${without}`);
  assert.equal(scopeOf(series, []), `{cluster="eu", job="x", code="500", ${without}`);
  assert.equal(scopeOf([moving({ job: "x" }, 1), moving({ job: "y" }, 1)], []), "");
  assert.equal(scopeOf([moving({}, 1)], []), "");
});

test("steps of a look back lie in the range", () => {
  for (const length_ms of [60_000, 3_600_000, 4 * 3_600_000, 30 * 86_400_000]) {
    const look = lookRange({ start_ms: 1_700_000_000_123 - length_ms, end_ms: 1_700_000_000_123, step_ms: 1 });
    assert.ok(look.step_ms % 60_000 === 0 && (look.end_ms - look.start_ms) / look.step_ms >= 2, JSON.stringify(look));
    assert.ok(look.end_ms <= 1_700_000_000_123 && (look.end_ms - look.start_ms) / look.step_ms <= 24);
  }
});

test("past firings by rule", () => {
  const rule = { name: "Down", labels: { severity: "page", cluster: "a", team: "{{ $labels.team }}" } };
  assert.equal(pastQuery([rule]), "max by (alertname, alertstate, severity, cluster) (max_over_time(ALERTS[30m]))");
  const fired = (cluster: string, alertstate: string, times: number[]): MatrixEntry => ({ metric: { alertname: "Down", severity: "page", cluster, alertstate }, values: times.map((t) => [t * 1800, "1"]) });
  const past = pastOf(rule, [fired("a", "firing", [2, 3, 9]), fired("a", "pending", [1]), fired("b", "firing", [20])]);
  const hours = (spans: { from_ms: number; to_ms: number }[]) => spans.map((s) => [s.from_ms / 1_800_000, s.to_ms / 1_800_000]);
  assert.deepEqual(hours(past.firing), [[1, 3], [8, 9]]);
  assert.deepEqual(hours(past.pending), [[0, 1]]);
});

test("a rule's query without its limit", () => {
  assert.equal(curve("up == 0"), "up");
  assert.equal(curve("sum(rate(a[5m])) / 2 > 0.05"), "sum(rate(a[5m])) / 2");
  assert.equal(curve("a > -1e3"), "a");
  assert.equal(curve("a > b"), "a > b");
  assert.equal(curve("a or b > 1"), "a or b > 1");
  assert.equal(curve("absent(up)"), "absent(up)");
});
