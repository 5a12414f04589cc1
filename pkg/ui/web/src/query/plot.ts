// uPlot for results of range queries: lines, stacked areas, heat maps; what may be missing is hatched.

import uPlot from "uplot";
import { heat } from "../lib/colors.ts";
import { short } from "../lib/format.ts";
import { formatTime } from "../lib/time.ts";
import type { Missing } from "./coverage.ts";
import type { Heatmap } from "./result.ts";

export interface Line {
  text: string;
  color: string;
  values: (number | null)[];
  isShown: boolean;
}

export interface Drawing {
  host: HTMLElement;
  width: number;
  height: number;
  times: number[];
  lines: readonly Line[];
  isStacked: boolean;
  heatmap: Heatmap | undefined;
  missing: readonly Missing[];
  isDark: boolean;
  /** The least value that is shown; undefined = by the values. */
  y_min: number | undefined;
  /** Exemplars; those beyond the axis stand at its ends. */
  dots: readonly Dot[];
  onZoom: (from_ms: number, to_ms: number) => void;
  /** The step below the cursor, and the line next to it. */
  onHover: (hover: Hover | undefined) => void;
}

/** An exemplar. */
export interface Dot {
  at_s: number;
  value: number;
  /** Its own labels, and those of its series. */
  text: string;
}

export interface Hover {
  step: number;
  /** Of a heat map. */
  row: number | undefined;
  /** An exemplar right below the cursor. */
  dot: number | undefined;
  line: number | undefined;
  left: number;
  top: number;
}

function color(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Room for half a date at the right, px; the strip below the graph leaves as much. */
const RIGHT = 32;
/** All graphs of a page show the same time below the cursor. */
const SYNC = uPlot.sync("time");

export function draw(drawing: Drawing): uPlot {
  const { times, lines, heatmap } = drawing;
  const data = heatmap ? [times, new Array<null>(times.length).fill(null)] : [times, ...lineData(drawing)];
  const series = heatmap ? [{}, {}] : [{}, ...lines.map((line, i) => seriesOptions(drawing, line, i))];
  const options: uPlot.Options = {
    width: drawing.width,
    padding: [null, RIGHT, null, null],
    height: drawing.height,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    legend: { show: false },
    cursor: {
      sync: { key: SYNC.key, setSeries: false },
      drag: { x: true, y: false, setScale: false },
      focus: { prox: -1 },
      points: { size: 6 },
    },
    scales: heatmap
      ? { x: { time: true }, y: { range: [0, heatmap.bounds.length] } }
      : { x: { time: true }, y: { range: (_, min, max) => padded(min, max, drawing.y_min) } },
    axes: axes(heatmap),
    series,
    hooks: hooks(drawing),
  };
  if (drawing.isStacked && !heatmap) options.bands = bands(lines);
  return new uPlot(options, data as uPlot.AlignedData, drawing.host);
}

function seriesOptions(drawing: Drawing, line: Line, index: number): uPlot.Series {
  const isLonely = (u: uPlot, i: number) => {
    const values = u.data[index + 1];
    return values?.[i] != null && values[i - 1] == null && values[i + 1] == null;
  };
  return {
    show: line.isShown,
    stroke: line.color,
    width: drawing.lines.length > 50 ? 1 : 1.5,
    ...(drawing.isStacked ? { fill: `${line.color}66` } : {}),
    // A value between two gaps would be a line of no length.
    points: {
      show: true,
      size: 4,
      filter: (u, _, show) => (show ? [...u.data[0].keys()].filter((i) => isLonely(u, i)) : null),
    },
  };
}

function lineData({ lines, isStacked, times }: Drawing): (number | null)[][] {
  if (!isStacked) return lines.map((line) => line.values);
  const sums = new Float64Array(times.length);
  return lines.map((line) => {
    if (!line.isShown) return line.values;
    return line.values.map((value, i) => {
      sums[i] = (sums[i] ?? 0) + (value ?? 0);
      return sums[i] as number;
    });
  });
}

function bands(lines: readonly Line[]): uPlot.Band[] {
  const shown = lines.map((line, i) => (line.isShown ? i + 1 : 0)).filter((i) => i > 0);
  return shown.slice(1).map((upper, i) => ({ series: [upper, shown[i] as number] }));
}

function padded(min: number | null, max: number | null, y_min: number | undefined): [number, number] {
  if (min === null || max === null) return [0, 1];
  if (y_min !== undefined) return [y_min, max > y_min ? max + (max - y_min) * 0.06 : y_min + 1];
  if (min === max) return min === 0 ? [-1, 1] : [min - Math.abs(min) * 0.1, max + Math.abs(max) * 0.1];
  const room = (max - min) * 0.06;
  // A graph that is near zero shows zero.
  const low = min >= 0 && min < (max - min) * 0.5 ? 0 : min - room;
  return [low, max + room];
}

function axes(heatmap: Heatmap | undefined): uPlot.Axis[] {
  const [text, line] = [color("--dim"), color("--grid")];
  const common = { stroke: text, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1, size: 4 }, font: "11px system-ui, sans-serif" };
  const y: uPlot.Axis = { ...common, size: 82, values: (_, splits) => splits.map(short) };
  if (heatmap) {
    const rows = heatmap.bounds.length;
    const every = Math.max(Math.ceil(rows / 8), 1);
    y.splits = () => Array.from({ length: Math.floor(rows / every) }, (_, i) => (i + 1) * every);
    y.values = (_, splits) => splits.map((split) => short(heatmap.bounds[split - 1] ?? NaN));
  }
  return [{ ...common, space: 70, values: (_, splits, __, ___, step) => timeTexts(splits, step) }, y];
}

