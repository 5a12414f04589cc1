// Alerts: what fires now, since when, and how often it did before.

import { useMemo, useState } from "preact/hooks";
import { urlOf } from "../lib/api.ts";
import { plural, short } from "../lib/format.ts";
import { useApi } from "../lib/hooks.ts";
import { type Labels, quoted, seriesText, without } from "../lib/labels.ts";
import { useParam } from "../lib/router.ts";
import { formatDuration, formatTime, roughDuration } from "../lib/time.ts";
import { LabelTags } from "../parts/labels.tsx";
import { Choice, JsonLink, QueryLink, queryHref, useRows, useSearch } from "../parts/list.tsx";
import { Annotations, Busy, Empty, Failure } from "../parts/message.tsx";
import type { MatrixEntry } from "../query/result.ts";
import { type Past, STEP_MS, type Span, WEEK_MS, curve, pastOf, pastQuery } from "./firings.ts";
import { type Group, type Rule, useGroups } from "./rules.tsx";

export interface Alert {
  labels: Labels;
  annotations: Labels;
  state: string;
  activeAt: string;
  value: string;
}

type State = "" | "firing" | "pending" | "inactive";
const STATES: [State, string][] = [["", "All"], ["firing", "Firing"], ["pending", "Pending"], ["inactive", "Inactive"]];
const ORDER = ["firing", "pending", "unknown", "inactive"];
const PILLS: Record<string, string> = { firing: "bad", pending: "warn", inactive: "good", unknown: "none" };

export default function Alerts() {
  const loaded = useGroups({ type: "alert" }, 15_000);
  const [search, fits] = useSearch("Find by name, label, annotation");
  const [state, setState] = useParam("state");
  const known = useMemo(() => {
    const all = (loaded.items ?? []).flatMap((group) => group.rules.map((rule) => ({ rule, group })));
    return all.filter(({ rule }) => rule.type === "alerting");
  }, [loaded.items]);
  const past = usePast(known.map(({ rule }) => rule));
  const rules = useMemo(() => {
    const all = known.map(({ rule, group }) => ({ rule, group, past: past.answer ? pastOf(rule, past.answer.data.result) : undefined }));
    const last = (past: Past | undefined) => past?.firing.at(-1)?.to_ms ?? 0;
    return all.sort((a, b) => ORDER.indexOf(a.rule.state ?? "") - ORDER.indexOf(b.rule.state ?? "") || last(b.past) - last(a.past));
  }, [known, past.answer]);
  const kept = rules.filter(({ rule, group }) => (state === "" || rule.state === state) && fits(rule.name, group.name, JSON.stringify(rule.labels), JSON.stringify(rule.annotations), JSON.stringify((rule.alerts ?? []).map((a) => a.labels))));
  const { shown, more } = useRows(kept, 100);
  const of = (wanted: string) => rules.filter(({ rule }) => rule.state === wanted).length;
  return (
    <main>
      <h1>Alerts</h1>
      <div class="row">
        {search}
        <Choice label="State" values={STATES} value={state as State} onValue={setState} />
        <span><b class={of("firing") > 0 ? "bad-text" : ""}>{of("firing")} firing</b>, {of("pending")} pending, {of("inactive")} inactive</span>
        <span class="push" />
        <JsonLink href={urlOf("api/v1/rules", { type: "alert" }).href} />
      </div>
      <Busy isLoading={loaded.isLoading} />
      <Failure error={loaded.error} retry={loaded.reload} />
      {loaded.first ? <Annotations warnings={loaded.first.warnings} infos={loaded.first.infos} /> : null}
      <Failure error={past.error} />
      {loaded.items && rules.length === 0 ? <Empty>No alerting rules are loaded.</Empty> : null}
      {shown.length > 0 ? (
        <div class="scroll">
          <table class="list">
            <thead><tr><th scope="col">State</th><th scope="col">Alert</th><th scope="col" class="n">Active</th><th scope="col">Last 7 days</th><th scope="col">Query</th><th scope="col">Group</th></tr></thead>
            <tbody>{shown.map(({ rule, group, past }) => <Row key={group.file + group.name + rule.name + JSON.stringify(rule.labels)} rule={rule} group={group} past={past} />)}</tbody>
          </table>
        </div>
      ) : null}
      {more}
    </main>
  );
}

