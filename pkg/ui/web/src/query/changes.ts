// What changed in a range: series that began, ended, came and went, or paused, those together that did so together.
// Where to look is told by the series of a graph that moved most.

import { type Labels, labelName, quoted } from "../lib/labels.ts";
import { type MatrixEntry, grid, number } from "./result.ts";
import type { Range } from "./state.ts";

export type Kind = "came and went" | "paused" | "began" | "ended" | "lived shortly";

export interface Change {
  kind: Kind;
  /** To a step: each is of the time since the one before. */
  from_ms: number;
  to_ms: number;
  /** Those that all of them have. */
  labels: Labels;
  series: Labels[];
}

const KINDS: readonly Kind[] = ["came and went", "paused", "began", "ended", "lived shortly"];
const STEPS = 24;
const STEP_MIN_MS = 60_000;
/** What alerts fire follows from the rest. */
const NOT_A_CAUSE = '__name__!~"ALERTS|ALERTS_FOR_STATE"';
/** Parts of one thing. */
const PARTS = ["__name__", "le", "quantile"];

/** The labels that those series have in common that moved most, as matchers; of them only what targets have, if that is
 * known: others make the difference between metrics. Empty where there are none. */
export function scopeOf(series: readonly MatrixEntry[], targetLabels: readonly string[]): string {
  const isAsked = (name: string) => !PARTS.includes(name) && (targetLabels.length === 0 || targetLabels.includes(name));
  const moves = series.map(({ values }) => spread((values ?? []).map(([, text]) => number(text)).filter(Number.isFinite)));
  const most = moves.reduce((a, b) => Math.max(a, b), 0);
  const moved = series.filter((_, i) => (moves[i] as number) * 2 >= most).map((s) => s.metric);
  const matchers = Object.entries(sharedBy(moved)).filter(([name]) => isAsked(name)).map(([name, value]) => `${labelName(name)}=${quoted(value)}`);
  return matchers.length === 0 ? "" : `{${[...matchers, NOT_A_CAUSE].join(", ")}}`;
}

function spread(values: readonly number[]): number {
  const [least, most] = values.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)] as [number, number], [Infinity, -Infinity]);
  return Math.max(most - least, 0);
}

function sharedBy(series: readonly Labels[]): Labels {
  const [first, ...rest] = series;
  return Object.fromEntries(Object.entries(first ?? {}).filter(([name, value]) => rest.every((labels) => labels[name] === value)));
}

/** The steps at which is looked. */
export function lookRange(range: Range): Range {
  const step_ms = Math.max(Math.ceil((range.end_ms - range.start_ms) / STEPS / STEP_MIN_MS) * STEP_MIN_MS, STEP_MIN_MS);
  const end_ms = Math.floor(range.end_ms / step_ms) * step_ms;
  const steps = Math.max(Math.floor((end_ms - range.start_ms) / step_ms), 2);
  return { start_ms: end_ms - steps * step_ms, end_ms, step_ms };
}

export function changesOf(series: readonly MatrixEntry[], range: Range): Change[] {
  const times = grid(range).map((s) => Math.round(s * 1000));
  const groups = new Map<string, Change>();
  for (const { metric, values, histograms } of series) {
    const seen = new Set([...(values ?? []), ...(histograms ?? [])].map(([t]) => Math.round(t * 1000)));
    const change = changeOf(times.map((t) => seen.has(t)));
    if (change === undefined) continue;
    const [kind, from, to] = change;
    const key = `${kind} ${from} ${to}`;
    const group = groups.get(key) ?? { kind, from_ms: (times[from] as number) - range.step_ms, to_ms: (times[to] as number) - (kind === "paused" ? range.step_ms : 0), labels: {}, series: [] };
    group.series.push(metric);
    groups.set(key, group);
  }
  const all = [...groups.values()].map((group) => ({ ...group, labels: sharedBy(group.series) }));
  return all.sort((a, b) => KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind) || a.series.length - b.series.length);
}

/** What a series did, by the steps at which it has values: the kind and two steps. */
function changeOf(isThere: readonly boolean[]): [Kind, number, number] | undefined {
  const [first, last] = [isThere.indexOf(true), isThere.lastIndexOf(true)];
  if (first < 0) return undefined;
  const [begins, ends] = [first > 0, last < isThere.length - 1];
  if (begins && ends) return [first === last ? "lived shortly" : "came and went", first, last];
  if (begins) return ["began", first, last];
  if (ends) return ["ended", first, last];
  const gap = isThere.indexOf(false);
  return gap < 0 ? undefined : ["paused", gap, isThere.indexOf(true, gap)];
}
