// Metrics: what they are, how many series they have, by which labels they differ.

import { useMemo, useState } from "preact/hooks";
import { urlOf } from "../lib/api.ts";
import { count, plural, short } from "../lib/format.ts";
import { useApi } from "../lib/hooks.ts";
import { type Labels, isPlainMetric, quoted } from "../lib/labels.ts";
import { useParam } from "../lib/router.ts";
import { ago } from "../lib/time.ts";
import { JsonLink, QueryLink, queryHref, useRows, useSearch } from "../parts/list.tsx";
import { Annotations, Busy, Empty, Failure } from "../parts/message.tsx";
import { NO_EXEMPLARS } from "../query/exemplars.tsx";
import { Graph } from "../query/graph.tsx";
import type { QueryData } from "../query/result.ts";
import { fresh, rangeOf } from "../query/state.ts";
import type { Site } from "../site.ts";

interface Meta {
  type: string;
  help: string;
  unit: string;
}

interface Statistics {
  seriesCountByMetricName: { name: string; value: number }[];
}

/** More names than a page can show; the search of the server narrows them. */
/** The same at each drawing, so that the graph is not made anew. */
const LOOK = { display: "lines", y_min: undefined } as const;
const NOTHING = [] as const;
const NAMES_MAX = 10_000;
const COUNTS_MAX = 1000;
const SERIES_MAX = 2000;

export default function Explore(_: { site: Site }) {
  const [metric, setMetric] = useParam("metric");
  const names = useApi<string[]>("api/v1/label/__name__/values", { limit: NAMES_MAX });
  const metadata = useApi<Record<string, Meta[]>>("api/v1/metadata", { limit_per_metric: 1, limit: NAMES_MAX });
  const statistics = useApi<Statistics>("api/v1/status/tsdb", { limit: COUNTS_MAX });
  const counts = useMemo(() => new Map((statistics.answer?.data.seriesCountByMetricName ?? []).map((e) => [e.name, e.value])), [statistics.answer]);
  const metas = metadata.answer?.data ?? {};
  return (
    <main>
      <h1>Explore metrics</h1>
      <Busy isLoading={names.isLoading} />
      <Failure error={names.error} retry={names.reload} />
      {names.answer ? <Annotations warnings={names.answer.warnings} infos={names.answer.infos} /> : null}
      {metric ? <Details key={metric} name={metric} meta={metaOf(metric, metas)} onClose={() => setMetric("")} /> : null}
      {names.answer ? <List names={names.answer.data} metas={metas} counts={counts} onPick={setMetric} /> : null}
    </main>
  );
}

/** Buckets, sums and counts are described below the name of their family. */
export function metaOf(name: string, metas: Record<string, Meta[]>): Meta | undefined {
  const family = [name, name.replace(/_(bucket|sum|count|total|created)$/, "")].find((n) => metas[n]?.[0]);
  return family === undefined ? undefined : metas[family]?.[0];
}

interface ListProps {
  names: readonly string[];
  metas: Record<string, Meta[]>;
  counts: ReadonlyMap<string, number>;
  onPick: (name: string) => void;
}

