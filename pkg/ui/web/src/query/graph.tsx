// A graph with its legend, and what is below the cursor.

import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type uPlot from "uplot";
import { heat, seriesColor } from "../lib/colors.ts";
import { short } from "../lib/format.ts";
import { useWidth } from "../lib/hooks.ts";
import { common, seriesText, without } from "../lib/labels.ts";
import { formatTime } from "../lib/time.ts";
import { useDark } from "../parts/theme.ts";
import type { Missing } from "./coverage.ts";
import type { Exemplars } from "./exemplars.tsx";
import { Legend } from "./legend.tsx";
import { type Dot, type Hover, type Line, draw } from "./plot.ts";
import { type Heatmap, type MatrixEntry, column, grid, heatmapOf } from "./result.ts";
import type { Panel, Range } from "./state.ts";

interface Props {
  series: readonly MatrixEntry[];
  range: Range;
  look: Pick<Panel, "display" | "y_min">;
  missing: readonly Missing[];
  exemplars: Exemplars;
  /** What stands between the graph and its legend. */
  children: ComponentChildren;
  onZoom: (from_ms: number, to_ms: number) => void;
}

const HEIGHT = 300;

export function Graph({ series, range, look, missing, exemplars, onZoom, children }: Props) {
  const { display, y_min } = look;
  const isDark = useDark();
  const [box, width] = useWidth<HTMLDivElement>();
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const [hover, setHover] = useState<Hover | undefined>();
  const [chosen, setChosen] = useState<ReadonlySet<number>>(new Set());
  useEffect(() => setChosen(new Set()), [series]);

  const times = useMemo(() => grid(range), [range]);
  const isNative = series.some((s) => s.histograms && !s.values);
  const wantsHeatmap = display === "heatmap" || (isNative && series.every((s) => !s.values));
  const heatmap = useMemo(
    () => (wantsHeatmap ? heatmapOf(series, range, times.length) : undefined),
    [series, range, wantsHeatmap],
  );
  const { lines, shared } = useLines(series, range, times.length, isDark);
  const shownLines = useMemo(
    () => lines.map((line, i) => ({ ...line, isShown: chosen.size === 0 || chosen.has(i) })),
    [lines, chosen],
  );

  useEffect(() => {
    if (!host.current || width === 0) return undefined;
    const drawing = { host: host.current, width, height: HEIGHT, times, lines: shownLines, heatmap, missing, isDark, y_min, dots: exemplars.dots };
    plot.current = draw({ ...drawing, isStacked: display === "stacked", onZoom, onHover: setHover });
    return () => plot.current?.destroy();
  }, [width, times, shownLines, heatmap, missing, isDark, display, y_min, exemplars.dots]);

  const rows = heatmap && hover ? heatmap : undefined;
  return (
    <div class="graph">
      <div class="plot" ref={box} role="img" aria-label={`Graph of ${series.length} series; the table has the values`}>
        <div ref={host} />
        {hover && rows && hover.dot === undefined ? <CellTip hover={hover} time={times[hover.step]} heatmap={rows} width={width} /> : null}
        {hover?.dot !== undefined ? <DotTip hover={hover} dot={exemplars.dots[hover.dot]} width={width} /> : null}
        {hover && hover.dot === undefined && !rows && hover.line !== undefined ? <Tip hover={hover} time={times[hover.step]} line={shownLines[hover.line]} width={width} /> : null}
      </div>
      {children}
      {exemplars.list}
      {wantsHeatmap && !heatmap ? (
        <p class="note">A heat map needs native histograms, or series with the label le: try sum by (le) (rate(name_bucket[5m])).</p>
      ) : null}
      {heatmap ? <Scale max={heatmap.max} isDark={isDark} /> : <Legend lines={shownLines} shared={shared} chosen={chosen} onChoose={setChosen} step={hover?.step} />}
    </div>
  );
}

function useLines(series: readonly MatrixEntry[], range: Range, length: number, isDark: boolean) {
  return useMemo(() => {
    const shared = common(series.map((s) => s.metric));
    const lines: Line[] = series.map((s, i) => ({
      text: seriesText(without(s.metric, shared)),
      color: seriesColor(i, isDark),
      values: column(s.values ?? [], range, length),
      isShown: true,
    }));
    return { lines, shared };
  }, [series, range, length, isDark]);
}

function placeOf({ left, top }: Hover, width: number) {
  const isRight = left > width / 2;
  return { ...(isRight ? { right: `${width - left - 50}px` } : { left: `${left + 76}px` }), top: `${Math.max(top - 10, 0)}px` };
}

function CellTip({ hover, time, heatmap, width }: { hover: Hover; time: number | undefined; heatmap: Heatmap; width: number }) {
  const row = hover.row ?? -1;
  const upper = heatmap.bounds[row];
  if (time === undefined || upper === undefined) return null;
  return (
    <div class="tip" style={placeOf(hover, width)}>
      <div class="dim">{formatTime(time * 1000)} UTC</div>
      <b>{short(heatmap.counts[row]?.[hover.step] ?? 0)}</b> {row > 0 ? `between ${short(heatmap.bounds[row - 1] as number)} and ${short(upper)}` : `up to ${short(upper)}`}
    </div>
  );
}

/** What the colours of a heat map mean. */
function Scale({ max, isDark }: { max: number; isDark: boolean }) {
  const shares = [0.02, 0.1, 0.25, 0.5, 0.75, 1];
  return (
    <p class="note key">
      in a bucket: {shares.map((share) => <span key={share}><i class="swatch" style={{ background: heat(share, isDark) }} /> {short(max * share)}</span>)}
    </p>
  );
}

function DotTip({ hover, dot, width }: { hover: Hover; dot: Dot | undefined; width: number }) {
  if (!dot) return null;
  return (
    <div class="tip" style={placeOf(hover, width)}>
      <div class="dim">exemplar, {formatTime(dot.at_s * 1000)} UTC</div>
      <b>{short(dot.value)}</b>
      <div><code>{dot.text}</code></div>
    </div>
  );
}

function Tip({ hover, time, line, width }: { hover: Hover; time: number | undefined; line: Line | undefined; width: number }) {
  if (time === undefined || !line) return null;
  const value = line.values[hover.step];
  return (
    <div class="tip" style={placeOf(hover, width)}>
      <div class="dim">{formatTime(time * 1000)} UTC</div>
      <div>
        <i class="swatch" style={{ background: line.color }} /> <b>{value == null ? "no value" : short(value)}</b>
      </div>
      <code>{line.text}</code>
    </div>
  );
}
