// The pages before a real Prometheus, below a prefix.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { serve } from "../../serve.mjs";
import { browser, folder, freePort, onPath, open, settled, shot, start, visit } from "./browser.mjs";
import { lookAt } from "./looks.mjs";

const skip = onPath("prometheus") ? false : "no prometheus on PATH";
if (skip && process.env.CI === "true") throw new Error(skip);

let chrome;
let base;
const ends = [];

before(async () => {
  if (skip) return;
  const { path, remove } = folder();
  const port = await freePort();
  writeFileSync(join(path, "rules.yml"), RULES);
  writeFileSync(join(path, "prometheus.yml"), CONFIG.replaceAll("PORT", port));
  const args = [`--config.file=${join(path, "prometheus.yml")}`, `--storage.tsdb.path=${join(path, "data")}`, `--web.listen-address=127.0.0.1:${port}`];
  const url = `http://127.0.0.1:${port}`;
  const isReady = async () => (await (await fetch(`${url}/api/v1/query?query=count(ALERTS)`)).json()).data.result.length > 0;
  const prometheus = await start("prometheus", args, isReady);
  ends.push(() => prometheus.stop().then(remove));
  const server = await serve({ url, prefix: "/some/prefix" });
  ends.push(() => server.close());
  base = `http://127.0.0.1:${server.address().port}/some/prefix/`;
  chrome = await browser();
  ends.push(() => chrome.close());
});
after(async () => {
  for (const end of ends.reverse()) await end();
});

const CONFIG = `
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yml]
scrape_configs:
- job_name: prometheus
  static_configs: [{targets: ['127.0.0.1:PORT']}]
- job_name: dead
  static_configs: [{targets: ['127.0.0.1:1', '127.0.0.1:2']}]
`;
const RULES = `
groups:
- name: basics
  rules:
  - {record: 'job:up:sum', expr: 'sum by (job) (up)'}
  - {alert: TargetDown, expr: 'up == 0', labels: {severity: page}, annotations: {summary: 'Target {{ $labels.instance }} is down'}}
`;
// Older versions lack some paths.
const ALLOWED = [/status of 404/];

test("every page", { skip, timeout: 300_000 }, async () => {
  await lookAt(chrome, base, "prometheus", {
    "": "Type a query",
    "graph?g0.expr=up&g0.tab=0&g0.range_input=5m": "at",
    "query?g0.expr=up&g0.tab=1": "up",
    explore: "prometheus_build_info",
    targets: "connection refused",
    "service-discovery": "__address__",
    alerts: "is down",
    rules: "job:up:sum",
    cardinality: "Series by metric",
    status: "Runtime",
    flags: "--config.file",
    config: "scrape_configs",
  }, { allow: ALLOWED });
});

test("a query is typed, completed, run, shown, zoomed, and found again", { skip, timeout: 120_000 }, async () => {
  const { page, faults, close } = await open(chrome, { allow: ALLOWED });
  await visit(page, base);
  await page.locator(".cm-content").waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("prometheus_build_in");
  await page.locator(".cm-tooltip-autocomplete").getByText("prometheus_build_info").first().waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.type("up", { delay: 20 });
  await page.keyboard.press("Escape");
  await page.keyboard.press("ControlOrMeta+Enter");
  await page.locator(".legend tbody tr").nth(2).waitFor();
  assert.match(page.url(), /\/some\/prefix\/(graph)?\?g0\.expr=up&g0\.tab=graph/);
  await settled(page);
  await shot(page, "query-typed");

  const plot = await page.locator(".u-over").boundingBox();
  await page.mouse.move(plot.x + plot.width * 0.5, plot.y + 50);
  await page.mouse.down();
  await page.mouse.move(plot.x + plot.width * 0.9, plot.y + 60, { steps: 5 });
  await page.mouse.up();
  await page.waitForFunction(() => location.search.includes("g0.end_input"));
  await page.goBack();
  await page.waitForFunction(() => !location.search.includes("g0.end_input"));

  await page.getByRole("tab", { name: "Table" }).click();
  await page.locator("table.result tbody tr").nth(2).waitFor();
  await page.getByRole("button", { name: "Value" }).click();
  assert.equal(await page.locator("table.result tbody tr").first().locator("td.n").textContent(), "1");

  await page.reload();
  await page.locator("table.result tbody tr").nth(2).waitFor();
  await page.locator(".cm-content").waitFor();
  assert.equal((await page.locator(".cm-content").textContent()).trim(), "up");
  assert.deepEqual(faults, []);
  await close();
});

test("keys open pages, the help and the palette", { skip, timeout: 120_000 }, async () => {
  const { page, faults, close } = await open(chrome, { allow: ALLOWED });
  await visit(page, `${base}targets`);
  await page.keyboard.press("g");
  await page.keyboard.press("r");
  await page.getByRole("heading", { name: "Rules", level: 1 }).waitFor();
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keys" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog", { name: "Keys" }).waitFor({ state: "detached" });
  await page.keyboard.press("ControlOrMeta+k");
  await page.waitForFunction(() => document.activeElement?.matches("dialog input"));
  await page.keyboard.type("cardi");
  await page.getByRole("option", { name: /Cardinality/ }).first().waitFor();
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Cardinality", level: 1 }).waitFor();
  await page.getByRole("button", { name: "Dark theme" }).click();
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
  assert.deepEqual(faults, []);
  await close();
});

test("errors of the API show where they belong", { skip, timeout: 60_000 }, async () => {
  const { page, close } = await open(chrome, { allow: [/./] });
  await visit(page, `${base}graph?g0.expr=sum(&g0.tab=0`);
  await page.getByRole("alert").getByText("parse error").waitFor();
  await visit(page, `${base}graph?g0.expr=none_of_these&g0.tab=0`);
  await page.getByText("No series").waitFor();
  await close();
});
