// Why a query finds nothing: checks by the API, from the whole to the single matcher.

import type { Params } from "../lib/api.ts";
import { quoted } from "../lib/labels.ts";
import { formatDuration, formatTime, parseDuration, roughDuration } from "../lib/time.ts";
import { type Matcher, type Node, type Selector, children, print, selectorText, selectors } from "./ast.ts";
import type { Source } from "./coverage.ts";
import type { MatrixEntry, Point, QueryData } from "./result.ts";

export type Verdict = "fine" | "cause" | "unknown";

export interface Check {
  verdict: Verdict;
  text: string;
}

/** Asks the API and gives `data`; throws as `call` does. */
export type Ask = <T>(path: string, params: Params) => Promise<T>;

export interface Question {
  expr: string;
  start_ms: number;
  end_ms: number;
  /** An instant query looks at one time, back by the lookback. */
  isInstant: boolean;
  sources: readonly Source[];
  params: Params;
  now_ms: number;
}

/** What the server says of itself. */
interface Facts {
  /** How far an instant looks back for a sample. */
  lookback_ms: number;
  /** How long the server keeps data, in its words; empty where it does not say so. */
  retention: string;
}

interface Look extends Question, Facts {
  ask: Ask;
  report: (check: Check) => void;
}

const LOOKBACK_MS = 300_000;
const SELECTORS_MAX = 6;

export async function whyEmpty(question: Question, ask: Ask, report: (check: Check) => void): Promise<void> {
  const look: Look = { ...question, ...(await facts(ask)), ask, report };
  for (const source of question.sources.filter((s) => s.error !== undefined)) {
    report({ verdict: "cause", text: `The endpoint ${source.name} (${source.kind}) is down, its data is missing: ${source.error}` });
  }
  checkOldest(look);
  let tree: Node;
  try {
    tree = await ask<Node>("api/v1/parse_query", { query: question.expr });
  } catch {
    report({ verdict: "unknown", text: "This server does not tell the parts of a query (parse_query), so its selectors cannot be looked at one by one." });
    return;
  }
  const all = selectors(tree);
  if (all.length === 0) return report({ verdict: "cause", text: "The query selects no series: it has no selector." });
  let areAllThere = true;
  for (const selector of all.slice(0, SELECTORS_MAX)) {
    areAllThere = (await checkSelector(selector, look)) && areAllThere;
  }
  if (areAllThere) await checkOperators(tree, look);
}

async function facts(ask: Ask): Promise<Facts> {
  const of = async (path: string, name: string) => {
    try {
      return String((await ask<Record<string, unknown>>(path, {}))?.[name] ?? "");
    } catch {
      return "";
    }
  };
  const [lookback, retention] = await Promise.all([of("api/v1/status/flags", "query.lookback-delta"), of("api/v1/status/runtimeinfo", "storageRetention")]);
  return { lookback_ms: parseDuration(lookback) || LOOKBACK_MS, retention };
}

function checkOldest({ sources, start_ms, end_ms, retention, report }: Look): void {
  const times = sources.filter((s) => s.error === undefined && s.from_ms > 0 && s.from_ms < s.to_ms);
  if (times.length === 0) return;
  const oldest = Math.min(...times.map((s) => s.from_ms));
  if (end_ms < oldest) {
    report({ verdict: "cause", text: `The range ends before the oldest data there is, of ${formatTime(oldest)}: it was never there, or is past its retention${retention ? ` (this server keeps ${retention})` : ""}.` });
  } else if (start_ms < oldest) {
    report({ verdict: "unknown", text: `The range begins before the oldest data, of ${formatTime(oldest)}.` });
  } else {
    report({ verdict: "fine", text: "The range lies within the times that there is data of." });
  }
}

function own(selector: Selector): string {
  return selectorText(selector.name, selector.matchers);
}

