// Blocks as a map shows them: columns of numbers, rows of streams.

import type { Labels } from "../lib/labels.ts";

export interface Meta {
  ulid: string;
  minTime: number;
  maxTime: number;
  stats?: { numSamples?: number; numSeries?: number; numChunks?: number; numTombstones?: number };
  compaction: { level: number; sources?: string[]; parents?: { ulid: string }[] };
  thanos?: {
    labels?: Labels;
    downsample?: { resolution: number };
    source?: string;
    files?: { rel_path: string; size_bytes?: number }[];
  };
  /** Of all files, in the short form, which has no list of them. */
  sizeBytes?: number;
}

export interface Answer {
  label: string;
  blocks: Meta[] | null;
  refreshedAt: string;
  err: string | null;
  /** Blocks in all pages. */
  total?: number;
  /** Where the next page begins; absent at the end. */
  next?: string | null;
  unreadable?: { ulid: string; err: string }[];
}

export const RESOLUTIONS: readonly [number, string][] = [[0, "raw"], [300_000, "5m"], [3_600_000, "1h"]];

export interface Stream {
  labels: Labels;
  text: string;
  /** By resolution, sorted by time. */
  lanes: Meta[][];
  blocks: number;
}

export function laneOf(meta: Meta): number {
  const resolution = meta.thanos?.downsample?.resolution ?? 0;
  const at = RESOLUTIONS.findIndex(([ms]) => ms === resolution);
  return at < 0 ? RESOLUTIONS.length - 1 : at;
}

export function sizeOf(meta: Meta): number {
  return meta.sizeBytes ?? (meta.thanos?.files ?? []).reduce((sum, file) => sum + (file.size_bytes ?? 0), 0);
}

/** Streams by their labels; the blocks of each sorted. */
export function streamsOf(blocks: readonly Meta[]): Stream[] {
  const streams = new Map<string, Stream>();
  for (const meta of blocks) {
    const labels = meta.thanos?.labels ?? {};
    const text = Object.entries(labels).sort().map(([n, v]) => `${n}=${v}`).join(", ");
    let stream = streams.get(text);
    if (!stream) streams.set(text, (stream = { labels, text, lanes: RESOLUTIONS.map(() => []), blocks: 0 }));
    stream.lanes[laneOf(meta)]?.push(meta);
    stream.blocks++;
  }
  for (const stream of streams.values()) for (const lane of stream.lanes) lane.sort((a, b) => a.minTime - b.minTime || a.maxTime - b.maxTime);
  return [...streams.values()].sort((a, b) => (a.text < b.text ? -1 : 1));
}

export interface Hole {
  from_ms: number;
  to_ms: number;
}

/** Where blocks of a lane lie over each other, and where there is nothing between them. */
export function findings(lane: readonly Meta[]): { overlaps: Hole[]; holes: Hole[] } {
  const out: { overlaps: Hole[]; holes: Hole[] } = { overlaps: [], holes: [] };
  let reached = -Infinity;
  for (const { minTime, maxTime } of lane) {
    if (minTime < reached) out.overlaps.push({ from_ms: minTime, to_ms: Math.min(maxTime, reached) });
    else if (reached > -Infinity && minTime > reached) out.holes.push({ from_ms: reached, to_ms: minTime });
    reached = Math.max(reached, maxTime);
  }
  return out;
}

export interface Span {
  from_ms: number;
  to_ms: number;
}

export function spanOf(blocks: readonly Meta[]): Span {
  let [from_ms, to_ms] = [Infinity, -Infinity];
  for (const { minTime, maxTime } of blocks) {
    if (minTime < from_ms) from_ms = minTime;
    if (maxTime > to_ms) to_ms = maxTime;
  }
  return from_ms < to_ms ? { from_ms, to_ms } : { from_ms: 0, to_ms: 1 };
}

/** The first block of a sorted lane that ends after `ms`; blocks of a lane may overlap, so this is a lower bound. */
export function firstAfter(lane: readonly Meta[], ms: number, longest_ms: number): number {
  let [low, high] = [0, lane.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((lane[middle] as Meta).minTime < ms - longest_ms) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** `span` by a factor around a place between 0 and 1, within `whole`. */
export function zoomed(span: Span, at: number, factor: number, whole: Span): Span {
  const size = Math.min(Math.max((span.to_ms - span.from_ms) * factor, 60_000), whole.to_ms - whole.from_ms);
  const middle = span.from_ms + (span.to_ms - span.from_ms) * at;
  return moved({ from_ms: middle - size * at, to_ms: middle + size * (1 - at) }, 0, whole);
}

export function moved(span: Span, by_ms: number, whole: Span): Span {
  const size = span.to_ms - span.from_ms;
  const from = Math.min(Math.max(span.from_ms + by_ms, whole.from_ms), whole.to_ms - size);
  return { from_ms: from, to_ms: from + size };
}
