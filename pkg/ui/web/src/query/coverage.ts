// Who can answer for which part of a range, and what may be missing: the strip below a graph.

import type { Labels } from "../lib/labels.ts";
import { MAX_MS, MIN_MS } from "../lib/time.ts";
import type { Origin } from "./result.ts";

/** An endpoint of `/api/v1/stores`. */
export interface Store {
  name: string;
  lastCheck: string;
  lastError: string | null;
  labelSets: Labels[];
  minTime: number;
  maxTime: number;
}

export type StoresByKind = Record<string, Store[]>;

export interface Segment {
  from_ms: number;
  to_ms: number;
}

export interface Source extends Segment {
  /** `sidecar`, `store`, … or `head`, `block` of a server. */
  kind: string;
  name: string;
  error: string | undefined;
}

export interface Missing extends Segment {
  why: string;
  /** Somebody who may have the data does not answer; otherwise nobody is known to have any. */
  isError: boolean;
}

export interface Coverage {
  sources: Source[];
  missing: Missing[];
}

export function sourcesOf(stores: StoresByKind): Source[] {
  return Object.entries(stores).flatMap(([kind, list]) =>
    list.map((store) => ({
      kind,
      name: store.name,
      from_ms: store.minTime,
      to_ms: store.maxTime,
      error: store.lastError ?? undefined,
    })),
  );
}

/** A source that never told its times may have data of all times. */
function bounds(source: Source): Segment {
  const isUnknown = source.from_ms >= source.to_ms || (source.from_ms === 0 && source.to_ms === 0);
  if (isUnknown) return source.error === undefined ? { from_ms: 0, to_ms: 0 } : { from_ms: MIN_MS, to_ms: MAX_MS };
  return source;
}

/** A source whose data ends this shortly before now is live. */
const LIVE_MS = 10 * 60_000;

export function coverage(sources: readonly Source[], range: Segment, now_ms: number): Coverage {
  const clip = (part: Segment): Segment => ({
    from_ms: Math.max(part.from_ms, range.from_ms),
    to_ms: Math.min(part.to_ms >= now_ms - LIVE_MS ? MAX_MS : part.to_ms, range.to_ms),
  });
  const shown = sources.map((source) => ({ ...source, ...clip(bounds(source)) })).filter((s) => s.from_ms < s.to_ms);
  const missing: Missing[] = shown
    .filter((source) => source.error !== undefined)
    .map((source) => ({ from_ms: source.from_ms, to_ms: source.to_ms, isError: true, why: `${source.name} (${source.kind}) is down: ${source.error}` }));
  if (sources.length > 0) {
    const up = shown.filter((source) => source.error === undefined);
    for (const gap of gaps(up, range)) {
      // Behind a source that is down nobody knows whether there is a gap.
      if (missing.some((m) => m.from_ms <= gap.from_ms && m.to_ms >= gap.to_ms)) continue;
      missing.push({ ...gap, isError: false, why: "nothing known here has data of this time" });
    }
  }
  return { sources: shown, missing };
}

/** `found`, and what is missing of sources whose answer broke off. */
export function withFailures(found: Coverage, origins: readonly Origin[], range: Segment): Coverage {
  const missing = [...found.missing];
  for (const { kind, name, error } of origins) {
    if (error === undefined || missing.some((m) => m.isError && m.why.startsWith(`${name} (`))) continue;
    const known = found.sources.find((source) => source.name === name) ?? range;
    missing.push({ from_ms: known.from_ms, to_ms: known.to_ms, isError: true, why: `${name} (${kind}) broke off: ${error}` });
  }
  return { ...found, missing };
}

/** The parts of `range` that no segment covers. */
export function gaps(segments: readonly Segment[], range: Segment): Segment[] {
  const sorted = [...segments].sort((a, b) => a.from_ms - b.from_ms);
  const out: Segment[] = [];
  let reached = range.from_ms;
  for (const { from_ms, to_ms } of sorted) {
    if (from_ms > reached) out.push({ from_ms: reached, to_ms: Math.min(from_ms, range.to_ms) });
    reached = Math.max(reached, to_ms);
    if (reached >= range.to_ms) return out;
  }
  if (reached < range.to_ms) out.push({ from_ms: reached, to_ms: range.to_ms });
  return out;
}

/** The parts of a server's own answers: its blocks, and the head. */
export function serverSources(blocks: readonly { ulid: string; minTime: number; maxTime: number }[], headMin_ms: number): Source[] {
  const own = blocks.map((b) => ({ kind: "block", name: b.ulid, from_ms: b.minTime, to_ms: b.maxTime, error: undefined }));
  const oldest = Math.min(headMin_ms, MAX_MS);
  if (oldest <= 0 || oldest >= MAX_MS) return own;
  return [...own, { kind: "head", name: "head", from_ms: oldest, to_ms: MAX_MS, error: undefined }];
}