function List({ names, metas, counts, onPick }: ListProps) {
  const [search, fits] = useSearch("Find by name, help, type");
  const [order, setOrder] = useParam("order");
  const found = names.filter((name) => {
    const meta = metaOf(name, metas);
    return fits(name, meta?.help ?? "", meta?.type ?? "");
  });
  if (order === "series") found.sort((a, b) => (counts.get(b) ?? 0) - (counts.get(a) ?? 0));
  const { shown, more } = useRows(found, 100);
  return (
    <>
      <div class="row">
        {search} <span class="dim">{plural(found.length, "metric")}{names.length >= NAMES_MAX ? `, the first ${count(NAMES_MAX)} of all` : ""}</span>
        <span class="push" />
        <JsonLink href={urlOf("api/v1/label/__name__/values").href} />
      </div>
      {found.length === 0 ? <Empty>No metric fits.</Empty> : null}
      <div class="scroll">
        <table class="list">
          <thead>
            <tr>
              <th scope="col"><button class="plain" onClick={() => setOrder("")}>Metric {order === "series" ? "" : "↓"}</button></th>
              <th scope="col">Type</th>
              <th scope="col">Unit</th>
              <th scope="col" class="n"><button class="plain" onClick={() => setOrder("series")}>Series {order === "series" ? "↓" : ""}</button></th>
              <th scope="col">Help</th>
            </tr>
          </thead>
          <tbody>
            {shown.map((name) => {
              const meta = metaOf(name, metas);
              return (
                <tr key={name}>
                  <td><button class="link" onClick={() => { onPick(name); scrollTo(0, 0); }}><code>{name}</code></button></td>
                  <td>{meta?.type ?? ""}</td>
                  <td>{meta?.unit ?? ""}</td>
                  <td class="n" data-label={counts.has(name) ? "series" : undefined}>{counts.has(name) ? count(counts.get(name) ?? 0) : ""}</td>
                  <td class="dim">{meta?.help ?? ""}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      {more}
    </>
  );
}

function selector(name: string): string {
  return isPlainMetric(name) ? name : `{${quoted(name)}}`;
}

/** A query that says something of a metric of this type. */
export function suggested(name: string, type: string | undefined): string {
  const text = selector(name);
  if (/_bucket$/.test(name)) return `histogram_quantile(0.95, sum by (le) (rate(${text}[5m])))`;
  if (type === "histogram" && !/_(sum|count)$/.test(name)) return `histogram_quantile(0.95, sum(rate(${text}[5m])))`;
  if (type === "counter" || /_(total|sum|count)$/.test(name)) return `sum by (job) (rate(${text}[5m]))`;
  return `avg by (job) (${text})`;
}

function Details({ name, meta, onClose }: { name: string; meta: Meta | undefined; onClose: () => void }) {
  const expr = suggested(name, meta?.type);
  const range = useMemo(() => rangeOf(fresh(), Date.now()), []);
  const graph = useApi<QueryData>("api/v1/query_range", { query: expr, start: range.start_ms / 1000, end: range.end_ms / 1000, step: range.step_ms / 1000, limit: 50 });
  const total = useApi<QueryData>("api/v1/query", { query: `count(${selector(name)})` });
  const seen = useApi<QueryData>("api/v1/query", { query: `max(timestamp(${selector(name)}))` });
  const value = (data: QueryData | undefined) => (data?.resultType === "vector" ? data.result[0]?.value?.[1] : undefined);
  const data = graph.answer?.data;
  const last = value(seen.answer?.data);
  return (
    <section class="panel" aria-label={name}>
      <div class="row">
        <b><code>{name}</code></b>
        {meta ? <span class="tag">{meta.type}</span> : null}
        {meta?.unit ? <span class="tag">{meta.unit}</span> : null}
        <span>{total.answer ? plural(Number(value(total.answer.data) ?? 0), "series now", "series now") : ""}</span>
        <span class="dim">{last === undefined ? (seen.answer ? "no sample within the lookback" : "") : `last sample ${ago(Number(last) * 1000, Date.now())}`}</span>
        <span class="push" />
        <a href={queryHref(expr)}>Open in Query</a>
        <button class="quiet" onClick={onClose}>Close</button>
      </div>
      {meta?.help ? <div class="dim">{meta.help}</div> : null}
      <p class="note"><QueryLink expr={expr} /></p>
      <Failure error={graph.error} />
      {data?.resultType === "matrix" && data.result.length > 0 ? <Graph series={data.result} range={range} look={LOOK} missing={NOTHING} exemplars={NO_EXEMPLARS} onZoom={() => undefined}>{null}</Graph> : null}
      {data?.resultType === "matrix" && data.result.length === 0 ? <Empty>No data in the last hour.</Empty> : null}
      <LabelTable name={name} />
    </section>
  );
}

function LabelTable({ name }: { name: string }) {
  const loaded = useApi<Labels[]>("api/v1/series", { "match[]": selector(name), limit: SERIES_MAX });
  const [open, setOpen] = useState<string | undefined>();
  const series = loaded.answer?.data ?? [];
  const labels = useMemo(() => labelCounts(series), [series]);
  if (labels.length === 0) return <Failure error={loaded.error} />;
  return (
    <div class="scroll">
      <table class="list">
        <thead><tr><th scope="col">Label</th><th scope="col" class="n">Values</th><th scope="col">The most frequent{series.length >= SERIES_MAX ? ` of ${count(SERIES_MAX)} series` : ""}</th></tr></thead>
        <tbody>
          {labels.map(([label, values]) => (
            <tr key={label}>
              <td><QueryLink expr={`count by (${label}) (${selector(name)})`}><code>{label}</code></QueryLink></td>
              <td class="n" data-label="values">{count(values.length)}</td>
              <td>
                {values.slice(0, open === label ? 200 : 8).map(([text, n]) => (
                  <a class="tag" key={text} href={queryHref(`${name}{${label}=${quoted(text)}}`)} title={plural(n, "series", "series")}>{text || '""'} <span class="dim">{short(n)}</span></a>
                ))}
                {values.length > 8 && open !== label ? <button class="quiet" onClick={() => setOpen(label)}>{values.length - 8} more</button> : null}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Labels with their values and how many series have each, the most first. */
export function labelCounts(series: readonly Labels[]): [string, [string, number][]][] {
  const all = new Map<string, Map<string, number>>();
  for (const labels of series) {
    for (const [name, value] of Object.entries(labels)) {
      if (name === "__name__") continue;
      const values = all.get(name) ?? new Map<string, number>();
      all.set(name, values.set(value, (values.get(value) ?? 0) + 1));
    }
  }
  return [...all].map(([name, values]): [string, [string, number][]] => [name, [...values].sort(([, a], [, b]) => b - a)]).sort(([, a], [, b]) => b.length - a.length);
}
