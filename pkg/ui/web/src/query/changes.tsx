// Below a graph, when asked for: which series around it began, ended, came and went.

import { useMemo, useState } from "preact/hooks";
import type { Params } from "../lib/api.ts";
import { plural } from "../lib/format.ts";
import { useApi } from "../lib/hooks.ts";
import { type Labels, seriesText } from "../lib/labels.ts";
import { formatTime } from "../lib/time.ts";
import { LabelTags } from "../parts/labels.tsx";
import { queryHref, useRows } from "../parts/list.tsx";
import { Annotations, Busy, Failure } from "../parts/message.tsx";
import { type Change, changesOf, lookRange, scopeOf } from "./changes.ts";
import type { MatrixEntry } from "./result.ts";
import { type Range, SERIES_MAX } from "./state.ts";

interface Props {
  series: readonly MatrixEntry[];
  range: Range;
  params: Params;
}

export function Changes({ series, range, params }: Props) {
  const look = useMemo(() => lookRange(range), [range]);
  // What targets are told apart by.
  const named = useApi<string[]>("api/v1/labels", { "match[]": ["up"], start: look.start_ms / 1000, end: look.end_ms / 1000 });
  if (!named.answer && !named.error) return <Busy isLoading />;
  return <Looked series={series} range={range} params={params} look={look} targetLabels={named.answer?.data ?? []} />;
}

function Looked({ series, range, params, look, targetLabels }: Props & { look: Range; targetLabels: readonly string[] }) {
  const [scope, setScope] = useState(() => scopeOf(series, targetLabels));
  const [draft, setDraft] = useState(scope);
  const asked = { query: `last_over_time(${scope}[${look.step_ms / 1000}s])`, start: look.start_ms / 1000, end: look.end_ms / 1000, step: look.step_ms / 1000, limit: SERIES_MAX, ...params };
  const loaded = useApi<{ result: MatrixEntry[] }>(scope === "" ? undefined : "api/v1/query_range", asked);
  const found = useMemo(() => changesOf(loaded.answer?.data.result ?? [], look), [loaded.answer]);
  const { shown, more } = useRows(found, 20);
  const looked = loaded.answer?.data.result.length ?? 0;
  return (
    <section class="changes" aria-label="What changed">
      <form class="row" onSubmit={(e) => { e.preventDefault(); setScope(draft.trim()); }}>
        <h2>What changed</h2>
        <label class="field">among <input class="mono" aria-label="Series to look at" value={draft} placeholder={'{job="api"}'} onInput={(e) => setDraft(e.currentTarget.value)} /></label>
        <button>Look</button>
      </form>
      <Busy isLoading={loaded.isLoading} />
      <Failure error={loaded.error} retry={loaded.reload} />
      {loaded.answer ? <Annotations warnings={loaded.answer.warnings} infos={[]} /> : null}
      {scope === "" ? <p class="note">The series of this graph that moved most have no label of targets in common: say which series to look at.</p> : null}
      {loaded.answer && !loaded.error && found.length === 0 ? <p class="note">None of {plural(looked, "series", "series")} began, ended or paused in this time.</p> : null}
      {shown.length > 0 ? (
        <div class="scroll">
          <table class="list">
            <thead><tr><th scope="col">What</th><th scope="col">When</th><th scope="col" class="n">Series</th><th scope="col">Labels they share</th><th scope="col">Metrics</th></tr></thead>
            <tbody>{shown.map((change) => <Row key={change.kind + change.from_ms + change.to_ms} change={change} range={range} />)}</tbody>
          </table>
        </div>
      ) : null}
      {more}
    </section>
  );
}

const NAMES_MAX = 4;

function Row({ change, range }: { change: Change; range: Range }) {
  const { __name__: _, ...labels } = change.labels;
  const names = [...new Set(change.series.map((s) => s.__name__ ?? ""))];
  const window = { range_ms: range.end_ms - range.start_ms, end_ms: range.end_ms };
  return (
    <tr>
      <td class="nowrap"><b>{change.kind}</b></td>
      <td class="nowrap">{when(change)}</td>
      <td class="n" data-label="series">{change.series.length}</td>
      <td class="wrap"><LabelTags labels={labels} /></td>
      <td class="wrap">
        {names.slice(0, NAMES_MAX).map((name) => <a class="spaced" key={name} href={queryHref(selector(name, labels), "graph", window)}><code>{name}</code></a>)}
        {names.length > NAMES_MAX ? <span class="dim">and {plural(names.length - NAMES_MAX, "other")}</span> : null}
      </td>
    </tr>
  );
}

function selector(name: string, labels: Labels): string {
  return seriesText({ ...labels, __name__: name });
}

function when({ kind, from_ms, to_ms }: Change): string {
  const [from, to] = [formatTime(from_ms), formatTime(to_ms)];
  if (kind === "began") return from;
  if (kind === "ended") return to;
  return `${from} – ${from.slice(0, 10) === to.slice(0, 10) ? to.slice(11) : to}`;
}
