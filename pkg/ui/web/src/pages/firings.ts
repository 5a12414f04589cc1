// When alerts fired in the last days, as the series ALERTS has it.

import { type Labels, labelName } from "../lib/labels.ts";
import type { MatrixEntry } from "../query/result.ts";

export const WEEK_MS = 7 * 86_400_000;
export const STEP_MS = 1_800_000;

/** A time in which an alert was pending or firing, to half an hour. */
export interface Span {
  from_ms: number;
  to_ms: number;
}

export interface Past {
  pending: Span[];
  firing: Span[];
}

interface Named {
  name: string;
  labels?: Labels;
}

/** Labels that the series of a rule's alerts have as the rule says them. */
export function fixedLabels(rule: Named): [string, string][] {
  return Object.entries(rule.labels ?? {}).filter(([, value]) => !value.includes("{{"));
}

/** Each step's value is of the half hour before it. */
export function pastQuery(rules: readonly Named[]): string {
  const names = new Set(["alertname", "alertstate", ...rules.flatMap(fixedLabels).map(([name]) => name)]);
  return `max by (${[...names].map(labelName).join(", ")}) (max_over_time(ALERTS[30m]))`;
}

export function pastOf(rule: Named, series: readonly MatrixEntry[]): Past {
  const own = series.filter(({ metric }) => metric.alertname === rule.name && fixedLabels(rule).every(([name, value]) => metric[name] === value));
  const of = (state: string) => spans(own.filter(({ metric }) => metric.alertstate === state).flatMap(({ values }) => (values ?? []).map(([t]) => t * 1000)));
  return { pending: of("pending"), firing: of("firing") };
}

function spans(times_ms: readonly number[]): Span[] {
  const out: Span[] = [];
  for (const t of [...times_ms].sort((a, b) => a - b)) {
    const last = out.at(-1);
    if (last && t - STEP_MS <= last.to_ms) last.to_ms = t;
    else out.push({ from_ms: t - STEP_MS, to_ms: t });
  }
  return out;
}

/** The query of a rule without the limit that it compares with, so that a graph shows how near it came. */
export function curve(query: string): string {
  if (/\b(or|and|unless|bool)\b/.test(query)) return query;
  return query.replace(/\s*(==|!=|>=|<=|>|<)\s*[-+]?[\d.]+(e[-+]?\d+)?\s*$/i, "");
}
