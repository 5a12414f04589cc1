// Below a graph: what answered for which time, or who can where the answer does not say it; and what may be missing.

import { bytes, percent, plural } from "../lib/format.ts";
import { formatTime } from "../lib/time.ts";
import type { Coverage, Segment } from "./coverage.ts";
import { type Origin, cachedShare } from "./result.ts";

interface Props {
  coverage: Coverage;
  /** Undefined where the answer does not say who sent it. */
  origins: readonly Origin[] | undefined;
  range: Segment;
}

const ROWS_MAX = 8;

interface Part {
  kind: string;
  from: number;
  to: number;
  title: string;
  isDown: boolean;
}

type Rows = Map<string, Part[]>;

/** Who can answer, by kind. */
function byCoverage({ sources }: Coverage, range: Segment): Rows {
  const rows: Rows = new Map();
  for (const { kind, name, error, from_ms, to_ms } of sources) {
    const title = `${name}: ${error === undefined ? `can answer for ${formatTime(from_ms)} – ${formatTime(to_ms)}` : `down, ${error}`}`;
    add(rows, kind, { kind, ...placed(from_ms, to_ms, range), title, isDown: error !== undefined });
  }
  return rows;
}

/** What did answer, by kind and resolution. */
function byOrigin(origins: readonly Origin[], range: Segment): Rows {
  const rows: Rows = new Map();
  for (const { kind, name, resolution, start, end, series, bytes: size, requests, read, error } of origins) {
    const isDown = error !== undefined;
    if (!isDown && (start === null || end === null)) continue;
    const [from_ms, to_ms] = [(start ?? range.from_ms / 1000) * 1000, (end ?? range.to_ms / 1000) * 1000];
    const cached = read ? `; ${plural(read.blocks, "block")} asked, ${bytes(read.bytes)} read, ${percent(cachedShare(read))} of it from caches, ${plural(read.bucketRequests, "request")} to the bucket` : "";
    const sent = `${plural(series, "series", "series")}, ${bytes(size)} of ${resolution} samples in ${plural(requests, "request")}, ${formatTime(from_ms)} – ${formatTime(to_ms)}${cached}`;
    const title = `${name === "" ? kind : name}: ${isDown ? `broke off, ${error}` : sent}`;
    add(rows, `${kind} ${resolution}`, { kind, ...placed(from_ms, to_ms, range), title, isDown });
  }
  return rows;
}

function add(rows: Rows, row: string, part: Part): void {
  rows.set(row, [...(rows.get(row) ?? []), part]);
}

/** As shares of the range, within it. */
function placed(from_ms: number, to_ms: number, range: Segment): { from: number; to: number } {
  const at = (ms: number) => Math.min(Math.max((ms - range.from_ms) / (range.to_ms - range.from_ms), 0), 1);
  return { from: at(from_ms), to: at(to_ms) };
}

export function Strip({ coverage, origins, range }: Props) {
  const rows = origins && origins.length > 0 ? byOrigin(origins, range) : byCoverage(coverage, range);
  if (rows.size === 0 && coverage.missing.length === 0) return null;
  return (
    <div class="strip">
      {[...rows].slice(0, ROWS_MAX).map(([row, parts]) => (
        <div class="strip-row" key={row}>
          <span class="strip-name">{row}</span>
          <svg class="strip-bar" viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label={`${row}: ${parts.map((p) => p.title).join("; ")}`}>
            {parts.map((part, i) => (
              <rect key={i} class={`kind-${part.kind}${part.isDown ? " down" : ""}`} x={part.from * 1000} width={Math.max((part.to - part.from) * 1000 - 1, 1)} y="1" height="8">
                <title>{part.title}</title>
              </rect>
            ))}
          </svg>
        </div>
      ))}
      {coverage.missing.map((missing, i) => (
        <div class={missing.isError ? "missing error" : "missing"} key={i}>
          <i class="hatched" /> {formatTime(missing.from_ms)} – {formatTime(missing.to_ms)}: {missing.why}
        </div>
      ))}
    </div>
  );
}
