// Exemplars of a query: single observations with the trace that they belong to.

import { useMemo } from "preact/hooks";
import type { Params } from "../lib/api.ts";
import { plural, short } from "../lib/format.ts";
import { useApi } from "../lib/hooks.ts";
import { type Labels, seriesText } from "../lib/labels.ts";
import { formatTime } from "../lib/time.ts";
import { Copy } from "../parts/copy.tsx";
import { Failure } from "../parts/message.tsx";
import type { Dot } from "./plot.ts";
import { number } from "./result.ts";
import type { Range } from "./state.ts";

/** An entry of `/api/v1/query_exemplars`. */
export interface ExemplarSeries {
  seriesLabels: Labels;
  exemplars: { labels: Labels; value: string; timestamp: number }[];
}

export interface Exemplars {
  dots: readonly Dot[];
  list: preact.JSX.Element | null;
}

const NONE: readonly Dot[] = [];
export const NO_EXEMPLARS: Exemplars = { dots: NONE, list: null };
/** Of more, those with the highest values are shown. */
const DOTS_MAX = 500;
const ROWS = 20;

export function dotsOf(all: readonly ExemplarSeries[]): Dot[] {
  const dots = all.flatMap(({ seriesLabels, exemplars }) =>
    exemplars.map(({ labels, value, timestamp }) => ({ at_s: timestamp, value: number(value), text: `${seriesText(labels)} ${seriesText(seriesLabels)}` })),
  );
  return dots.filter((dot) => Number.isFinite(dot.value)).sort((a, b) => b.value - a.value);
}

/** `expr` undefined asks nothing. */
export function useExemplars(expr: string | undefined, range: Range, params: Params): Exemplars {
  const asked = { ...params, query: expr ?? "", start: range.start_ms / 1000, end: range.end_ms / 1000 };
  const loaded = useApi<ExemplarSeries[]>(expr === undefined ? undefined : "api/v1/query_exemplars", asked);
  const dots = useMemo(() => (loaded.answer ? dotsOf(loaded.answer.data) : NONE), [loaded.answer]);
  const shown = useMemo(() => (expr === undefined ? NONE : dots.slice(0, DOTS_MAX)), [dots, expr === undefined]);
  if (expr === undefined) return NO_EXEMPLARS;
  if (loaded.error) return { dots: NONE, list: <Failure error={loaded.error} retry={loaded.reload} /> };
  if (!loaded.answer) return NO_EXEMPLARS;
  if (dots.length === 0) return { dots: NONE, list: <p class="note">No exemplars in this time. Targets expose them in OpenMetrics; the server keeps them with --enable-feature=exemplar-storage.</p> };
  return { dots: shown, list: <List all={dots} shown={shown} /> };
}

function List({ all, shown }: { all: readonly Dot[]; shown: readonly Dot[] }) {
  return (
    <details>
      <summary>{plural(all.length, "exemplar")}{shown.length < all.length ? `, the ${shown.length} highest in the graph` : ""}</summary>
      <div class="scroll">
        <table class="result">
          <thead><tr><th scope="col">Time</th><th scope="col" class="n">Value</th><th scope="col">Labels</th></tr></thead>
          <tbody>
            {shown.slice(0, ROWS).map((dot) => (
              <tr key={`${dot.at_s} ${dot.text}`}>
                <td class="nowrap">{formatTime(dot.at_s * 1000)}</td><td class="n">{short(dot.value)}</td>
                <td class="wrap"><code>{dot.text}</code><Copy text={dot.text} what="the exemplar's labels" /></td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}