function Row({ rule, group, past }: { rule: Rule; group: Group; past: Past | undefined }) {
  const alerts = rule.alerts ?? [];
  const [isOpen, setOpen] = useState(alerts.length > 0 && alerts.length <= 5);
  return (
    <>
      <tr>
        <td><span class={`pill ${PILLS[rule.state ?? "unknown"] ?? "none"}`}>{rule.state}</span></td>
        <td class="wrap">
          <button class="plain" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}><b>{isOpen ? "▾" : "▸"} {rule.name}</b></button> <LabelTags labels={rule.labels ?? {}} />
          {rule.lastError ? <div class="bad-text wrap">{rule.lastError}</div> : null}
        </td>
        <td class="n">{alerts.length > 0 ? alerts.length : ""}</td>
        <td>{past ? <Week rule={rule} past={past} /> : null}</td>
        <td class="wrap"><QueryLink expr={rule.query} />{rule.duration ? <span class="dim"> for {formatDuration(rule.duration * 1000)}</span> : null}</td>
        <td class="dim wrap">{group.name}</td>
      </tr>
      {isOpen ? <tr><td /><td colSpan={5}><Details rule={rule} alerts={alerts} /></td></tr> : null}
    </>
  );
}

function Details({ rule, alerts }: { rule: Rule; alerts: readonly Alert[] }) {
  const { shown, more } = useRows(alerts, 50);
  const now = Date.now();
  return (
    <div class="details">
      {Object.entries(rule.annotations ?? {}).map(([name, value]) => <div key={name}><span class="dim">{name}:</span> <Annotation text={value} /></div>)}
      {shown.map((alert) => {
        const at = Date.parse(alert.activeAt);
        const own = without(alert.labels, { ...(rule.labels ?? {}), alertname: "" });
        const filled = Object.entries(alert.annotations ?? {}).filter(([name, value]) => rule.annotations?.[name] !== value);
        return (
          <div class="alert" key={seriesText(alert.labels)}>
            <span class={`pill ${PILLS[alert.state] ?? "none"}`}>{alert.state}</span> <LabelTags labels={own} />
            <span title={formatTime(at)}>active for {roughDuration(now - at)}</span>, value {short(Number(alert.value))}
            {filled.map(([name, value]) => <div key={name} class="wrap"><span class="dim">{name}:</span> <Annotation text={value} /></div>)}
          </div>
        );
      })}
      {more}
      {rule.name ? <div><a href={queryHref(`ALERTS{alertname=${quoted(rule.name)}}`, "graph", { range_ms: WEEK_MS })}>graph of its states in the last 7 days</a></div> : null}
    </div>
  );
}

function Annotation({ text }: { text: string }) {
  return /^https?:\/\/\S+$/.test(text) ? <a href={text} target="_blank" rel="noreferrer">{text}</a> : <>{text}</>;
}

/** What fired in the last days; the end moves on with each half hour, so that bars stay where they are. */
function usePast(rules: readonly Rule[]) {
  const end = Math.ceil(Date.now() / STEP_MS) * STEP_MS;
  const params = { query: pastQuery(rules), start: (end - WEEK_MS) / 1000, end: end / 1000, step: STEP_MS / 1000 };
  return useApi<{ result: MatrixEntry[] }>(rules.length > 0 ? "api/v1/query_range" : undefined, params);
}

const LINKS_MAX = 3;
const MARGIN_MS = 3_600_000;

function Week({ rule, past }: { rule: Rule; past: Past }) {
  const end = Math.ceil(Date.now() / STEP_MS) * STEP_MS;
  const fired = past.firing.reduce((sum, span) => sum + span.to_ms - span.from_ms, 0);
  const bar = (kind: "pending" | "firing") => past[kind].map(({ from_ms, to_ms }) => (
    <rect key={kind + from_ms} class={kind} x={(from_ms - end + WEEK_MS) / STEP_MS} y={0} width={Math.max((to_ms - from_ms) / STEP_MS, 1)} height={10} />
  ));
  const said = fired > 0 ? `fired for about ${roughDuration(fired)}` : "did not fire";
  return (
    <div class="history">
      <svg viewBox={`0 0 ${WEEK_MS / STEP_MS} 10`} preserveAspectRatio="none" role="img" aria-label={`In the last 7 days it ${said}`}>
        {bar("pending")}{bar("firing")}
      </svg>
      {fired === 0 ? <span class="dim">{said}</span> : null}
      {past.firing.slice(-LINKS_MAX).reverse().map((span) => (
        <a key={span.from_ms} href={queryHref(curve(rule.query), "graph", around(span))}>fired {formatTime(span.from_ms).slice(0, 16)} – {formatTime(span.to_ms).slice(11, 16)}</a>
      ))}
      {past.firing.length > LINKS_MAX ? <span class="dim">and {plural(past.firing.length - LINKS_MAX, "time")} before</span> : null}
    </div>
  );
}

/** With an hour before and after. */
function around({ from_ms, to_ms }: Span) {
  const end_ms = Math.min(to_ms + MARGIN_MS, Date.now());
  return { end_ms, range_ms: end_ms - from_ms + MARGIN_MS };
}