/** Where the selector looks: offset and range move it. */
function looked(selector: Selector, { start_ms, end_ms, isInstant, lookback_ms }: Look): [number, number] {
  const end = (typeof selector.timestamp === "number" ? selector.timestamp : end_ms) - selector.offset;
  const back = selector.range ?? lookback_ms;
  const start = typeof selector.timestamp === "number" || isInstant ? end : start_ms - selector.offset;
  return [start - back, end];
}

async function hasSeries(match: string, start_ms: number, end_ms: number, { ask, params }: Look): Promise<boolean> {
  const found = await ask<unknown[]>("api/v1/series", { ...params, "match[]": match, start: start_ms / 1000, end: end_ms / 1000, limit: 1 });
  return found.length > 0;
}

/** Whether the selector has samples where it looks; says why not. */
async function checkSelector(selector: Selector, look: Look): Promise<boolean> {
  const { report, lookback_ms } = look;
  const text = own(selector);
  const [start, end] = looked(selector, look);
  const samples = await countOf(text, start, end, look);
  if (samples === undefined || samples > 0) {
    if (selector.range !== undefined) return checkRange(selector, text, look);
    report({ verdict: "fine", text: `${text} has samples in this time.` });
    return true;
  }
  if (await checkChoices(text, start, end, look)) return false;
  const last = await lastSeen(text, end, look);
  if (last !== undefined) {
    const gap = end - last.at_ms;
    const isStale = gap <= 2 * lookback_ms && selector.range === undefined;
    const why = isStale ? ` A selector looks back ${formatDuration(lookback_ms)} at most (lookback): last_over_time(${text}[${formatDuration(Math.ceil(gap / 60_000) * 60_000)}]) looks further.` : "";
    const about = last.step_ms > 60_000 ? `about ${roughDuration(last.step_ms)} exactly` : "";
    report({ verdict: "cause", text: `${text} was last seen at ${formatTime(last.at_ms)}${about ? ` (to ${about})` : ""}, ${roughDuration(gap)} before the end of what is looked at.${why}` });
    return false;
  }
  const first = await firstSeen(text, end, look);
  if (first !== undefined) report({ verdict: "cause", text: `${text} has samples after this time only, the first at about ${formatTime(first)}.` });
  else if (selector.name === "") report({ verdict: "cause", text: `No series has ever matched ${text}, as far back as there is data.` });
  else await checkName(selector, look);
  return false;
}

/** Whether there is data that the settings of the query leave out. */
async function checkChoices(text: string, start_ms: number, end_ms: number, look: Look): Promise<boolean> {
  const { params, report } = look;
  const has = async (change: Params) => ((await countOf(text, start_ms, end_ms, { ...look, params: { ...params, ...change } })) ?? 0) > 0;
  if ("max_source_resolution" in params && params.max_source_resolution !== "auto") {
    for (const resolution of ["5m", "1h"]) {
      if (!(await has({ max_source_resolution: resolution }))) continue;
      const asked = params.max_source_resolution || "0s";
      report({ verdict: "cause", text: `${text} is left as downsampled data of ${resolution} only, and this query reads ${asked === "0s" ? "raw data" : `up to ${asked}`}. Set the resolution to auto, or to up to ${resolution}.` });
      return true;
    }
  }
  const stores = params["storeMatch[]"];
  if (Array.isArray(stores) && stores.length > 0 && (await has({ "storeMatch[]": undefined }))) {
    report({ verdict: "cause", text: `${text} has samples at endpoints that this query does not ask: set it to all endpoints.` });
    return true;
  }
  return false;
}

async function countOf(text: string, start_ms: number, end_ms: number, { params, ask }: Look): Promise<number | undefined> {
  const range = formatDuration(Math.max(end_ms - start_ms, 1000));
  try {
    const data = await ask<QueryData>("api/v1/query", { ...params, query: `sum(count_over_time(${text}[${range}]))`, time: end_ms / 1000 });
    return data.resultType === "vector" ? Number(data.result[0]?.value?.[1] ?? 0) : undefined;
  } catch {
    return undefined;
  }
}

