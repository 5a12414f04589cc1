import assert from "node:assert/strict";
import { test } from "node:test";
import type { Params } from "../../src/lib/api.ts";
import type { Node } from "../../src/query/ast.ts";
import { type Check, type Question, whyEmpty } from "../../src/query/why.ts";

const TIMED = { offset: 0, timestamp: null, startOrEnd: null };
const END_MS = 1_767_323_040_000;
const QUESTION: Question = { expr: "x", start_ms: END_MS - 3_600_000, end_ms: END_MS, isInstant: false, sources: [], params: {}, now_ms: END_MS };

function selector(name: string, matchers: [string, string][] = [], range?: number): Node {
  const all = [["__name__", name] as [string, string], ...matchers].map(([n, value]) => ({ name: n, type: "=" as const, value }));
  return { type: range ? "matrixSelector" : "vectorSelector", name, matchers: all, ...(range ? { range } : {}), ...TIMED };
}

const vector = (value?: string) => ({ resultType: "vector", result: value === undefined ? [] : [{ metric: {}, value: [0, value] }] });

async function checks(tree: Node, answers: (path: string, params: Params) => unknown, question: Partial<Question> = {}): Promise<Check[]> {
  const out: Check[] = [];
  const ask = async (path: string, params: Params) => (path === "api/v1/parse_query" ? tree : answers(path, params)) as never;
  await whyEmpty({ ...QUESTION, ...question }, ask, (check) => out.push(check));
  return out;
}

test("a metric that never existed, with names like it", async () => {
  const found = await checks(selector("htp_total"), (path) => {
    if (path.endsWith("/series")) return [];
    return path.includes("/label/") ? ["http_total", "up"] : vector();
  });
  assert.deepEqual(found.map((c) => c.verdict), ["cause"]);
  assert.match(found[0]?.text ?? "", /never existed.*http_total/);
});

test("a matcher that matches nothing, with the values there are", async () => {
  const found = await checks(selector("up", [["job", "nod"]]), (path, params) => {
    if (path.endsWith("/series")) return params["match[]"] === "up" ? [{}] : [];
    return path.includes("/label/job/") ? ["node", "prometheus"] : vector();
  });
  assert.match(found.at(-1)?.text ?? "", /job="nod".*values: node.*mean "node"/);
});

test("a series that ended", async () => {
  const found = await checks(selector("up"), (path, params) => {
    if (path.endsWith("/series")) return Number(params["start"]) < END_MS / 1000 - 10_000 ? [{}] : [];
    if (path.endsWith("/query_range")) return { result: [{ metric: {}, values: [[END_MS / 1000 - 7200, "1"]] }] };
    return vector();
  });
  assert.match(found[0]?.text ?? "", /last seen at .*2h before the end/);
});

test("only downsampled data is left", async () => {
  const coarse = (params: Params) => ["5m", "1h"].includes(String(params["max_source_resolution"]));
  const found = await checks(selector("up"), (path, params) => (path.endsWith("/series") ? [] : coarse(params) ? vector("7") : vector()), { params: { max_source_resolution: "0s" } });
  assert.deepEqual(found.map((c) => c.verdict), ["cause"]);
  assert.match(found[0]?.text ?? "", /downsampled data of 5m only, and this query reads raw data.*auto/);
});

test("endpoints that are not asked have it", async () => {
  const found = await checks(selector("up"), (_, params) => (params["storeMatch[]"] === undefined ? vector("7") : vector()), { params: { "storeMatch[]": ["{a}"], max_source_resolution: "auto" } });
  assert.match(found[0]?.text ?? "", /endpoints that this query does not ask/);
});

test("the lookback, as long as the server says", async () => {
  const found = await checks(selector("up"), (path, params) => {
    if (path.endsWith("/flags")) return { "query.lookback-delta": "1m" };
    if (path.endsWith("/series")) return Number(params["start"]) < END_MS / 1000 - 100 ? [{}] : [];
    if (path.endsWith("/query_range")) return { result: [{ metric: {}, values: [[END_MS / 1000 - 90, "1"]] }] };
    return vector();
  }, { isInstant: true });
  assert.match(found[0]?.text ?? "", /last seen at .*1m 30s before the end.*looks back 1m at most.*last_over_time\(up\[2m\]\)/);
});

test("a series that began later", async () => {
  const found = await checks(selector("up"), (path, params) => {
    if (path.endsWith("/series")) return Number(params["end"]) > END_MS / 1000 ? [{}] : [];
    if (path.endsWith("/query_range")) return { result: [{ metric: {}, values: [[END_MS / 1000 + 3600, "1"]] }] };
    return vector();
  }, { now_ms: END_MS + 7_200_000 });
  assert.match(found[0]?.text ?? "", /after this time only, the first at about/);
});

test("a range past the retention", async () => {
  const sources = [{ kind: "head", name: "head", from_ms: END_MS + 1000, to_ms: END_MS + 9000, error: undefined }];
  const found = await checks({ type: "numberLiteral", val: "1" }, (path) => (path.endsWith("/runtimeinfo") ? { storageRetention: "15d" } : {}), { sources });
  assert.match(found[0]?.text ?? "", /before the oldest data.*keeps 15d/);
});

test("a range that holds one sample", async () => {
  const tree: Node = { type: "call", func: { name: "rate" }, args: [selector("x_total", [], 15_000)] };
  const found = await checks(tree, (_, params) => (String(params["query"]).startsWith("max(") ? vector("1") : vector("100")));
  assert.match(found[0]?.text ?? "", /one sample only in a range of 15s/);
});

test("a comparison that nothing fulfils", async () => {
  const tree: Node = { type: "binaryExpr", op: ">", bool: false, matching: null, lhs: selector("up"), rhs: { type: "numberLiteral", val: "5" } };
  const found = await checks(tree, (_, params) => (String(params["query"]).includes(">") ? vector() : vector("3")));
  assert.match(found.at(-1)?.text ?? "", /up > 5: no value fulfils/);
});

test("endpoints that are down, ranges before all data", async () => {
  const sources = [
    { kind: "store", name: "s", from_ms: 1, to_ms: 2, error: "refused" },
    { kind: "sidecar", name: "a", from_ms: END_MS + 1000, to_ms: END_MS + 9000, error: undefined },
  ];
  const found = await checks({ type: "numberLiteral", val: "1" }, () => [], { sources });
  assert.deepEqual(found.map((c) => c.verdict), ["cause", "cause", "cause"]);
  assert.match(found[0]?.text ?? "", /s \(store\) is down.*refused/);
  assert.match(found[1]?.text ?? "", /before the oldest data/);
});
