// Queries: those under way, and those that ended last by what they took, alone or by panel, dashboard, text.

import { useState } from "preact/hooks";
import { post, textOf, urlOf } from "../lib/api.ts";
import { bytes, count, plural } from "../lib/format.ts";
import { useApi } from "../lib/hooks.ts";
import { useParam } from "../lib/router.ts";
import { ago, formatTime, roughDuration } from "../lib/time.ts";
import { Choice, JsonLink, queryHref } from "../parts/list.tsx";
import { Busy, Empty, Failure } from "../parts/message.tsx";

interface Asked {
  query: string;
  start: number | null;
  end: number;
  step: number | null;
  tenant: string;
  dashboard: string;
  panel: string;
  began: string;
  seconds: number;
}

interface Active extends Asked {
  id: string;
}

interface Cost {
  seconds: number;
  series: number;
  samples: number;
  chunkBytes: number;
  peakBytes: number;
}

interface Ended extends Asked, Cost {
  error: string | null;
}

interface Group extends Cost {
  dashboard: string;
  panel: string;
  query: string;
  count: number;
  failed: number;
}

interface Page<T> {
  total: number;
  items: T[];
}

type Sort = "" | "time" | "series" | "samples" | "bytes" | "memory";
type By = "" | "query" | "panel" | "dashboard";
const SORTS: [Sort, string][] = [["", "Time taken"], ["samples", "Samples"], ["series", "Series"], ["bytes", "Bytes"], ["memory", "Memory"], ["time", "Latest"]];
const GROUPS: [By, string][] = [["", "Each"], ["query", "By text"], ["panel", "By panel"], ["dashboard", "By dashboard"]];
const PATH = "api/v1/status/queries";
const PAGE = 50;

export default function Queries() {
  return (
    <main>
      <h1>Queries</h1>
      <UnderWay />
      <Done />
    </main>
  );
}

