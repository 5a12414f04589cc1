import assert from "node:assert/strict";
import { test } from "node:test";
import { curl } from "../../src/lib/curl.ts";
import { bytes, short } from "../../src/lib/format.ts";
import { common, seriesText, without } from "../../src/lib/labels.ts";
import { autoStep, formatDuration, formatTime, parseDuration, parseTime, roughDuration } from "../../src/lib/time.ts";
import { distance, similar } from "../../src/query/why.ts";

test("durations are Prometheus'", () => {
  for (const [text, ms] of [["5m", 300_000], ["1h30m", 5_400_000], ["1y2w3d4h5m6s7ms", 31_536_000_000 + 2 * 604_800_000 + 3 * 86_400_000 + 4 * 3_600_000 + 306_007], ["15", 15_000], ["0.5", 500]] as const) {
    assert.equal(parseDuration(text), ms, text);
  }
  for (const text of ["", "m", "5x", "1m1h", "-5m"]) assert.equal(parseDuration(text), undefined, text);
  for (const [ms, text] of [[0, "0s"], [5_400_000, "1h30m"], [604_800_000, "1w"], [8 * 86_400_000, "8d"], [1500, "1s500ms"]] as const) assert.equal(formatDuration(ms), text);
});

test("durations for people", () => {
  for (const [ms, text] of [[0, "0s"], [0.5, "500µs"], [12.3, "12ms"], [1500, "1.5s"], [90_000, "1m 30s"], [3_600_000, "1h"], [90_000_000, "1d 1h"], [400 * 86_400_000, "1y 35d"], [Infinity, "∞"]] as const) {
    assert.equal(roughDuration(ms), text);
  }
});

test("times are UTC", () => {
  const ms = Date.UTC(2026, 1, 3, 4, 5, 6);
  for (const text of ["2026-02-03 04:05:06", "2026-02-03T04:05:06Z", "2026-02-03T05:05:06+01:00", "1770091506"]) assert.equal(parseTime(text), ms, text);
  assert.equal(parseTime("2026-02-03"), Date.UTC(2026, 1, 3));
  assert.equal(parseTime("yesterday"), undefined);
  assert.equal(formatTime(ms), "2026-02-03 04:05:06");
  assert.equal(formatTime(NaN), "—");
});

test("steps are round", () => {
  assert.equal(autoStep(3_600_000, 250), 15_000);
  assert.equal(autoStep(60_000, 250), 1000);
  assert.equal(autoStep(2 * 365 * 86_400_000, 250), 3 * 86_400_000);
});

test("numbers are short", () => {
  for (const [value, text] of [[0, "0"], [1234.5, "1.234k"], [999_999, "1M"], [-1.5e9, "-1.5G"], [0.1 + 0.2, "0.3"], [1e-7, "1e-7"], [NaN, "NaN"], [-Infinity, "-Inf"]] as const) assert.equal(short(value), text);
  for (const [value, text] of [[0, "0 B"], [999, "999 B"], [1023, "0.999 KiB"], [1536, "1.5 KiB"], [1023 * 1024, "0.999 MiB"], [2 ** 62, "4096 PiB"], [5 * 1024 ** 3, "5 GiB"]] as const) assert.equal(bytes(value), text);
});

test("series are selectors", () => {
  assert.equal(seriesText({ __name__: "up", job: 'a"b', "x.y": "1" }), 'up{job="a\\"b", "x.y"="1"}');
  assert.equal(seriesText({ __name__: "http.total" }), '{"http.total"}');
  assert.equal(seriesText({}), "{}");
  const sets = [{ a: "1", b: "2" }, { a: "1", b: "3" }];
  assert.deepEqual(common(sets), { a: "1" });
  assert.deepEqual(common([{ a: "1" }]), {});
  assert.deepEqual(without({ a: "1", b: "2" }, { a: "" }), { b: "2" });
});

test("commands survive a shell", () => {
  const text = curl(new URL("http://h:1/p/api/v1/query"), { query: `a{b='c'}`, time: 5, "x[]": ["1", "2"], none: undefined, "@tenant": "t" });
  assert.equal(text, `curl -sG http://h:1/p/api/v1/query -H 'THANOS-TENANT: t' --data-urlencode 'query=a{b='\\''c'\\''}' --data-urlencode time=5 --data-urlencode 'x[]=1' --data-urlencode 'x[]=2'`);
});

test("similar names", () => {
  assert.equal(distance("kitten", "sitting", 5), 3);
  assert.ok(distance("aaaa", "bbbbbbbbbbbb", 3) > 3);
  const names = ["http_requests_total", "http_request_total", "node_cpu_seconds_total", "up"];
  assert.equal(similar("http_reqests_total", names)[0], "http_requests_total");
  assert.deepEqual(similar("zzzzzzzzzz", names), []);
});