/** 24 hours a day, and the date where it changes. */
export function timeTexts(splits: readonly number[], step_s: number): string[] {
  let before = "";
  return splits.map((t) => {
    const text = formatTime(t * 1000);
    const [date, time] = [text.slice(0, 10), text.slice(11, step_s < 60 ? 19 : 16)];
    const isNew = date !== before;
    before = date;
    if (step_s >= 86_400) return date;
    return isNew ? `${time}\n${date}` : time;
  });
}

function hooks(drawing: Drawing): uPlot.Hooks.Arrays {
  return {
    drawClear: [(u) => hatch(u, drawing.missing)],
    draw: [(u) => drawing.heatmap && cells(u, drawing.heatmap, drawing.times, drawing.isDark), (u) => dots(u, drawing)],
    setSelect: [
      (u) => {
        const { left, width } = u.select;
        if (width < 5) return;
        drawing.onZoom(u.posToVal(left, "x") * 1000, u.posToVal(left + width, "x") * 1000);
        u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      },
    ],
    setCursor: [(u) => drawing.onHover(hovered(u, drawing))],
  };
}

/** Where an exemplar stands, px of the plot. In a heat map values are rows. */
function dotPlace(u: uPlot, dot: Dot, heatmap: Heatmap | undefined): [number, number] {
  let value = dot.value;
  if (heatmap) {
    const row = heatmap.bounds.findIndex((bound) => value <= bound);
    value = (row < 0 ? heatmap.bounds.length : row) + 0.5;
  }
  const [least, most] = [u.scales.y?.min ?? 0, u.scales.y?.max ?? 1];
  return [u.valToPos(dot.at_s, "x"), u.valToPos(Math.min(Math.max(value, least), most), "y")];
}