function UnderWay() {
  const loaded = useApi<Page<Active>>(PATH, { limit: PAGE }, 2_000);
  const [failure, setFailure] = useState<unknown>(undefined);
  const active = loaded.answer?.data.items ?? [];
  const total = loaded.answer?.data.total ?? 0;
  const cancel = (id: string) => post(`${PATH}/cancel`, { id }).then(() => setFailure(undefined), setFailure).then(loaded.reload);
  return (
    <section aria-label="Under way">
      <div class="row">
        <h2>Under way</h2>
        <span>{loaded.answer ? plural(total, "query", "queries") : ""}</span>
        <span class="push" />
        <JsonLink href={urlOf(PATH).href} />
      </div>
      <Failure error={loaded.error} retry={loaded.reload} />
      {failure === undefined ? null : <div class="message warn" role="alert">Not cancelled: {textOf(failure)}</div>}
      {active.length > 0 ? (
        <div class="scroll">
          <table class="list">
            <thead><tr><th scope="col">Query</th><th scope="col">Range</th><th scope="col" class="n">For</th><th scope="col">From</th><th scope="col"><span class="hidden">Cancel</span></th></tr></thead>
            <tbody>
              {active.map((q) => (
                <tr key={q.id}>
                  <td class="wrap"><Text asked={q} /></td><td class="nowrap">{range(q)}</td><td class="n" data-label="for">{roughDuration(q.seconds * 1000)}</td>
                  <td class="wrap"><Origin of={q} /></td><td><button onClick={() => cancel(q.id)}>Cancel</button></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      ) : null}
      {total > active.length ? <p class="note">The oldest {active.length} of {count(total)}.</p> : null}
    </section>
  );
}

function Done() {
  const [sort, setSort] = useParam("sort");
  const [by, setBy] = useParam("by");
  const [at, setAt] = useState(0);
  const first = <T,>(set: (value: T) => void) => (value: T) => { setAt(0); set(value); };
  const params = { state: "ended", sort, group: by, limit: PAGE, offset: at };
  const loaded = useApi<Page<Ended & Group>>(PATH, params, 15_000);
  const { total, items } = loaded.answer?.data ?? { total: 0, items: [] };
  return (
    <section aria-label="Ended last">
      <div class="row">
        <h2>Ended last</h2>
        <Choice label="Group" values={GROUPS} value={by as By} onValue={first(setBy)} />
        <Choice label="Order" values={SORTS} value={sort as Sort} onValue={first(setSort)} />
        <span class="push" />
        <JsonLink href={urlOf(PATH, params).href} />
      </div>
      <Busy isLoading={loaded.isLoading} />
      <Failure error={loaded.error} retry={loaded.reload} />
      {loaded.answer && total === 0 ? <Empty>No query has ended since this process began.</Empty> : null}
      {items.length > 0 ? (
        <div class="scroll">
          <table class="list">
            <thead>
              <tr>
                <th scope="col">{by === "" || by === "query" ? "Query" : "Origin"}</th>
                {by === "" ? <><th scope="col">Range</th><th scope="col">From</th><th scope="col">Began</th></> : <><th scope="col" class="n">Queries</th><th scope="col" class="n">Failed</th></>}
                <th scope="col" class="n">Took</th><th scope="col" class="n">Series</th><th scope="col" class="n">Samples</th><th scope="col" class="n">Bytes</th><th scope="col" class="n">Memory</th>
              </tr>
            </thead>
            <tbody>{items.map((one, i) => (by === "" ? <One key={i} ended={one} /> : <Together key={i} group={one} isText={by === "query"} />))}</tbody>
          </table>
        </div>
      ) : null}
      {total > PAGE ? (
        <div class="row">
          <button disabled={at === 0} onClick={() => setAt(Math.max(at - PAGE, 0))}>Before</button>
          <span>{at + 1} – {Math.min(at + PAGE, total)} of {count(total)}</span>
          <button disabled={at + PAGE >= total} onClick={() => setAt(at + PAGE)}>Next</button>
        </div>
      ) : null}
    </section>
  );
}

function One({ ended }: { ended: Ended }) {
  const began = Date.parse(ended.began);
  return (
    <tr>
      <td class="wrap"><Text asked={ended} />{ended.error === null ? null : <> <span class="pill bad">{ended.error}</span></>}</td>
      <td class="nowrap">{range(ended)}</td><td class="wrap"><Origin of={ended} /></td><td class="nowrap" title={formatTime(began)}>{ago(began, Date.now())}</td>
      <Costs cost={ended} />
    </tr>
  );
}

function Together({ group, isText }: { group: Group; isText: boolean }) {
  return (
    <tr>
      <td class="wrap">{isText ? <a href={queryHref(group.query)}><code>{group.query}</code></a> : <Origin of={group} />}</td>
      <td class="n" data-label="queries">{count(group.count)}</td><td class="n" data-label="failed">{group.failed > 0 ? <b class="bad-text">{count(group.failed)}</b> : 0}</td>
      <Costs cost={group} />
    </tr>
  );
}

function Costs({ cost }: { cost: Cost }) {
  return (
    <>
      <td class="n" data-label="took">{roughDuration(cost.seconds * 1000)}</td><td class="n" data-label="series">{count(cost.series)}</td><td class="n" data-label="samples">{count(cost.samples)}</td>
      <td class="n" data-label="bytes">{bytes(cost.chunkBytes)}</td><td class="n" data-label="memory">{bytes(cost.peakBytes)}</td>
    </>
  );
}

function Text({ asked }: { asked: Asked }) {
  const rest = asked.start === null ? { end_ms: asked.end * 1000 } : { end_ms: asked.end * 1000, range_ms: Math.max((asked.end - asked.start) * 1000, 1000) };
  return <a href={queryHref(asked.query, asked.start === null ? "table" : "graph", rest)}><code>{asked.query}</code></a>;
}

/** Grafana says by two headers which panel of which dashboard asks. */
function Origin({ of }: { of: { dashboard: string; panel: string; tenant?: string } }) {
  if (of.dashboard === "" && of.panel === "") return <span class="dim">no dashboard</span>;
  return <>dashboard <code>{of.dashboard}</code>{of.panel === "" ? null : <>, panel <code>{of.panel}</code></>}</>;
}

function range(asked: Asked): string {
  if (asked.start === null) return "instant";
  return `${roughDuration((asked.end - asked.start) * 1000)}, step ${roughDuration((asked.step ?? 0) * 1000)}`;
}
