// The series of a graph with figures; a click shows one alone, with Ctrl or Shift more.

import { useMemo, useState } from "preact/hooks";
import { plural, short } from "../lib/format.ts";
import { type Labels, seriesText } from "../lib/labels.ts";
import type { Line } from "./plot.ts";

interface Props {
  lines: readonly Line[];
  shared: Labels;
  chosen: ReadonlySet<number>;
  onChoose: (chosen: ReadonlySet<number>) => void;
  /** The step below the cursor. */
  step: number | undefined;
}

interface Figures {
  last: number;
  min: number;
  max: number;
  mean: number;
}

const COLUMNS = ["last", "min", "mean", "max"] as const;
const ROWS = 20;

export function figures(values: readonly (number | null)[]): Figures {
  const out = { last: NaN, min: Infinity, max: -Infinity, mean: NaN };
  let [sum, n] = [0, 0];
  for (const value of values) {
    if (value === null) continue;
    out.last = value;
    out.min = Math.min(out.min, value);
    out.max = Math.max(out.max, value);
    sum += value;
    n++;
  }
  return n === 0 ? { last: NaN, min: NaN, max: NaN, mean: NaN } : { ...out, mean: sum / n };
}

export function Legend({ lines, shared, chosen, onChoose, step }: Props) {
  const [sort, setSort] = useState<keyof Figures | undefined>();
  const [isAll, setAll] = useState(false);
  const rows = useMemo(() => {
    const all = lines.map((line, i) => ({ line, i, figures: figures(line.values) }));
    const key = (f: Figures) => (sort === undefined || Number.isNaN(f[sort]) ? -Infinity : f[sort]);
    return sort === undefined ? all : all.sort((a, b) => key(b.figures) - key(a.figures));
  }, [lines, sort]);
  const click = (i: number, isMore: boolean) => {
    const next = new Set(isMore ? chosen : []);
    if (chosen.has(i) && (isMore || chosen.size === 1)) next.delete(i);
    else next.add(i);
    onChoose(next);
  };
  const shown = isAll ? rows : rows.slice(0, ROWS);
  const sharedText = Object.keys(shared).length > 0 ? seriesText(shared) : "";
  return (
    <div class="legend">
      <table>
        <thead>
          <tr>
            <th scope="col">
              {plural(lines.length, "series", "series")}
              {sharedText && lines.length > 1 ? <span class="dim"> all with <code>{sharedText}</code></span> : null}
            </th>
            {COLUMNS.map((name) => (
              <th scope="col" class="n" key={name} aria-sort={sort === name ? "descending" : "none"}>
                <button class="plain" onClick={() => setSort(sort === name ? undefined : name)}>
                  {name === "last" && step !== undefined ? "at cursor" : name}
                  {sort === name ? " ↓" : ""}
                </button>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {shown.map(({ line, i, figures }) => (
            <tr key={i} class={line.isShown ? "" : "off"}>
              <td>
                <button class="plain series" aria-pressed={chosen.has(i)} title="Click: alone. Ctrl-click: more." onClick={(e) => click(i, e.ctrlKey || e.metaKey || e.shiftKey)}>
                  <i class="swatch" style={{ background: line.color }} />
                  <code>{line.text}</code>
                </button>
              </td>
              {COLUMNS.map((name) => (
                <td class="n" key={name}>{cell(name === "last" && step !== undefined ? line.values[step] : figures[name])}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length > shown.length ? <button onClick={() => setAll(true)}>Show all {rows.length} series</button> : null}
    </div>
  );
}

function cell(value: number | null | undefined): string {
  return value == null || Number.isNaN(value) ? "–" : short(value);
}
