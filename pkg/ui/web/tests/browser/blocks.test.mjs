// The map with as many blocks as a large bucket has.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { serve } from "../../serve.mjs";
import { accessible, browser, fits, open, settled, shot } from "./browser.mjs";

const STREAMS = 100;
const BLOCKS = 50_000;
const DAY_MS = 86_400_000;
const END_MS = Date.UTC(2026, 0, 1);

function block(i) {
  const [stream, at] = [i % STREAMS, Math.floor(i / STREAMS)];
  const [lane, day] = [at % 3, Math.floor(at / 3)];
  const maxTime = END_MS - day * 2 * DAY_MS;
  return {
    ulid: `01${i.toString(32).toUpperCase().padStart(24, "0")}`,
    minTime: maxTime - 2 * DAY_MS,
    maxTime,
    stats: { numSeries: 1000 + i, numSamples: 100_000, numChunks: 2000 },
    compaction: { level: 1 + (day % 4), sources: [] },
    thanos: { labels: { cluster: `c-${stream % 10}`, replica: `r-${Math.floor(stream / 10)}` }, downsample: { resolution: [0, 300_000, 3_600_000][lane] }, source: "compactor", files: [{ rel_path: "index", size_bytes: 1 << 20 }] },
  };
}

let chrome;
let base;
const marks = [];
let longest = 0;
const ends = [];

before(async () => {
  const blocks = Array.from({ length: BLOCKS }, (_, i) => block(i)).sort((a, b) => (a.ulid < b.ulid ? -1 : 1));
  const whole = { label: "", refreshedAt: new Date().toISOString(), err: null, total: BLOCKS };
  /** As store and compactor answer: a page in short form, or one block. */
  const answered = (asked) => {
    if (asked.get("ulid")) return { ...whole, blocks: blocks.filter((b) => b.ulid === asked.get("ulid")) };
    assert.equal(asked.get("brief"), "true");
    const from = blocks.findIndex((b) => b.ulid > (asked.get("next") ?? ""));
    const page = blocks.slice(from, from + Math.min(Number(asked.get("limit")), 600));
    const next = from + page.length < blocks.length ? page.at(-1).ulid : null;
    const short = ({ thanos: { files, ...thanos }, compaction: { level }, ...rest }) => ({ ...rest, compaction: { level }, thanos, sizeBytes: files[0].size_bytes });
    return { ...whole, blocks: page.map(short), next };
  };
  const bucket = createServer((request, response) => {
    response.setHeader("content-type", "application/json");
    if (request.method !== "POST") {
      const answer = JSON.stringify({ status: "success", data: answered(new URL(request.url, "http://x").searchParams) });
      longest = Math.max(longest, answer.length);
      return response.end(answer);
    }
    let body = "";
    request.on("data", (data) => (body += data));
    request.on("end", () => response.end((marks.push(body), `{"status":"success","data":null}`)));
  });
  await new Promise((resolve) => bucket.listen(0, "127.0.0.1", resolve));
  ends.push(() => bucket.close());
  const server = await serve({ url: `http://127.0.0.1:${bucket.address().port}`, component: "store" });
  ends.push(() => server.close());
  base = `http://127.0.0.1:${server.address().port}/`;
  chrome = await browser();
  ends.push(() => chrome.close());
});
after(async () => {
  for (const end of ends.reverse()) await end();
});

test("fifty thousand blocks", { timeout: 300_000 }, async () => {
  const { page, faults, close } = await open(chrome);
  await page.goto(`${base}blocks`);
  await page.getByText("50,000 blocks in 100 streams").waitFor({ timeout: 200_000 });
  await settled(page);
  assert.ok(longest < 200_000, `a page of ${longest} bytes`);
  await shot(page, "blocks-50000");
  assert.deepEqual(await accessible(page, "blocks"), []);
  assert.deepEqual(await fits(page, "blocks"), []);
  // Rows out of sight are no elements: this is what keeps it quick.
  assert.ok((await page.evaluate(() => document.querySelectorAll("*").length)) < 4000);

  const canvas = page.locator("canvas");
  const box = await canvas.boundingBox();
  await page.getByRole("button", { name: "Zoom in" }).click();
  await page.mouse.move(box.x + 300, box.y + 25);
  await page.mouse.down();
  await page.mouse.move(box.x + 400, box.y + 25, { steps: 10 });
  await page.mouse.up();
  await page.locator(".map").evaluate((map) => map.scrollTo(0, 1000));
  await page.mouse.move(box.x + 310, box.y + 60);
  await page.locator(".map .tip").waitFor();
  await page.mouse.down();
  await page.mouse.up();
  const details = page.locator("section[aria-label^='Block 01']");
  await details.getByText("1 file").waitFor();
  await page.waitForFunction(() => location.search.includes("ulid=01"));
  await shot(page, "blocks-details");

  await page.getByRole("searchbox", { name: "Find by label, id, source" }).fill("cluster=c-3");
  await page.getByText("5,000 blocks in 10 streams").waitFor();
  assert.deepEqual(faults, []);
  await close();
});

test("a mark says first what it does", { timeout: 120_000 }, async () => {
  const { page, faults, close } = await open(chrome);
  const { ulid } = block(0);
  // The block shows before the list is here.
  await page.goto(`${base}blocks?ulid=${ulid}`);
  await page.getByRole("button", { name: "Mark for deletion…" }).click();
  await page.getByText("Undo before that").waitFor();
  assert.deepEqual(marks, []);
  await page.getByRole("textbox", { name: "Reason" }).fill("a test");
  await page.getByRole("button", { name: "Mark for deletion", exact: true }).click();
  await page.getByText("Marked.").waitFor();
  assert.deepEqual(marks, [`id=${ulid}&action=DELETION&detail=a+test`]);
  assert.deepEqual(faults, []);
  await close();
});