function dots(u: uPlot, { dots, heatmap }: Drawing): void {
  const ratio = devicePixelRatio;
  u.ctx.save();
  u.ctx.fillStyle = color("--warn");
  u.ctx.strokeStyle = color("--raised");
  for (const dot of dots) {
    const [left, top] = dotPlace(u, dot, heatmap);
    if (left < 0 || left > u.bbox.width / ratio) continue;
    const [x, y, size] = [u.bbox.left + left * ratio, u.bbox.top + top * ratio, 5 * ratio];
    u.ctx.beginPath();
    u.ctx.moveTo(x, y - size);
    u.ctx.lineTo(x + size, y);
    u.ctx.lineTo(x, y + size);
    u.ctx.lineTo(x - size, y);
    u.ctx.closePath();
    u.ctx.fill();
    u.ctx.stroke();
  }
  u.ctx.restore();
}

function dotAt(u: uPlot, { dots, heatmap }: Drawing, left: number, top: number): number | undefined {
  let [nearest, found]: [number, number | undefined] = [9, undefined];
  dots.forEach((dot, i) => {
    const [x, y] = dotPlace(u, dot, heatmap);
    const distance = Math.hypot(x - left, y - top);
    if (distance < nearest) [nearest, found] = [distance, i];
  });
  return found;
}

function hovered(u: uPlot, drawing: Drawing): Hover | undefined {
  const { idx, left, top } = u.cursor;
  if (idx == null || left == null || top == null || left < 0) return undefined;
  const { lines, heatmap } = drawing;
  let line: number | undefined;
  let nearest = Infinity;
  for (let i = 0; i < lines.length && !heatmap; i++) {
    const value = lines[i]?.isShown ? u.data[i + 1]?.[idx] : null;
    if (value == null) continue;
    const distance = Math.abs(u.valToPos(value, "y") - top);
    if (distance < nearest) [nearest, line] = [distance, i];
  }
  const row = heatmap ? Math.floor(u.posToVal(top, "y")) : undefined;
  return { step: idx, row, dot: dotAt(u, drawing, left, top), line, left: u.valToPos(u.data[0][idx] as number, "x"), top };
}

function hatch(u: uPlot, missing: readonly Missing[]): void {
  const { left, top, width, height } = u.bbox;
  u.ctx.save();
  for (const { from_ms, to_ms, isError } of missing) {
    u.ctx.fillStyle = hatching(u.ctx, isError ? "--hatch" : "--grid") ?? "transparent";
    const from = Math.max(u.valToPos(from_ms / 1000, "x", true), left);
    const to = Math.min(u.valToPos(to_ms / 1000, "x", true), left + width);
    if (to > from) u.ctx.fillRect(from, top, to - from, height);
  }
  u.ctx.restore();
}

function hatching(ctx: CanvasRenderingContext2D, name: string): CanvasPattern | null {
  const size = 10;
  const tile = document.createElement("canvas");
  [tile.width, tile.height] = [size, size];
  const pen = tile.getContext("2d");
  if (!pen) return null;
  pen.strokeStyle = color(name);
  pen.lineWidth = 1.5;
  for (const shift of [-size, 0, size]) {
    pen.moveTo(shift, size);
    pen.lineTo(shift + size, 0);
  }
  pen.stroke();
  return ctx.createPattern(tile, "repeat");
}

function cells(u: uPlot, heatmap: Heatmap, times: readonly number[], isDark: boolean): void {
  const step = times.length > 1 ? (times[1] as number) - (times[0] as number) : 1;
  u.ctx.save();
  u.ctx.beginPath();
  u.ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
  u.ctx.clip();
  heatmap.counts.forEach((row, i) => {
    const [bottom, top] = [u.valToPos(i, "y", true), u.valToPos(i + 1, "y", true)];
    row.forEach((count, at) => {
      if (count <= 0) return;
      const end = times[at] as number;
      const [left, right] = [Math.floor(u.valToPos(end - step, "x", true)), Math.ceil(u.valToPos(end, "x", true))];
      u.ctx.fillStyle = heat(count / heatmap.max, isDark);
      u.ctx.fillRect(left, Math.floor(top), right - left, Math.ceil(bottom) - Math.floor(top));
    });
  });
  u.ctx.restore();
}
