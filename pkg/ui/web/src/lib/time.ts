// Durations and times as Prometheus writes them.

const UNITS_MS: [string, number][] = [
  ["y", 31_536_000_000],
  ["w", 604_800_000],
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1000],
  ["ms", 1],
];

/** `1h30m` in ms; undefined where it is no duration. A bare number is seconds. */
export function parseDuration(text: string): number | undefined {
  const trimmed = text.trim();
  if (/^\d+(\.\d+)?$/.test(trimmed)) return Number(trimmed) * 1000;
  const match = /^(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?$/.exec(trimmed);
  if (!match || trimmed === "") return undefined;
  return UNITS_MS.reduce((sum, [, ms], i) => sum + Number(match[i + 1] ?? 0) * ms, 0);
}

/** As Prometheus prints it: years and weeks only where nothing is left over. */
export function formatDuration(ms: number): string {
  let left = Math.round(ms);
  if (left <= 0) return "0s";
  let text = "";
  for (const [unit, size] of UNITS_MS) {
    if ((unit === "y" || unit === "w") && left % size !== 0) continue;
    const count = Math.floor(left / size);
    if (count > 0) text += `${count}${unit}`;
    left -= count * size;
  }
  return text;
}

/** For people: two units at most, `3d 4h`, `12.3s`, `85ms`. */
export function roughDuration(ms: number): string {
  if (!Number.isFinite(ms)) return "∞";
  const size = Math.abs(ms);
  const sign = ms < 0 ? "-" : "";
  if (size < 1) return size === 0 ? "0s" : `${sign}${(size * 1000).toFixed(0)}µs`;
  if (size < 1000) return `${sign}${size < 10 ? size.toFixed(1) : size.toFixed(0)}ms`;
  if (size < 60_000) return `${sign}${(size / 1000).toFixed(size < 10_000 ? 1 : 0)}s`;
  const at = UNITS_MS.findIndex(([unit, ms]) => size >= ms && unit !== "w");
  const [unit, unitMs] = UNITS_MS[at] as [string, number];
  const [next, nextMs] = UNITS_MS[unit === "y" ? at + 2 : at + 1] as [string, number];
  const count = Math.floor(size / unitMs);
  const rest = Math.floor((size - count * unitMs) / nextMs);
  return `${sign}${count}${unit}${rest > 0 ? ` ${rest}${next}` : ""}`;
}

export function ago(ms: number, now_ms: number): string {
  const age = now_ms - ms;
  return age < 0 ? `in ${roughDuration(-age)}` : `${roughDuration(age)} ago`;
}

/** `2026-03-01 12:00:00`, UTC, as Prometheus' pages have it. */
export function formatTime(ms: number): string {
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) return "—";
  return date.toISOString().replace("T", " ").replace(/\.\d+Z$/, "");
}

/** Seconds since the epoch, RFC 3339, or what `formatTime` writes; ms, or undefined. */
export function parseTime(text: string): number | undefined {
  const trimmed = text.trim();
  if (/^-?\d+(\.\d+)?$/.test(trimmed)) return Math.round(Number(trimmed) * 1000);
  const match = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(:\d{2}(?:\.\d+)?)?(Z|[+-]\d{2}:\d{2})?)?$/.exec(trimmed);
  if (!match) return undefined;
  const ms = Date.parse(`${match[1]}T${match[2] ?? "00:00"}${match[3] ?? ":00"}${match[4] ?? "Z"}`);
  return Number.isNaN(ms) ? undefined : ms;
}

const NICE_MS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 10e3, 15e3, 30e3, 60e3, 120e3, 300e3, 600e3, 900e3, 1800e3, 3600e3,
  7200e3, 10800e3, 21600e3, 43200e3, 86400e3,
];

/** The least round step of at least a second by which `range_ms` has at most `points` steps. */
export function autoStep(range_ms: number, points: number): number {
  const least = Math.max(range_ms / Math.max(points, 1), 1000);
  return NICE_MS.find((ms) => ms >= least) ?? Math.ceil(least / 86_400_000) * 86_400_000;
}

/** The bounds that Thanos gives where there is none. */
export const MIN_MS = -62_135_596_800_000;
export const MAX_MS = 253_402_300_799_000;

export function formatBound(ms: number): string {
  if (ms <= MIN_MS) return "always";
  if (ms >= MAX_MS) return "now";
  return formatTime(ms);
}
