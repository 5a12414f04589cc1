// What a query took, operator by operator, as `analyze=true` tells it.

/** `data.analysis`: Thanos' fields, and ours beside them. */
export interface Analysis {
  name: string;
  executionTime: string;
  peakSamples?: number;
  totalSamples?: number;
  series?: number;
  samples?: number;
  seriesRead?: number;
  samplesDecoded?: number;
  chunkBytes?: number;
  children?: Analysis[];
}

/** An operator as a row of the tree. */
export interface Row {
  depth: number;
  name: string;
  /** Time of the operator and of those below it, ms. */
  all_ms: number;
  /** Without those below it. */
  own_ms: number;
  of: Analysis;
}

const UNITS_MS: Record<string, number> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1, "µs": 1e-3, "μs": 1e-3, us: 1e-3, ns: 1e-6 };

/** `1m2.5s`, as Go writes durations, in ms. */
export function goDuration(text: string): number {
  let sum = 0;
  for (const [, digits, unit] of text.matchAll(/(\d+(?:\.\d+)?)(h|ms|m|s|µs|μs|us|ns)/g)) sum += Number(digits) * (UNITS_MS[unit ?? ""] ?? 0);
  return sum;
}

const ROWS_MAX = 500;

/** The operators from above; the query itself, which only passes on, is left out. */
export function rowsOf(analysis: Analysis): Row[] {
  const out: Row[] = [];
  const visit = (of: Analysis, depth: number) => {
    if (out.length >= ROWS_MAX) return;
    const all_ms = goDuration(of.executionTime);
    const below_ms = (of.children ?? []).reduce((sum, child) => sum + goDuration(child.executionTime), 0);
    out.push({ depth, name: of.name, all_ms, own_ms: Math.max(all_ms - below_ms, 0), of });
    for (const child of of.children ?? []) visit(child, depth + 1);
  };
  const [only, ...others] = analysis.children ?? [];
  visit(analysis.name === "[query]" && only && others.length === 0 ? only : analysis, 0);
  return out;
}
