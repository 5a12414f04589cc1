// The plan of a query as it was run: what each operator took. Below it the parts of the query, each by itself.

import { useState } from "preact/hooks";
import type { Params } from "../lib/api.ts";
import { bytes, count, percent, plural } from "../lib/format.ts";
import { useApi } from "../lib/hooks.ts";
import { formatTime, roughDuration } from "../lib/time.ts";
import { Annotations, Busy, Failure } from "../parts/message.tsx";
import { type Analysis, type Row, rowsOf } from "./analysis.ts";
import { Parts } from "./parts.tsx";
import type { QueryData } from "./result.ts";

interface Props {
  expr: string;
  /** Of the range query that is explained. */
  range: Params;
  /** Of the instant queries of its parts. */
  instant: Params;
}

interface Plan {
  passes?: { name: string; about: string; changes: string[] }[];
}

export function Explain({ expr, range, instant }: Props) {
  // One series is enough: what all take is counted all the same.
  const loaded = useApi<QueryData & { analysis?: Analysis }>("api/v1/query_range", { ...range, analyze: "true", limit: 1 });
  const { answer, error } = loaded;
  const analysis = answer?.data.analysis;
  const [isAsked, ask] = useState(false);
  const warnings = (answer?.warnings ?? []).filter((text) => !text.includes("truncated due to limit"));
  return (
    <>
      <Busy isLoading={loaded.isLoading} />
      <Failure error={error} retry={loaded.reload} />
      {answer ? <Annotations warnings={warnings} infos={answer.infos} /> : null}
      {analysis && !error ? <Operators analysis={analysis} range={range} /> : null}
      {analysis && !error ? <Passes range={range} /> : null}
      {answer && !analysis ? <p class="note">This server does not tell what its operators took (analyze); its parts are evaluated one by one instead.</p> : null}
      {(analysis || error) && !isAsked ? <button title="Asks one query for each part" onClick={() => ask(true)}>Evaluate each part by itself</button> : null}
      {(answer && !analysis) || isAsked ? <Parts expr={expr} params={instant} /> : null}
    </>
  );
}

function Operators({ analysis, range }: { analysis: Analysis; range: Params }) {
  const rows = rowsOf(analysis);
  const all_ms = rows[0]?.all_ms ?? 0;
  const most = rows.reduce<Row | undefined>((best, row) => (best === undefined || row.own_ms > best.own_ms ? row : best), undefined);
  const at = (seconds: unknown) => formatTime(Number(seconds) * 1000);
  return (
    <>
      <p class="note">
        {roughDuration(all_ms)} for {at(range.start)} – {at(range.end)}
        {most && all_ms > 0 ? <>; most of it, {percent(most.own_ms / all_ms)}, in <code>{most.name}</code></> : null}.
      </p>
      <div class="scroll" tabIndex={0} role="region" aria-label="Plan">
        <table class="result plan">
          <thead>
            <tr>
              <th scope="col">Operator</th><th scope="col" class="n">Own time</th><th scope="col" class="n">With those below</th><th scope="col" class="n">Series out</th>
              <th scope="col" class="n">Samples out</th><th scope="col" class="n">Samples read</th><th scope="col" class="n">Chunks read</th>
            </tr>
          </thead>
          <tbody>{rows.map((row, i) => <Operator key={i} row={row} all_ms={all_ms} isMost={row === most} />)}</tbody>
        </table>
      </div>
      <p class="note">Time includes waiting for data. What several places share counts where it was evaluated. Samples and chunks read are those of the operators below as well.</p>
    </>
  );
}

function Operator({ row, all_ms, isMost }: { row: Row; all_ms: number; isMost: boolean }) {
  const { depth, name, own_ms, of } = row;
  const share = (ms: number) => (all_ms > 0 ? Math.min(ms / all_ms, 1) * 100 : 0);
  const figure = (n: number | undefined, text: (n: number) => string = count) => (n === undefined ? "–" : text(n));
  return (
    <tr>
      <td>
        <div style={{ paddingLeft: `${Math.min(depth, 12) * 16}px` }}>
          <span class="dim">{depth > 0 ? "└ " : ""}</span>
          <code class={isMost ? "most" : ""}>{name}</code>
        </div>
        <svg class="share" viewBox="0 0 100 4" preserveAspectRatio="none" role="img" aria-label={`${percent(share(own_ms) / 100)} of the time by itself, ${percent(share(row.all_ms) / 100)} with those below`}>
          <rect class="all" width={share(row.all_ms)} height="4" />
          <rect class="own" width={share(own_ms)} height="4" />
        </svg>
      </td>
      <td class="n">{roughDuration(own_ms)} <span class="dim">{percent(share(own_ms) / 100)}</span></td>
      <td class="n">{roughDuration(row.all_ms)}</td>
      <td class={of.series === 0 ? "n bad-text" : "n"}>{of.series === 0 ? "0, empty" : figure(of.series)}</td>
      <td class="n">{figure(of.samples)}</td>
      <td class="n">{figure(of.samplesDecoded)}</td>
      <td class="n">{figure(of.chunkBytes, bytes)}</td>
    </tr>
  );
}

/** What was done to the plan before it ran. */
function Passes({ range }: { range: Params }) {
  const { answer } = useApi<Plan>("api/v1/query_range_explain", range);
  const changed = (answer?.data.passes ?? []).filter((pass) => pass.changes.length > 0);
  if (changed.length === 0) return null;
  return (
    <details>
      <summary>Made cheaper by {plural(changed.length, "pass", "passes")} of the planner</summary>
      <ul class="passes">{changed.map(({ name, about, changes }) => <li key={name}><code>{name}</code> <span class="dim">{about}</span> {changes.join("; ")}</li>)}</ul>
    </details>
  );
}
