// What the tests in a browser share: Chromium, processes to look at, a page that counts what goes wrong.

import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** Where screenshots go; kept as what a run leaves behind. */
const SHOTS = process.env.AION_UI_SHOTS ?? join(tmpdir(), "aion-ui-shots");

export function onPath(name) {
  return spawnSync("sh", ["-c", `command -v ${name}`]).status === 0;
}

export function chromiumPath() {
  const found = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser"].find((path) => path && existsSync(path));
  if (!found) throw new Error("no Chromium: install the package chromium, or set CHROMIUM");
  return found;
}

/** A port that nobody listens on; another process may take it before it is used, which shows at once. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** The `aion` to test: AION_BIN, or what `cargo build` gives. */
export function aionPath() {
  const built = fileURLToPath(new URL("../../../../../target/debug/aion", import.meta.url));
  return [process.env.AION_BIN ?? built].find(existsSync);
}

/** Runs a program until `stop`; its output, which `isReady` is given, is shown when it does not begin. */
export async function start(command, args, isReady) {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  child.stdout.on("data", (data) => (output += data));
  child.stderr.on("data", (data) => (output += data));
  let code;
  const ended = new Promise((resolve) => child.on("exit", (status) => resolve((code = status ?? 1))));
  while (!(await isReady(output).catch(() => false))) {
    if (code !== undefined) throw new Error(`${command} ended with ${code}:\n${output}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return {
    output: () => output,
    async stop() {
      child.kill("SIGTERM");
      await ended;
    },
  };
}

export function folder() {
  const path = mkdtempSync(join(tmpdir(), "aion-ui-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** Until `data` of an answer of the API is as `test` wants it. */
export async function until(url, test) {
  const isSo = async () => test((await (await fetch(url)).json()).data);
  while (!(await isSo().catch(() => false))) await new Promise((resolve) => setTimeout(resolve, 100));
}

export const answers = (url) => async () => (await fetch(url)).ok;

export async function browser() {
  return chromium.launch({ executablePath: chromiumPath(), args: ["--no-sandbox", "--disable-dev-shm-usage"] });
}

/** A page, and `faults`: errors of scripts, of the policy, and of answers that no page asks for in vain. */
export async function open(browser, { width = 1280, height = 800, isDark = false, allow = [] } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: isDark ? "dark" : "light", reducedMotion: "reduce" });
  // Far more than a machine needs that does nothing else.
  context.setDefaultTimeout(180_000);
  const page = await context.newPage();
  const faults = [];
  const note = (text) => allow.some((pattern) => pattern.test(text)) || faults.push(text);
  page.on("pageerror", (error) => note(error.stack ?? error.message));
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && note(`${message.text()} ${message.location().url}`));
  return { page, faults, close: () => context.close() };
}

export async function visit(page, url) {
  await page.goto(url);
  await page.waitForSelector("main h1", { state: "attached" });
  await settled(page);
}

/** Until nothing is loading. */
export async function settled(page) {
  await page.waitForFunction(() => document.querySelector("main") && !document.querySelector(".busy.on"));
}

export async function shot(page, name) {
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: join(SHOTS, `${name}.png`) });
}

/** What axe finds against WCAG 2.1 A and AA. */
export async function accessible(page, what) {
  await page.evaluate(AXE);
  const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"];
  const { violations } = await page.evaluate((tags) => globalThis.axe.run(document, { runOnly: tags }), tags);
  const told = violations.map((v) => `${v.id}: ${v.help}\n  ${v.nodes.slice(0, 3).map((n) => `${n.html.slice(0, 200)} ${n.failureSummary?.split("\n")[1] ?? ""}`).join("\n  ")}`);
  return told.map((text) => `${what}: ${text}`);
}

/** What sticks out at the right. */
export async function fits(page, what) {
  const [content, view] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  return content <= view ? [] : [`${what}: ${content} px wide in a window of ${view} px`];
}
