// What the compactor does, has still to do, and leaves alone.

import { urlOf } from "../lib/api.ts";
import { bytes, count, percent, plural } from "../lib/format.ts";
import { useApi } from "../lib/hooks.ts";
import type { Labels } from "../lib/labels.ts";
import { ago, formatTime, roughDuration } from "../lib/time.ts";
import { LabelTags } from "../parts/labels.tsx";
import { JsonLink, useRows, useSearch } from "../parts/list.tsx";
import { Busy, Empty, Failure } from "../parts/message.tsx";

interface Running {
  kind: string;
  labels: string;
  inputs: string[];
  bytes: number;
  began: string;
  share: number;
  etaSeconds: number | null;
}

interface Recent {
  kind: string;
  labels: string;
  inputs: string[];
  outcome: string;
  ended: string;
  seconds: number;
}

interface Todo {
  compactions: number;
  blocks: number;
  bytes: number;
}

interface Group {
  key: string;
  labels: Labels;
  resolution: string;
  state: string;
  blocks: number;
  bytes: number;
  minTime: number | null;
  maxTime: number | null;
  plan: string[] | null;
  todo: Todo;
  etaSeconds: number | null;
}

interface Case {
  what: string;
  reason: string;
  hint: string;
  failures: number;
  since: string;
  until: string;
}

interface Unused {
  block: string;
  reason: string;
  hint: string;
}

interface Status {
  holder: string;
  refreshedAt: string;
  groups: Group[];
  running: Running[];
  recent: Recent[];
  todo: Todo & { bytesPerSecond: number | null; etaSeconds: number | null };
  quarantine: { groups: Case[]; blocks: Case[] };
  broken: Unused[];
  unreadable: Unused[];
}

export default function Pipeline() {
  const loaded = useApi<Status>("api/v1/compact/status", {}, 5_000);
  const status = loaded.answer?.data;
  return (
    <main>
      <h1>Pipeline</h1>
      <Busy isLoading={loaded.isLoading} />
      <Failure error={loaded.error} retry={loaded.reload} />
      {status ? (
        <>
          <Summary status={status} />
          <Trouble status={status} />
          <Work running={status.running} />
          <Groups groups={status.groups} />
          <Ended recent={status.recent} />
        </>
      ) : null}
      <Deletions />
    </main>
  );
}

function Summary({ status }: { status: Status }) {
  const { todo } = status;
  const at = Date.parse(status.refreshedAt);
  return (
    <div class="row">
      <span><b>{todo.compactions === 0 ? "Nothing to compact" : plural(todo.compactions, "compaction")}</b>{todo.compactions > 0 ? ` to do: ${plural(todo.blocks, "block")}, ${bytes(todo.bytes)}` : ""}</span>
      {todo.bytesPerSecond ? <span class="dim">{bytes(todo.bytesPerSecond)}/s a task</span> : null}
      {todo.compactions > 0 ? <span class="dim">{todo.etaSeconds === null ? "no estimate before the first task has ended" : `about ${roughDuration(todo.etaSeconds * 1000)} left`}</span> : null}
      <span class="dim">bucket read {at > 0 ? ago(at, Date.now()) : "never"} by {status.holder}</span>
      <span class="push" />
      <a href="blocks">Blocks</a> <JsonLink href={urlOf("api/v1/compact/status").href} />
    </div>
  );
}

function Trouble({ status }: { status: Status }) {
  const cases = [...status.quarantine.groups, ...status.quarantine.blocks];
  const unused = [...status.broken, ...status.unreadable];
  if (cases.length + unused.length === 0) return null;
  return (
    <section aria-label="Left alone">
      <h2>Left alone for now</h2>
      {cases.map((c) => (
        <div class="message warn" key={c.what}>
          <b>{c.what}</b>: {c.reason} <span class="dim">{plural(c.failures, "failure")} since {formatTime(Date.parse(c.since))}, next try {formatTime(Date.parse(c.until))}</span>
          <div>What to do: {c.hint}</div>
        </div>
      ))}
      {unused.map((u) => <div class="message bad" key={u.block}><b><code>{u.block}</code></b>: {u.reason}<div>What to do: {u.hint}</div></div>)}
    </section>
  );
}