/** Functions like rate need two samples in their range. Whether there are. */
async function checkRange(selector: Selector, text: string, { params, end_ms, ask, report }: Look): Promise<boolean> {
  const range = formatDuration(selector.range ?? 0);
  const data = await ask<QueryData>("api/v1/query", { ...params, query: `max(count_over_time(${text}[${range}]))`, time: (end_ms - selector.offset) / 1000 });
  const most = data.resultType === "vector" ? Number(data.result[0]?.value?.[1] ?? 0) : 0;
  if (most >= 2) {
    report({ verdict: "fine", text: `${text} has up to ${most} samples in ${range}.` });
    return true;
  }
  const what = most === 0 ? "no sample" : "one sample only";
  report({ verdict: "cause", text: `${text} has ${what} in a range of ${range}; rate and its like need two. Make the range at least four scrape intervals long.` });
  return false;
}

const LOOK_BACK_MS = [3_600_000, 86_400_000, 7 * 86_400_000, 30 * 86_400_000, 365 * 86_400_000, 3650 * 86_400_000];
const STEPS = 200;
/** A time that is known worse than this is looked at again. */
const FINE_MS = 60_000;

/** The newest step with data before `end_ms`: found in the shortest of ever longer times. */
async function lastSeen(text: string, end_ms: number, look: Look): Promise<{ at_ms: number; step_ms: number } | undefined> {
  for (const back of LOOK_BACK_MS) {
    if (!(await hasSeries(text, end_ms - back, end_ms, look))) continue;
    const { values, step_ms } = await occurrences(text, end_ms - back, end_ms, look);
    const about = values.at(-1);
    if (!about) continue;
    const last = step_ms > FINE_MS ? await occurrences(text, about[0] * 1000 - step_ms, about[0] * 1000, look) : { values, step_ms };
    return { at_ms: (last.values.at(-1) ?? about)[0] * 1000, step_ms: last.step_ms };
  }
  return undefined;
}

/** About when data begins after `from_ms`. */
async function firstSeen(text: string, from_ms: number, look: Look): Promise<number | undefined> {
  const span = look.now_ms - from_ms;
  if (span <= 0 || !(await hasSeries(text, from_ms, look.now_ms, look))) return undefined;
  const { values, step_ms } = await occurrences(text, from_ms, look.now_ms, look);
  const about = values[0];
  if (about === undefined) return undefined;
  const first = step_ms > FINE_MS ? await occurrences(text, about[0] * 1000 - step_ms, about[0] * 1000, look) : { values, step_ms };
  return (first.values[0] ?? about)[0] * 1000;
}

/** Steps that have data. */
async function occurrences(text: string, start_ms: number, end_ms: number, { ask, params }: Look): Promise<{ values: Point[]; step_ms: number }> {
  const step_ms = Math.max(Math.ceil((end_ms - start_ms) / STEPS / 1000) * 1000, 1000);
  // The last step is the end, so that what is newest lies in one.
  const first_ms = end_ms - Math.floor((end_ms - start_ms) / step_ms) * step_ms;
  const query = `count(count_over_time(${text}[${formatDuration(step_ms)}]))`;
  const data = await ask<{ result: MatrixEntry[] }>("api/v1/query_range", { ...params, query, start: first_ms / 1000, end: end_ms / 1000, step: step_ms / 1000 });
  return { values: data.result[0]?.values ?? [], step_ms };
}

async function checkName(selector: Selector, look: Look): Promise<void> {
  const { params, end_ms, now_ms, ask, report } = look;
  const name = selectorText(selector.name, []);
  const everything = { ...params, start: (end_ms - (LOOK_BACK_MS.at(-1) ?? 0)) / 1000, end: Math.max(end_ms, now_ms) / 1000 };
  const isKnown = (await ask<unknown[]>("api/v1/series", { ...everything, "match[]": name, limit: 1 })).length > 0;
  if (!isKnown) {
    const names = await ask<string[]>("api/v1/label/__name__/values", { ...everything, limit: 20_000 });
    const near = similar(selector.name, names);
    const hint = near.length > 0 ? ` Similar names: ${near.join(", ")}.` : " No name is like it: look through the metrics on the page Explore.";
    return report({ verdict: "cause", text: `The metric ${selector.name} never existed, as far back as there is data.${hint}` });
  }
  report({ verdict: "fine", text: `The metric ${selector.name} exists.` });
  const matchers = selector.matchers.filter((m) => m.name !== "__name__");
  for (const matcher of matchers) await checkMatcher(selector, matcher, everything, look);
}

