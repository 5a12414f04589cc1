// The tree of a query. Each node is evaluated by itself: how many series it gives, what they differ in, what it takes.

import { useEffect, useState } from "preact/hooks";
import { type Params, call, isAbort, textOf } from "../lib/api.ts";
import { count, plural } from "../lib/format.ts";
import { useApi } from "../lib/hooks.ts";
import { roughDuration } from "../lib/time.ts";
import { Failure } from "../parts/message.tsx";
import { type Node, children, head, print } from "./ast.ts";
import type { QueryData } from "./result.ts";

interface Found {
  series: number;
  /** Labels with how many values, the most first. */
  labels: [string, number][];
  samples: number | undefined;
  ms: number;
}

type Outcome = Found | { error: string } | undefined;

/** Nodes beyond this many are shown and not evaluated. */
const EVALUATED_MAX = 40;
const SERIES_MAX = 10_000;

export function Parts({ expr, params }: { expr: string; params: Params }) {
  const parsed = useApi<Node>("api/v1/parse_query", { query: expr });
  const tree = parsed.answer?.data;
  const outcomes = useOutcomes(tree, params);
  if (parsed.error) return <Failure error={parsed.error} />;
  if (!tree) return null;
  let at = 0;
  const rows = (node: Node, depth: number): preact.JSX.Element[] => {
    const key = at++;
    const text = print(node);
    return [
      <tr key={key}>
        <td style={{ paddingLeft: `${8 + depth * 20}px` }}>
          <span class="dim">{depth > 0 ? "└ " : ""}</span>
          <code title={text}>{head(node)}</code>
        </td>
        <Row outcome={outcomes.get(text)} isLiteral={isLiteral(node)} />
      </tr>,
      ...children(node).flatMap((child) => rows(child, depth + 1)),
    ];
  };
  return (
    <div class="scroll">
      <table class="result explain">
        <thead>
          <tr><th scope="col">Part</th><th scope="col" class="n">Series</th><th scope="col" class="n">Samples</th><th scope="col" class="n">Time</th><th scope="col">Labels that differ</th></tr>
        </thead>
        <tbody>{rows(tree, 0)}</tbody>
      </table>
      <p class="note">Each part is evaluated alone at the end of the range. The time includes what lies below it.</p>
    </div>
  );
}

function isLiteral(node: Node): boolean {
  return node.type === "numberLiteral" || node.type === "stringLiteral";
}

function Row({ outcome, isLiteral }: { outcome: Outcome; isLiteral: boolean }) {
  if (isLiteral) return <td colSpan={4} class="dim">a constant</td>;
  if (outcome === undefined) return <td colSpan={4} class="dim">…</td>;
  if ("error" in outcome) return <td colSpan={4} class="bad-text">{outcome.error}</td>;
  return (
    <>
      <td class={outcome.series === 0 ? "n bad-text" : "n"}>{outcome.series === 0 ? "0, empty" : count(outcome.series)}</td>
      <td class="n">{outcome.samples === undefined ? "–" : count(outcome.samples)}</td>
      <td class="n">{roughDuration(outcome.ms)}</td>
      <td>{outcome.labels.map(([name, n]) => <span class="tag" key={name} title={plural(n, "value")}>{name} <span class="dim">{n}</span></span>)}</td>
    </>
  );
}

/** One after the other, so that explaining costs the server no more than asking does. */
function useOutcomes(tree: Node | undefined, params: Params): ReadonlyMap<string, Outcome> {
  const [outcomes, setOutcomes] = useState<ReadonlyMap<string, Outcome>>(new Map());
  useEffect(() => {
    setOutcomes(new Map());
    if (!tree) return undefined;
    const control = new AbortController();
    void (async () => {
      for (const text of parts(tree).slice(0, EVALUATED_MAX)) {
        const outcome = await evaluate(text, params, control.signal);
        if (control.signal.aborted) return;
        setOutcomes((old) => new Map(old).set(text, outcome));
      }
    })();
    return () => control.abort();
  }, [tree, JSON.stringify(params)]);
  return outcomes;
}

export function parts(node: Node): string[] {
  const own = isLiteral(node) ? [] : [print(node)];
  return [...new Set([...own, ...children(node).flatMap(parts)])];
}

async function evaluate(text: string, params: Params, signal: AbortSignal): Promise<Outcome> {
  try {
    const { data, ms } = await call<QueryData>("api/v1/query", { ...params, query: text, limit: SERIES_MAX, stats: "true" }, signal);
    const took = data.stats?.timings?.execTotalTime;
    const samples = data.stats?.samples?.samplesRead ?? data.stats?.samples?.totalQueryableSamples;
    const sets = data.resultType === "vector" || data.resultType === "matrix" ? data.result.map((r) => r.metric) : [{}];
    const values = new Map<string, Set<string>>();
    for (const set of sets) {
      for (const [name, value] of Object.entries(set)) values.set(name, (values.get(name) ?? new Set()).add(value));
    }
    const labels = [...values].map(([name, set]): [string, number] => [name, set.size]).filter(([, n]) => n > 1);
    labels.sort(([, a], [, b]) => b - a);
    return { series: sets.length, labels: labels.slice(0, 8), samples, ms: took === undefined ? ms : took * 1000 };
  } catch (error) {
    return isAbort(error) ? undefined : { error: textOf(error) };
  }
}