function Work({ running }: { running: readonly Running[] }) {
  if (running.length === 0) return null;
  return (
    <section aria-label="Under way">
      <h2>Under way</h2>
      <table class="list">
        <thead><tr><th scope="col">What</th><th scope="col">Stream</th><th scope="col" class="n">Blocks</th><th scope="col" class="n">Size</th><th scope="col">Read</th><th scope="col" class="n">Left</th></tr></thead>
        <tbody>
          {running.map((r) => (
            <tr key={r.began + r.labels + r.kind}>
              <td>{r.kind}</td><td class="wrap"><code>{r.labels}</code></td><td class="n" data-label="blocks" title={r.inputs.join("\n")}>{r.inputs.length}</td><td class="n">{bytes(r.bytes)}</td>
              <td><progress max={1} value={r.share} aria-label={`${percent(r.share)} read`} /> {percent(r.share)}</td>
              <td class="n">{r.etaSeconds === null ? "–" : roughDuration(r.etaSeconds * 1000)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

const PILLS: Record<string, string> = { running: "good", planned: "warn", quarantined: "bad" };
const ORDER = ["quarantined", "running", "another compactor's", "planned", "idle"];

function Groups({ groups }: { groups: readonly Group[] }) {
  const [search, fits] = useSearch("Find by label, state");
  const sorted = [...groups].sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state) || b.todo.bytes - a.todo.bytes || b.bytes - a.bytes);
  const found = sorted.filter((g) => fits(JSON.stringify(g.labels), g.state, g.resolution));
  const { shown, more } = useRows(found, 100);
  return (
    <section aria-label="Groups">
      <div class="row"><h2>Groups</h2>{search}<span class="dim">{plural(groups.length, "group")}</span></div>
      {groups.length === 0 ? <Empty>The bucket has no blocks.</Empty> : null}
      <div class="scroll">
        <table class="list">
          <thead><tr><th scope="col">Stream</th><th scope="col">Resolution</th><th scope="col">State</th><th scope="col">Times</th><th scope="col" class="n">Blocks</th><th scope="col" class="n">Size</th><th scope="col" class="n">To do</th><th scope="col" class="n">Left</th></tr></thead>
          <tbody>
            {shown.map((g) => (
              <tr key={g.key}>
                <td><LabelTags labels={g.labels} /></td><td>{g.resolution}</td><td><span class={`pill ${PILLS[g.state] ?? "none"}`} title={g.plan?.join("\n")}>{g.state}</span></td>
                <td class="nowrap">{g.minTime === null || g.maxTime === null ? "" : `${formatTime(g.minTime).slice(0, 16)} – ${formatTime(g.maxTime).slice(0, 16)}`}</td>
                <td class="n" data-label="blocks">{count(g.blocks)}</td><td class="n">{bytes(g.bytes)}</td>
                <td class="n" data-label="to do">{g.todo.compactions > 0 ? `${count(g.todo.compactions)}, ${bytes(g.todo.bytes)}` : "–"}</td>
                <td class="n">{g.todo.compactions > 0 && g.etaSeconds !== null ? roughDuration(g.etaSeconds * 1000) : "–"}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {more}
    </section>
  );
}

/** The API's words for what is no error. */
const OUTCOMES: Record<string, string> = { progress: "done", stale: "planned again: the bucket had changed", cancelled: "stopped with the compactor", "lease lost": "given up: another compactor took over" };

function Ended({ recent }: { recent: readonly Recent[] }) {
  const { shown, more } = useRows(recent, 15);
  if (recent.length === 0) return null;
  return (
    <section aria-label="Done last">
      <h2>Done last</h2>
      <div class="scroll">
        <table class="list">
          <thead><tr><th scope="col">Ended</th><th scope="col">What</th><th scope="col">Stream</th><th scope="col" class="n">Blocks</th><th scope="col" class="n">Took</th><th scope="col">Outcome</th></tr></thead>
          <tbody>
            {shown.map((r, i) => (
              <tr key={i}><td class="nowrap">{ago(Date.parse(r.ended), Date.now())}</td><td>{r.kind}</td><td class="wrap"><code>{r.labels}</code></td><td class="n" data-label="blocks" title={r.inputs.join("\n")}>{r.inputs.length}</td><td class="n">{roughDuration(r.seconds * 1000)}</td><td class="wrap">{OUTCOMES[r.outcome] ?? r.outcome}</td></tr>
            ))}
          </tbody>
        </table>
      </div>
      {more}
    </section>
  );
}

interface Deletion {
  request: Record<string, unknown>;
  done: string | null;
  blocksLeft: number;
  mayBeMore: boolean;
}

function Deletions() {
  const loaded = useApi<{ requests: Deletion[] }>("api/v1/compact/deletions", {}, 15_000);
  const requests = loaded.answer?.data.requests ?? [];
  if (requests.length === 0) return null;
  return (
    <section aria-label="Requests to delete series">
      <h2>Requests to delete series</h2>
      <table class="list">
        <thead><tr><th scope="col">Request</th><th scope="col">State</th></tr></thead>
        <tbody>
          {requests.map((d, i) => (
            <tr key={i}>
              <td class="wrap"><code>{JSON.stringify(d.request)}</code></td>
              <td>{d.done ? <span class="pill good">done {formatTime(Date.parse(d.done))}</span> : <span class="pill warn">{plural(d.blocksLeft, "block")} left{d.mayBeMore ? ", perhaps more" : ""}</span>}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
