// The pages as aion itself serves them: `aion up`, the demo, a store and a querier beside it.

import assert from "node:assert/strict";
import { cpSync, existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { accessible, aionPath, answers, browser, fits, folder, freePort, onPath, open, shot, start, until, visit } from "./browser.mjs";
import { FEW_LOOKS, lookAt } from "./looks.mjs";

const aion = aionPath();
const skip = aion ? false : "no aion: AION_BIN names it, or cargo build -p aion makes it";
if (skip && process.env.CI === "true") throw new Error(skip);

const ANY = "127.0.0.1:0";
/** Far more than a machine needs that does nothing else. */
const WITHIN = { skip, timeout: 900_000 };

let chrome;
const ends = [];

before(async () => {
  if (skip) return;
  chrome = await browser();
  ends.push(() => chrome.close());
});
after(async () => {
  for (const end of ends.reverse()) await end();
});

/** `aion up` or `aion demo` in `dir`, and where its parts are. */
async function system(command, dir, args = []) {
  const addresses = ["http-address", "server.http-address", "host.http-address"].map((flag) => `--${flag}=${ANY}`);
  const isReady = async (output) => output.includes("\nThe same as processes of their own");
  const process = await start(aion, [command, `--dir=${dir}`, ...addresses, ...args], isReady);
  const at = (what) => {
    const line = process.output().split("\n").find((line) => line.includes(what));
    assert.ok(line, process.output());
    return line.trim().split(" ")[0];
  };
  return { stop: process.stop, page: at("queries over all data"), server: at("the server; it scrapes"), compactor: at("the compactor: ") };
}

/** A component with pages of its own; `base` is where they are. */
async function component(name, args) {
  const port = await freePort();
  const base = `http://127.0.0.1:${port}/`;
  const process = await start(aion, [name, `--http-address=127.0.0.1:${port}`, ...args], answers(`${base}-/ready`));
  return { base, stop: process.stop };
}

test("every page of aion up", WITHIN, async () => {
  const { path, remove } = folder();
  const up = await system("up", join(path, "data"));
  try {
    await until(`${up.page}api/v1/query?query=up`, ({ result }) => result.length >= 2);
    await until(`${up.page}api/v1/stores`, (stores) => Object.values(stores).flat().length === 2);
    await lookAt(chrome, up.page, "up-query", {
      "": "Type a query",
      "graph?g0.expr=up&g0.tab=0&g0.range_input=5m": "samples",
      explore: "Explore",
      stores: "sidecar",
      targets: "node",
      rules: "No rules are loaded",
      flags: "--query.replica-label",
    }, { looks: FEW_LOOKS });
    await lookAt(chrome, up.server, "up-server", {
      targets: "aion",
      "service-discovery": "__address__",
      alerts: "No alerting rules are loaded",
      cardinality: "Series by metric",
      config: "scrape_configs",
      queries: "Under way",
    }, { looks: FEW_LOOKS });
    await lookAt(chrome, up.compactor, "up-compact", { pipeline: "Nothing to compact", blocks: "No blocks yet", status: "Runtime" }, { looks: FEW_LOOKS });
  } finally {
    await up.stop();
    remove();
  }
});

/** From the first page to what caused the incident of the demo, by clicks alone. */
async function findTheCause(base) {
  const { page, faults, close } = await open(chrome);
  await visit(page, base);
  await page.getByRole("link", { name: "Alerts", exact: true }).click();
  await page.getByRole("heading", { name: "Alerts", level: 1 }).waitFor();
  const alert = page.getByRole("row").filter({ hasText: "ApiErrors" }).filter({ hasText: "eu-1" });
  await alert.getByRole("link", { name: /^fired / }).first().click();
  await page.locator(".legend tbody tr").filter({ hasText: "eu-1" }).waitFor();
  await page.locator(".strip-name").filter({ hasText: "store raw" }).first().waitFor();
  await page.getByRole("button", { name: "What changed?" }).click();
  const cause = page.getByRole("region", { name: "What changed" }).getByRole("row").filter({ hasText: "came and went" }).first();
  await cause.getByText("1.9.0").waitFor();
  await shot(page, "demo-cause");
  await cause.getByRole("link", { name: "api_build_info" }).click();
  await page.locator(".legend").getByText("1.9.0").first().waitFor();
  await page.waitForFunction(() => location.search.includes("api_build_info"));
  assert.deepEqual(faults, []);
  await close();
}

/** A query that finds nothing, asked of a querier with an endpoint that is down. */
async function whyEmpty(base) {
  const { page, faults, close } = await open(chrome);
  await visit(page, `${base}graph?g0.expr=none_of_these&g0.tab=graph`);
  await page.getByRole("button", { name: "Why empty?" }).click();
  await page.getByText("is down, its data is missing").first().waitFor();
  await shot(page, "dead-endpoint-why");
  assert.deepEqual(faults, []);
  await close();
}

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;

/** As links have times. */
const timeOf = (ms) => new Date(ms).toISOString().slice(0, 19).replace("T", " ");

/** When the demo's cluster us-1 had its last sample, within a minute, before three hours without any. */
async function holeOf(base) {
  const end = Math.floor(Date.now() / MINUTE_MS) * 60;
  const query = encodeURIComponent('count(count_over_time(up{cluster="us-1"}[1m]))');
  const answer = await fetch(`${base}api/v1/query_range?query=${query}&start=${end - (5 * DAY_MS) / 1000}&end=${end}&step=60`);
  const { data } = await answer.json();
  const times = data.result[0].values.map(([t]) => t);
  const at = times.findIndex((t, i) => times[i + 1] - t > 2 * 3600);
  assert.ok(at >= 0, "us-1 has no gap");
  return times[at] * 1000;
}

/** Queries of the demo that find nothing, and what is said of them. */
function emptyOnes(hole) {
  return [
    ["http_reqests_total", "", /never existed.*http_requests_total/],
    ['http_requests_total{cluster="eu1"}', "", /matches cluster="eu1".*Did you mean "eu-1"/],
    ['count(up{cluster="us-1"})', `g0.tab=1&g0.moment_input=${timeOf(hole + 90 * MINUTE_MS)}`, /last seen at .* before the end/],
    ['up{cluster="us-1"}', `g0.tab=1&g0.moment_input=${timeOf(hole + 7 * MINUTE_MS)}`, /looks back 5m at most/],
    ["up", "g0.end_input=2020-01-01", /The range ends before the oldest data/],
    ["up", "g0.end_input=2020-01-01", /has samples after this time only/],
    ['rate(http_requests_total{cluster="eu-1"}[1s])', "", /rate and its like need two/],
    ['up{cluster="eu-1"} > 5', "", /no value fulfils the comparison/],
  ];
}

async function whyTheDemoIsEmpty(base) {
  const { page, faults, close } = await open(chrome);
  for (const [expr, rest, cause] of emptyOnes(await holeOf(base))) {
    await visit(page, `${base}graph?g0.expr=${encodeURIComponent(expr)}&g0.tab=0&${rest}`);
    await page.getByRole("button", { name: "Why empty?" }).click();
    await page.locator(".why .cause").filter({ hasText: cause }).waitFor();
  }
  await shot(page, "demo-why");
  assert.deepEqual(faults, []);
  await close();
}

/** From a graph to where its time went, and back. */
async function whereTheTimeWent(base) {
  const { page, faults, close } = await open(chrome);
  await visit(page, `${base}graph?g0.expr=${encodeURIComponent("sum(rate(http_requests_total[5m])) / 2")}&g0.tab=0&g0.range_input=6h`);
  await page.locator(".cost button").click();
  const plan = page.locator("table.plan tbody tr");
  await plan.filter({ hasText: "rate" }).filter({ hasText: "http_requests_total" }).waitFor();
  assert.ok((await plan.count()) >= 3);
  await page.getByText("most of it").waitFor();
  await page.getByRole("button", { name: "Evaluate each part by itself" }).click();
  await page.locator("table.explain tbody tr").first().waitFor();
  await shot(page, "demo-explain");
  assert.deepEqual([...(await accessible(page, "explain")), ...(await fits(page, "explain")), ...faults], []);
  await close();
}

/** A bucket like that of `from`, without the raw blocks of one cluster. */
function withoutRaw(from, to, cluster) {
  cpSync(from, to, { recursive: true });
  let removed = 0;
  for (const id of readdirSync(to).filter((name) => name.length === 26)) {
    const meta = join(to, id, "meta.json");
    if (!existsSync(meta)) continue;
    const { thanos } = JSON.parse(readFileSync(meta, "utf8"));
    if (thanos.labels.cluster !== cluster || thanos.downsample.resolution !== 0) continue;
    rmSync(join(to, id), { recursive: true });
    removed++;
  }
  assert.ok(removed > 0);
}

/** Raw data is gone, and a query that reads it says so. */
async function onlyDownsampled(path, dir, coarse, others) {
  const bucket = join(path, "coarse");
  withoutRaw(join(dir, "bucket"), bucket, "eu-1");
  writeFileSync(join(path, "coarse.yml"), `type: FILESYSTEM\nconfig: {directory: ${JSON.stringify(bucket)}}\n`);
  const grpc = `127.0.0.1:${await freePort()}`;
  others.push(await component("store", [`--grpc-address=${grpc}`, `--data-dir=${join(path, "coarse-store")}`, `--objstore.config-file=${join(path, "coarse.yml")}`]));
  const query = await component("query", [`--grpc-address=${ANY}`, `--endpoint=${grpc}`]);
  others.push(query);
  await until(`${query.base}api/v1/stores`, (stores) => Object.values(stores).flat().some((s) => s.lastError === null));
  const { page, faults, close } = await open(chrome);
  const end = timeOf(coarse.maxTime - 30 * MINUTE_MS);
  await visit(page, `${query.base}graph?g0.expr=${encodeURIComponent('up{cluster="eu-1"}')}&g0.tab=0&g0.max_source_resolution=0s&g0.end_input=${end}`);
  await page.getByRole("button", { name: "Why empty?" }).click();
  await page.getByText("is left as downsampled data of").waitFor();
  await page.getByRole("combobox", { name: "Coarsest resolution" }).selectOption("auto");
  await page.locator(".strip-name").filter({ hasText: "store 5m" }).waitFor();
  assert.deepEqual(faults, []);
  await close();
}

test("the demo, and a store and queriers beside it", WITHIN, async () => {
  const { path, remove } = folder();
  const dir = join(path, "demo");
  const demo = await system("demo", dir, ["--days=7"]);
  const others = [];
  try {
    await until(`${demo.page}api/v1/rules`, ({ groups }) => groups.length > 0);
    await until(`${demo.page}api/v1/query?query=${encodeURIComponent('max_over_time(ALERTS{alertstate="firing"}[3d])')}`, ({ result }) => result.length >= 2);
    await findTheCause(demo.page);
    await whyTheDemoIsEmpty(demo.page);
    await whereTheTimeWent(demo.page);
    await lookAt(chrome, demo.page, "demo", {
      alerts: "fired 2",
      rules: "ApiErrors",
      explore: "api_build_info",
      queries: "Ended last",
      "graph?g0.expr=sum%20by%20(le)%20(rate(http_request_duration_seconds_bucket%5B5m%5D))&g0.tab=graph&g0.display_mode=heatmap": "samples",
    }, { looks: FEW_LOOKS });
    await lookAt(chrome, demo.compactor, "demo-compact", { pipeline: "Groups", blocks: "eu-1" }, { looks: FEW_LOOKS });
    const bucket = `--objstore.config-file=${join(dir, "bucket.yml")}`;
    const grpc = `127.0.0.1:${await freePort()}`;
    const store = await component("store", [`--grpc-address=${grpc}`, `--data-dir=${join(path, "store")}`, bucket]);
    others.push(store);
    await lookAt(chrome, store.base, "store", { "": "eu-1", "loaded": "In use here", status: "Runtime" }, { looks: FEW_LOOKS });
    const query = await component("query", [`--grpc-address=${ANY}`, `--endpoint=${grpc}`, "--endpoint=127.0.0.1:1"]);
    others.push(query);
    const known = (stores) => Object.values(stores).flat();
    await until(`${query.base}api/v1/stores`, (stores) => known(stores).length === 2 && known(stores).filter((s) => s.lastError === null).length === 1);
    await lookAt(chrome, query.base, "dead-endpoint", {
      stores: "1 down",
      "graph?g0.expr=up&g0.tab=graph&g0.range_input=12h": "is down",
    }, { looks: FEW_LOOKS });
    await whyEmpty(query.base);
    const isCoarse = ({ thanos }) => thanos.labels.cluster === "eu-1" && thanos.downsample.resolution === 300_000;
    let coarse;
    await until(`${demo.compactor}api/v1/blocks`, ({ blocks }) => (coarse = blocks.find(isCoarse)));
    await onlyDownsampled(path, dir, coarse, others);
  } finally {
    for (const other of others.reverse()) await other.stop();
    await demo.stop();
    remove();
  }
});

test("aion ui before a real Prometheus", { ...WITHIN, skip: skip || (onPath("prometheus") ? false : "no prometheus on PATH") }, async () => {
  const { path, remove } = folder();
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  writeFileSync(join(path, "prometheus.yml"), `scrape_configs: [{job_name: prometheus, scrape_interval: 1s, static_configs: [{targets: ["127.0.0.1:${port}"]}]}]`);
  const args = [`--config.file=${join(path, "prometheus.yml")}`, `--storage.tsdb.path=${join(path, "data")}`, `--web.listen-address=127.0.0.1:${port}`];
  const isReady = async () => (await (await fetch(`${url}/api/v1/query?query=up`)).json()).data.result.length > 0;
  const prometheus = await start("prometheus", args, isReady);
  const ui = await component("ui", [`--url=${url}`]);
  try {
    // Prometheus 2.42 lacks some paths.
    await lookAt(chrome, ui.base, "ui-prometheus", {
      "graph?g0.expr=up&g0.tab=1": "up",
      targets: "prometheus",
      "service-discovery": "__address__",
      cardinality: "Series by metric",
      status: "Runtime",
      config: "scrape_configs",
    }, { looks: FEW_LOOKS, allow: [/status of 404/] });
  } finally {
    await ui.stop();
    await prometheus.stop();
    remove();
  }
});
