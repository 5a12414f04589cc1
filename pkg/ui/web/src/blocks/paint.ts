// The map on a canvas: only the rows in sight, only the blocks in sight, so that tens of thousands cost nothing.

import { formatTime } from "../lib/time.ts";
import { type Meta, RESOLUTIONS, type Span, type Stream, findings, firstAfter } from "./model.ts";

export const LANE = 8;
export const ROW = RESOLUTIONS.length * (LANE + 1) + 7;
export const HEAD = 20;
const LEVELS_LIGHT = ["#7fb2ec", "#4f8fdc", "#2e6fc0", "#1d5299", "#143c73", "#0c2950"];
const LEVELS_DARK = ["#315a8a", "#3f74b3", "#5a94d8", "#7fb2ec", "#a6cbf5", "#cfe2fa"];

export interface Scene {
  streams: readonly Stream[];
  span: Span;
  scrollTop: number;
  width: number;
  height: number;
  isDark: boolean;
  chosen: string | undefined;
  longest_ms: number;
}

export function levelColor(level: number, isDark: boolean): string {
  const colors = isDark ? LEVELS_DARK : LEVELS_LIGHT;
  return colors[Math.min(Math.max(level, 1), colors.length) - 1] as string;
}

function variable(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

export function paint(canvas: HTMLCanvasElement, scene: Scene): void {
  const ratio = devicePixelRatio;
  if (canvas.width !== scene.width * ratio) canvas.width = scene.width * ratio;
  if (canvas.height !== scene.height * ratio) canvas.height = scene.height * ratio;
  const pen = canvas.getContext("2d");
  if (!pen) return;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, scene.width, scene.height);
  const [first, last] = [Math.floor(scene.scrollTop / ROW), Math.ceil((scene.scrollTop + scene.height) / ROW)];
  for (let row = Math.max(first, 0); row < Math.min(last, scene.streams.length); row++) {
    paintStream(pen, scene, scene.streams[row] as Stream, HEAD + row * ROW - scene.scrollTop);
  }
  paintTimes(pen, scene);
}

function paintStream(pen: CanvasRenderingContext2D, scene: Scene, stream: Stream, top: number): void {
  pen.fillStyle = variable("--grid");
  pen.fillRect(0, top + ROW - 4, scene.width, 1);
  stream.lanes.forEach((lane, at) => paintLane(pen, scene, lane, top + at * (LANE + 1)));
}

function paintLane(pen: CanvasRenderingContext2D, { span, width, isDark, chosen, longest_ms }: Scene, lane: readonly Meta[], top: number): void {
  const scale = width / (span.to_ms - span.from_ms);
  const x = (ms: number) => (ms - span.from_ms) * scale;
  let painted = -1;
  const start = firstAfter(lane, span.from_ms, longest_ms);
  let end = start;
  for (; end < lane.length; end++) {
    const meta = lane[end] as Meta;
    if (meta.minTime > span.to_ms) break;
    if (meta.maxTime < span.from_ms) continue;
    const [left, right] = [x(meta.minTime), Math.max(x(meta.maxTime) - 0.5, x(meta.minTime) + 1)];
    // Blocks below half a pixel have been painted by their neighbours.
    if (right < painted + 0.5 && meta.ulid !== chosen) continue;
    pen.fillStyle = meta.ulid === chosen ? variable("--warn") : levelColor(meta.compaction.level, isDark);
    pen.fillRect(left, top, right - left, LANE);
    painted = right;
  }
  const { overlaps, holes } = findings(lane.slice(start, end));
  pen.fillStyle = variable("--bad");
  for (const { from_ms, to_ms } of overlaps) pen.fillRect(x(from_ms), top + LANE / 2 - 1, Math.max(x(to_ms) - x(from_ms), 2), 2);
  for (const { from_ms, to_ms } of holes) {
    for (let at = x(from_ms); at < x(to_ms); at += 4) pen.fillRect(at, top + LANE / 2, Math.min(1.5, x(to_ms) - at), 1);
  }
}

function paintTimes(pen: CanvasRenderingContext2D, { span, width }: Scene): void {
  pen.fillStyle = variable("--ground");
  pen.fillRect(0, 0, width, HEAD - 2);
  pen.font = "11px system-ui, sans-serif";
  pen.fillStyle = variable("--dim");
  const size = span.to_ms - span.from_ms;
  const texts = Math.max(Math.floor(width / 130), 1);
  for (let i = 0; i < texts; i++) {
    const text = formatTime(span.from_ms + (size * i) / texts);
    pen.fillText(size > 10 * 86_400_000 ? text.slice(0, 10) : text.slice(0, 16), (width * i) / texts + 3, 12);
    pen.fillRect((width * i) / texts, 2, 1, 12);
  }
}

/** The block below a place of the canvas. Of those that overlap the last that was painted counts. */
export function blockAt(scene: Scene, left: number, top: number): Meta | undefined {
  if (top < HEAD) return undefined;
  const y = top - HEAD + scene.scrollTop;
  const stream = scene.streams[Math.floor(y / ROW)];
  const lane = stream?.lanes[Math.floor((y % ROW) / (LANE + 1))];
  if (!lane) return undefined;
  const ms = scene.span.from_ms + (left / scene.width) * (scene.span.to_ms - scene.span.from_ms);
  // A block narrower than a pixel can still be hit.
  const room = (scene.span.to_ms - scene.span.from_ms) / scene.width;
  let found: Meta | undefined;
  for (let i = firstAfter(lane, ms, scene.longest_ms); i < lane.length && (lane[i] as Meta).minTime <= ms + room; i++) {
    if ((lane[i] as Meta).maxTime >= ms) found = lane[i] as Meta;
  }
  return found;
}
