// Answers to queries: their types, and matrices as columns on one grid of steps.

import type { Labels } from "../lib/labels.ts";
import type { Range } from "./state.ts";

export type Point = [number, string];

export interface NativeHistogram {
  count: string;
  sum: string;
  /** Boundary rule, lower, upper, count. */
  buckets?: [number, string, string, string][];
}

export interface VectorEntry {
  metric: Labels;
  value?: Point;
  histogram?: [number, NativeHistogram];
}

export interface MatrixEntry {
  metric: Labels;
  values?: Point[];
  histograms?: [number, NativeHistogram][];
}

export interface Stats {
  timings?: { execTotalTime?: number; execQueueTime?: number };
  samples?: { totalQueryableSamples?: number; peakSamples?: number; samplesRead?: number };
  /** Ours only. */
  storage?: { series: number; samplesDecoded: number; chunkBytes: number; peakBytes: number };
  /** What sources sent; ours only. */
  origins?: Origin[];
}

/** What one source sent at one resolution. */
export interface Origin {
  kind: string;
  name: string;
  resolution: string;
  /** Seconds; null without samples. */
  start: number | null;
  end: number | null;
  requests: number;
  series: number;
  chunks: number;
  bytes: number;
  /** Of its blocks, caches and bucket, where it says so. */
  read?: SourceRead;
  error?: string;
}

export interface SourceRead {
  blocks: number;
  bytes: number;
  bucketBytes: number;
  bucketRequests: number;
}

/** What all sources read together; undefined where none says so. */
export function readOf(origins: readonly Origin[]): SourceRead | undefined {
  const reads = origins.flatMap(({ read }) => read ?? []);
  if (reads.length === 0) return undefined;
  const sum = (pick: (read: SourceRead) => number) => reads.reduce((all, read) => all + pick(read), 0);
  return { blocks: sum((r) => r.blocks), bytes: sum((r) => r.bytes), bucketBytes: sum((r) => r.bucketBytes), bucketRequests: sum((r) => r.bucketRequests) };
}

/** What was read without asking the bucket: an estimate, as requests bring bytes between those that are wanted. */
export function cachedShare({ bytes, bucketBytes }: SourceRead): number {
  return bytes > 0 ? Math.max(1 - bucketBytes / bytes, 0) : 0;
}

export type QueryData = { stats?: Stats } & (
  | { resultType: "matrix"; result: MatrixEntry[] }
  | { resultType: "vector"; result: VectorEntry[] }
  | { resultType: "scalar"; result: Point }
  | { resultType: "string"; result: Point }
);

export function number(text: string): number {
  if (text === "+Inf" || text === "Inf") return Infinity;
  if (text === "-Inf") return -Infinity;
  return Number(text);
}

/** The steps of a range in seconds. */
export function grid(range: Range): number[] {
  const steps = Math.max(Math.floor((range.end_ms - range.start_ms) / range.step_ms + 1e-9), 0) + 1;
  return Array.from({ length: steps }, (_, i) => (range.start_ms + i * range.step_ms) / 1000);
}

function slot(t: number, range: Range): number {
  return Math.round((t * 1000 - range.start_ms) / range.step_ms);
}

/** Values by step; a step without a finite value is null. */
export function column(values: readonly Point[], range: Range, length: number): (number | null)[] {
  const out = new Array<number | null>(length).fill(null);
  for (const [t, text] of values) {
    const at = slot(t, range);
    const value = number(text);
    if (at >= 0 && at < length && Number.isFinite(value)) out[at] = value;
  }
  return out;
}

/** Rows of a heat map, the lowest bucket first. */
export interface Heatmap {
  /** Upper bounds. */
  bounds: number[];
  /** By row, then by step. */
  counts: Float64Array[];
  max: number;
}

const ROWS_MAX = 160;

/** Classic buckets, cumulative over `le`, of all series together. */
export function classicHeatmap(series: readonly MatrixEntry[], range: Range, length: number): Heatmap | undefined {
  const byBound = new Map<number, Float64Array>();
  for (const { metric, values } of series) {
    const bound = number(metric.le ?? "x");
    if (Number.isNaN(bound)) continue;
    const sums = byBound.get(bound) ?? new Float64Array(length);
    column(values ?? [], range, length).forEach((v, i) => {
      sums[i] = (sums[i] ?? 0) + (v ?? 0);
    });
    byBound.set(bound, sums);
  }
  if (byBound.size < 2) return undefined;
  const sorted = [...byBound].sort(([a], [b]) => a - b);
  const counts = sorted.map(([, sums], row) => sums.map((sum, i) => Math.max(sum - (sorted[row - 1]?.[1][i] ?? 0), 0)));
  return limited(sorted.map(([bound]) => bound), counts);
}

/** Native histograms: the buckets that occur. */
export function nativeHeatmap(series: readonly MatrixEntry[], range: Range, length: number): Heatmap | undefined {
  const byBound = new Map<number, Float64Array>();
  for (const { histograms } of series) {
    for (const [t, histogram] of histograms ?? []) {
      const at = slot(t, range);
      if (at < 0 || at >= length) continue;
      for (const [, , upper, count] of histogram.buckets ?? []) {
        const bound = number(upper);
        const row = byBound.get(bound) ?? new Float64Array(length);
        row[at] = (row[at] ?? 0) + number(count);
        byBound.set(bound, row);
      }
    }
  }
  if (byBound.size === 0) return undefined;
  const sorted = [...byBound].sort(([a], [b]) => a - b);
  return limited(sorted.map(([bound]) => bound), sorted.map(([, row]) => row));
}

/** Neighbours are added up until few enough rows are left to be seen. */
function limited(bounds: number[], counts: Float64Array[]): Heatmap {
  const size = Math.ceil(bounds.length / ROWS_MAX);
  const out: Heatmap = { bounds: [], counts: [], max: 0 };
  for (let at = 0; at < bounds.length; at += size) {
    const rows = counts.slice(at, at + size);
    out.bounds.push(bounds[Math.min(at + size, bounds.length) - 1] as number);
    out.counts.push((rows[0] as Float64Array).map((_, i) => rows.reduce((sum, row) => sum + (row[i] ?? 0), 0)));
  }
  for (const row of out.counts) for (const count of row) if (count > out.max) out.max = count;
  return out;
}

export function heatmapOf(series: readonly MatrixEntry[], range: Range, length: number): Heatmap | undefined {
  const isNative = series.some((s) => (s.histograms?.length ?? 0) > 0);
  return isNative ? nativeHeatmap(series, range, length) : classicHeatmap(series, range, length);
}
