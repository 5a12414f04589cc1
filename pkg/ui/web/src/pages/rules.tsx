// Rules by group: whether they work, how long they take.

import { type Params, urlOf } from "../lib/api.ts";
import { plural } from "../lib/format.ts";
import type { Labels } from "../lib/labels.ts";
import { type All, useAll } from "../lib/pages.ts";
import { useParam } from "../lib/router.ts";
import { ago, formatDuration, formatTime, roughDuration } from "../lib/time.ts";
import { LabelTags } from "../parts/labels.tsx";
import { Choice, JsonLink, QueryLink, useRows, useSearch } from "../parts/list.tsx";
import { Annotations, Busy, Empty, Failure } from "../parts/message.tsx";
import type { Alert } from "./alerts.tsx";

export interface Rule {
  type: "alerting" | "recording";
  name: string;
  query: string;
  health: string;
  lastError?: string;
  lastEvaluation: string;
  evaluationTime: number;
  labels?: Labels;
  annotations?: Labels;
  duration?: number;
  keepFiringFor?: number;
  state?: string;
  alerts?: Alert[];
}

export interface Group {
  name: string;
  file: string;
  interval: number;
  evaluationTime: number;
  lastEvaluation: string;
  rules: Rule[];
}

interface RulePage {
  groups: Group[] | null;
  groupNextToken?: string;
}

/** Groups in one answer. */
const GROUPS = 50;

/** All groups, by pages. */
export function useGroups(params: Params, every_ms: number): All<RulePage, Group> {
  const names = { param: "group_next_token", next: (page: RulePage) => page.groupNextToken };
  return useAll<RulePage, Group>("api/v1/rules", { ...params, group_limit: GROUPS }, (page) => page.groups ?? [], every_ms, names);
}

type Kind = "" | "alerting" | "recording" | "failing";
const KINDS: [Kind, string][] = [["", "All"], ["alerting", "Alerting"], ["recording", "Recording"], ["failing", "Failing"]];

export default function Rules() {
  const loaded = useGroups({ exclude_alerts: "true" }, 30_000);
  const [search, fits] = useSearch("Find by name, query, group");
  const [kind, setKind] = useParam("kind");
  const groups = loaded.items ?? [];
  const kept = (group: Group) =>
    group.rules.filter((r) => (kind === "" || r.type === kind || (kind === "failing" && r.health !== "ok")) && fits(r.name, r.query, group.name, group.file));
  const all = groups.flatMap((g) => g.rules);
  const failing = all.filter((r) => r.health === "err").length;
  const shownGroups = groups.map((group) => ({ group, rules: kept(group) })).filter(({ rules }) => rules.length > 0);
  const { shown, more } = useRows(shownGroups, 100);
  return (
    <main>
      <h1>Rules</h1>
      <div class="row">
        {search}
        <Choice label="Kind" values={KINDS} value={kind as Kind} onValue={setKind} />
        <span>{plural(all.length, "rule")} in {plural(groups.length, "group")}{failing > 0 ? <b class="bad-text">, {failing} failing</b> : null}</span>
        <span class="push" />
        <JsonLink href={urlOf("api/v1/rules").href} />
      </div>
      <Busy isLoading={loaded.isLoading} />
      <Failure error={loaded.error} retry={loaded.reload} />
      {loaded.first ? <Annotations warnings={loaded.first.warnings} infos={loaded.first.infos} /> : null}
      {loaded.items && groups.length === 0 ? <Empty>No rules are loaded: rule_files in the configuration names them.</Empty> : null}
      {shown.map(({ group, rules }) => <GroupTable key={group.file + group.name} group={group} rules={rules} />)}
      {more}
    </main>
  );
}

function GroupTable({ group, rules }: { group: Group; rules: readonly Rule[] }) {
  const load = group.evaluationTime / group.interval;
  const at = Date.parse(group.lastEvaluation);
  return (
    <section aria-label={group.name}>
      <h2>
        {group.name} <span class="dim">{group.file} · every {formatDuration(group.interval * 1000)} · took{" "}
        <span class={load > 0.5 ? "warn-text" : ""}>{roughDuration(group.evaluationTime * 1000)}</span>
        {at > 0 ? ` · ${ago(at, Date.now())}` : " · not evaluated yet"}</span>
      </h2>
      <div class="scroll">
        <table class="list">
          <thead><tr><th scope="col">Rule</th><th scope="col">Query</th><th scope="col">Health</th><th scope="col" class="n">Took</th></tr></thead>
          <tbody>{rules.map((rule, i) => <Row key={i} rule={rule} />)}</tbody>
        </table>
      </div>
    </section>
  );
}

function Row({ rule }: { rule: Rule }) {
  const isGood = rule.health === "ok";
  return (
    <tr>
      <td class="wrap">
        {rule.type === "alerting" ? <a href={`alerts?search=${encodeURIComponent(rule.name)}`}><b>{rule.name}</b></a> : <QueryLink expr={rule.name}><code>{rule.name}</code></QueryLink>}
        <div><LabelTags labels={rule.labels ?? {}} /></div>
      </td>
      <td class="wrap">
        <QueryLink expr={rule.query} />
        {rule.duration ? <span class="dim"> for {formatDuration(rule.duration * 1000)}</span> : null}
        {rule.keepFiringFor ? <span class="dim"> keep firing for {formatDuration(rule.keepFiringFor * 1000)}</span> : null}
      </td>
      <td>
        <span class={`pill ${isGood ? "good" : rule.health === "err" ? "bad" : "none"}`} title={formatTime(Date.parse(rule.lastEvaluation))}>{rule.health}</span>
        {rule.lastError ? <div class="bad-text wrap">{rule.lastError}</div> : null}
      </td>
      <td class="n" data-label="took">{roughDuration(rule.evaluationTime * 1000)}</td>
    </tr>
  );
}