async function checkMatcher(selector: Selector, matcher: Matcher, everything: Params, { ask, report }: Look): Promise<void> {
  const alone = selectorText(selector.name, [matcher]);
  const found = await ask<unknown[]>("api/v1/series", { ...everything, "match[]": alone, limit: 1 });
  const shown = `${matcher.name}${matcher.type}"${matcher.value}"`;
  if (found.length > 0) return report({ verdict: "unknown", text: `${shown} alone matches series; together with the other matchers it does not.` });
  const values = await ask<string[]>(`api/v1/label/${encodeURIComponent(matcher.name)}/values`, { ...everything, "match[]": selectorText(selector.name, []), limit: 1000 });
  const near = similar(matcher.value, values);
  const some = near.length > 0 ? near : values.slice(0, 8);
  const meant = matcher.type === "=" && near[0] !== undefined ? ` Did you mean ${quoted(near[0])}?` : "";
  const there = values.length === 0 ? `The metric has no label ${matcher.name}.` : `Its values: ${some.join(", ")}${values.length > some.length ? ", …" : ""}.${meant}`;
  report({ verdict: "cause", text: `No series of ${selector.name} matches ${shown}. ${there}` });
}

/** All selectors have data: the deepest part without a result is the one that drops it. */
async function checkOperators(tree: Node, { params, end_ms, ask, report }: Look): Promise<void> {
  const isEmpty = async (node: Node) => {
    const data = await ask<QueryData>("api/v1/query", { ...params, query: print(node), time: end_ms / 1000, limit: 1 });
    return (data.resultType === "vector" || data.resultType === "matrix") && data.result.length === 0;
  };
  let at: Node | undefined = tree;
  if (!(await isEmpty(tree))) return report({ verdict: "unknown", text: "At the end of the range the query has a result: make the range or the step smaller." });
  for (;;) {
    let below: Node | undefined;
    for (const child of children(at)) {
      if (child.type !== "numberLiteral" && child.type !== "stringLiteral" && (await isEmpty(child))) below = child;
    }
    if (!below) break;
    at = below;
  }
  report({ verdict: "cause", text: `All selectors have data. The first part without a result is ${print(at)}${hintFor(at)}` });
}

function hintFor(node: Node): string {
  if (node.type !== "binaryExpr") return ".";
  if (["==", "!=", ">", "<", ">=", "<="].includes(node.op)) return ": no value fulfils the comparison.";
  return `: no series of the left side has the labels of one of the right side. Try on (…) or ignoring (…).`;
}

const SIMILAR_MAX = 5;

/** Names that differ little: by few letters, or one within the other. */
export function similar(name: string, names: readonly string[]): string[] {
  const limit = Math.max(2, Math.floor(name.length / 4));
  const wanted = name.toLowerCase();
  const scored = names.map((other): [number, string] => {
    const text = other.toLowerCase();
    if (wanted.length >= 3 && (text.includes(wanted) || (text.length >= 3 && wanted.includes(text)))) return [0.5, other];
    return [distance(wanted, text, limit), other];
  });
  return scored.filter(([score]) => score <= limit).sort(([a, x], [b, y]) => a - b || x.length - y.length).slice(0, SIMILAR_MAX).map(([, other]) => other);
}

/** Letters to add, drop or change; beyond `limit` any number above it. */
export function distance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit) return limit + 1;
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    if (Math.min(...next) > limit) return limit + 1;
    row = next;
  }
  return row[b.length] as number;
}
