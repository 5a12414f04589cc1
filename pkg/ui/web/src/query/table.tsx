// Results of an instant query as a table.

import { useMemo, useState } from "preact/hooks";
import { Copy } from "../parts/copy.tsx";
import { plural } from "../lib/format.ts";
import { type Labels, seriesText, sortedPairs } from "../lib/labels.ts";
import { type NativeHistogram, type QueryData, type VectorEntry, number } from "./result.ts";

const ROWS = 200;

export function ResultTable({ data }: { data: QueryData }) {
  if (data.resultType === "scalar" || data.resultType === "string") {
    return <p class="scalar"><b>{data.result[1]}</b> <span class="dim">{data.resultType}</span></p>;
  }
  if (data.resultType === "matrix") return <MatrixTable rows={data.result.map((s) => ({ labels: s.metric, values: s.values ?? [] }))} />;
  return <VectorTable entries={data.result} />;
}

function MatrixTable({ rows }: { rows: { labels: Labels; values: [number, string][] }[] }) {
  return (
    <table class="result">
      <thead><tr><th scope="col">Series</th><th scope="col" class="n">Values</th></tr></thead>
      <tbody>
        {rows.slice(0, ROWS).map(({ labels, values }) => (
          <tr key={seriesText(labels)}>
            <td><Series labels={labels} /></td>
            <td class="n values">{values.slice(-100).map(([t, v]) => <div key={t}>{v} <span class="dim">@{t}</span></div>)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

type Order = "none" | "descending" | "ascending";
const NEXT: Record<Order, Order> = { none: "descending", descending: "ascending", ascending: "none" };

function VectorTable({ entries }: { entries: readonly VectorEntry[] }) {
  const [order, setOrder] = useState<Order>("none");
  const [find, setFind] = useState("");
  const [most, setMost] = useState(ROWS);
  const [isWide, setWide] = useState(false);
  const found = useMemo(() => {
    const words = find.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (e: VectorEntry) => words.every((word) => seriesText(e.metric).toLowerCase().includes(word));
    const kept = words.length > 0 ? entries.filter(fits) : [...entries];
    const value = (e: VectorEntry) => number(e.value?.[1] ?? e.histogram?.[1].count ?? "NaN");
    if (order === "none") return kept;
    return kept.sort((a, b) => (order === "descending" ? 1 : -1) * compare(value(b), value(a)));
  }, [entries, find, order]);
  const names = useMemo(() => [...new Set(entries.flatMap((e) => Object.keys(e.metric)))].sort(), [entries]);
  return (
    <>
      <div class="row">
        <span class="dim">{plural(found.length, "series", "series")}{found.length < entries.length ? ` of ${entries.length}` : ""}</span>
        <input type="search" class="small" placeholder="Filter rows" aria-label="Filter rows" value={find} onInput={(e) => setFind(e.currentTarget.value)} />
        <label><input type="checkbox" checked={isWide} onChange={() => setWide(!isWide)} /> labels as columns</label>
      </div>
      <div class="scroll">
        <table class="result">
          <thead>
            <tr>
              {isWide ? names.map((name) => <th scope="col" key={name}>{name}</th>) : <th scope="col">Series</th>}
              <th scope="col" class="n" aria-sort={order}>
                <button class="plain" onClick={() => setOrder(NEXT[order])}>Value {order === "none" ? "" : order === "descending" ? "↓" : "↑"}</button>
              </th>
            </tr>
          </thead>
          <tbody>
            {found.slice(0, most).map((entry) => (
              <tr key={seriesText(entry.metric)}>
                {isWide ? names.map((name) => <td key={name}>{entry.metric[name] ?? ""}</td>) : <td><Series labels={entry.metric} /></td>}
                <td class="n">{entry.histogram ? <Histogram of={entry.histogram[1]} /> : entry.value?.[1]}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {found.length > most ? <button onClick={() => setMost(most * 5)}>Show more: {plural(found.length - most, "row")} left</button> : null}
    </>
  );
}

function compare(a: number, b: number): number {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) ? (Number.isNaN(b) ? 0 : -1) : 1;
  return a - b;
}

function Histogram({ of }: { of: NativeHistogram }) {
  const buckets = of.buckets ?? [];
  const max = Math.max(...buckets.map((b) => number(b[3])), 1e-300);
  return (
    <details class="histogram">
      <summary>count {of.count}, sum {of.sum}</summary>
      <table>
        <tbody>
          {buckets.map(([, low, high, n]) => (
            <tr key={low + high}><td class="n">{low} – {high}</td><td class="n">{n}</td><td><meter min={0} max={max} value={number(n)} aria-label={`${low} to ${high}: ${n}`} /></td></tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}

export function Series({ labels }: { labels: Labels }) {
  const pairs = sortedPairs(labels);
  return (
    <code class="labels">
      <b>{labels.__name__}</b>
      {pairs.length > 0 || labels.__name__ === undefined ? "{" : ""}
      {pairs.map(([name, value], i) => (
        <span key={name}>{i > 0 ? ", " : ""}<span class="l-name">{name}</span>=<span class="l-value">"{value}"</span></span>
      ))}
      {pairs.length > 0 || labels.__name__ === undefined ? "}" : ""}
      <Copy text={seriesText(labels)} what="selector" />
    </code>
  );
}
