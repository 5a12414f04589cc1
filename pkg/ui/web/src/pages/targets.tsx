// Targets by job: which answer, how long they take, what is wrong.

import { useMemo } from "preact/hooks";
import { urlOf } from "../lib/api.ts";
import { plural } from "../lib/format.ts";
import type { Labels } from "../lib/labels.ts";
import { useAll } from "../lib/pages.ts";
import { useParam } from "../lib/router.ts";
import { ago, formatTime, parseDuration, roughDuration } from "../lib/time.ts";
import { LabelTags } from "../parts/labels.tsx";
import { Choice, JsonLink, useRows, useSearch } from "../parts/list.tsx";
import { Annotations, Busy, Empty, Failure } from "../parts/message.tsx";

interface Target {
  scrapePool: string;
  scrapeUrl: string;
  globalUrl?: string;
  labels: Labels;
  lastError: string;
  lastScrape: string;
  lastScrapeDuration: number;
  health: "up" | "down" | "unknown";
  scrapeInterval?: string;
  scrapeTimeout?: string;
}

interface TargetPage {
  activeTargets: Target[] | null;
  next?: string;
}

type Health = "" | "up" | "down" | "unknown";
const HEALTHS: [Health, string][] = [["", "All"], ["down", "Down"], ["unknown", "Not scraped yet"], ["up", "Up"]];
const PILLS: Record<string, string> = { up: "good", down: "bad", unknown: "none" };

export default function Targets() {
  const loaded = useAll<TargetPage, Target>("api/v1/targets", { state: "active", limit: 1000 }, (page) => page.activeTargets ?? [], 15_000);
  const [search, fits] = useSearch("Find by address, label, error");
  const [health, setHealth] = useParam("health");
  const all = loaded.items ?? [];
  const pools = useMemo(() => byPool(all), [all]);
  const kept = (t: Target) => (health === "" || t.health === health) && fits(t.scrapeUrl, JSON.stringify(t.labels), t.lastError);
  const down = all.filter((t) => t.health === "down");
  return (
    <main>
      <h1>Targets</h1>
      <div class="row">
        {search}
        <Choice label="Health" values={HEALTHS} value={health as Health} onValue={setHealth} />
        <span>{plural(all.length, "target")}, {down.length > 0 ? <b class="bad-text">{down.length} down</b> : "none down"}</span>
        <span class="push" />
        <JsonLink href={urlOf("api/v1/targets", { state: "active" }).href} />
      </div>
      <Busy isLoading={loaded.isLoading} />
      <Failure error={loaded.error} retry={loaded.reload} />
      {loaded.first ? <Annotations warnings={loaded.first.warnings} infos={loaded.first.infos} /> : null}
      {down.length > 1 ? <Errors down={down} /> : null}
      {loaded.items && all.length === 0 ? <Empty>No target is configured: add a job to scrape_configs.</Empty> : null}
      {[...pools].map(([name, targets]) => <Pool key={name} name={name} all={targets} kept={targets.filter(kept)} />)}
    </main>
  );
}

function byPool(targets: readonly Target[]): Map<string, Target[]> {
  const pools = new Map<string, Target[]>();
  for (const target of targets) {
    const others = pools.get(target.scrapePool);
    if (others) others.push(target);
    else pools.set(target.scrapePool, [target]);
  }
  const isDown = (list: readonly Target[]) => list.some((t) => t.health === "down");
  return new Map([...pools].sort(([a, x], [b, y]) => Number(isDown(y)) - Number(isDown(x)) || (a < b ? -1 : 1)));
}

/** The same error at many targets is one thing to repair. */
function Errors({ down }: { down: readonly Target[] }) {
  const groups = new Map<string, number>();
  for (const { lastError } of down) {
    const kind = lastError.replace(/"https?:\/\/[^"]*"|https?:\/\/\S+|\d{1,3}(\.\d{1,3}){3}(:\d+)?/g, "…");
    groups.set(kind, (groups.get(kind) ?? 0) + 1);
  }
  const sorted = [...groups].sort(([, a], [, b]) => b - a).slice(0, 5);
  return (
    <div class="message bad">
      {sorted.map(([text, n]) => <div key={text}><b>{n} ×</b> {text}</div>)}
    </div>
  );
}

function Pool({ name, all, kept }: { name: string; all: readonly Target[]; kept: readonly Target[] }) {
  const { shown, more } = useRows(kept);
  if (kept.length === 0) return null;
  const up = all.filter((t) => t.health === "up").length;
  return (
    <section aria-label={name}>
      <h2>{name} <span class={up === all.length ? "pill good" : "pill bad"}>{up} / {all.length} up</span></h2>
      <div class="scroll">
        <table class="list targets">
          <thead>
            <tr><th scope="col">Endpoint</th><th scope="col">State</th><th scope="col">Labels</th><th scope="col" class="n">Last scrape</th><th scope="col" class="n">Took</th><th scope="col" class="n">Interval</th></tr>
          </thead>
          <tbody>{shown.map((target) => <Row key={target.scrapeUrl + JSON.stringify(target.labels)} target={target} />)}</tbody>
        </table>
      </div>
      {more}
    </section>
  );
}

function Row({ target }: { target: Target }) {
  const at = Date.parse(target.lastScrape);
  const took = target.lastScrapeDuration * 1000;
  const timeout = parseDuration(target.scrapeTimeout ?? "") ?? Infinity;
  return (
    <tr>
      <td class="wrap"><a href={target.globalUrl ?? target.scrapeUrl} rel="noreferrer">{target.scrapeUrl}</a></td>
      <td>
        <span class={`pill ${PILLS[target.health] ?? "none"}`}>{target.health}</span>
        {target.lastError ? <div class="bad-text wrap">{target.lastError}</div> : null}
      </td>
      <td><LabelTags labels={target.labels} hidden={["job"]} /></td>
      <td class="n" data-label="scraped" title={formatTime(at)}>{at > 0 ? ago(at, Date.now()) : "never"}</td>
      <td class={took > timeout * 0.8 ? "n warn-text" : "n"} data-label="took">{roughDuration(took)}</td>
      <td class="n" data-label="every" title={`timeout ${target.scrapeTimeout}`}>{target.scrapeInterval ?? "–"}</td>
    </tr>
  );
}
