// Version and runtime, flags, configuration, the database, features: one view each.

import { urlOf } from "../lib/api.ts";
import { bytes, count } from "../lib/format.ts";
import { useApi } from "../lib/hooks.ts";
import { type Paged, useAll } from "../lib/pages.ts";
import { useParam, usePlace } from "../lib/router.ts";
import { formatDuration, formatTime, roughDuration } from "../lib/time.ts";
import { Copy } from "../parts/copy.tsx";
import { Choice, JsonLink, useRows, useSearch } from "../parts/list.tsx";
import { Annotations, Busy, Empty, Failure } from "../parts/message.tsx";
import type { Site } from "../site.ts";

type View = "runtime" | "flags" | "config" | "tsdb" | "features";

const VIEWS: [View, string][] = [["runtime", "Runtime"], ["flags", "Flags"], ["config", "Configuration"], ["tsdb", "Database"], ["features", "Features"]];

export default function Status({ site }: { site: Site }) {
  const { segment } = usePlace();
  const [chosen, choose] = useParam("view");
  const isServer = site.component === "server" || site.component === "prometheus";
  const views = VIEWS.filter(([view]) => isServer || view === "runtime" || view === "flags");
  const wanted = chosen || segment;
  const view = views.find(([v]) => v === wanted)?.[0] ?? "runtime";
  return (
    <main>
      <h1>Status</h1>
      <div class="row"><Choice label="View" values={views} value={view} onValue={choose} /></div>
      {view === "runtime" ? <Runtime /> : null}
      {view === "flags" ? <Flags /> : null}
      {view === "config" ? <Config /> : null}
      {view === "tsdb" ? <Tsdb site={site} /> : null}
      {view === "features" ? <Features /> : null}
    </main>
  );
}

type Facts = Record<string, string | number | boolean>;

function Runtime() {
  const runtime = useApi<Facts>("api/v1/status/runtimeinfo", {}, 10_000);
  const build = useApi<Facts>("api/v1/status/buildinfo");
  return (
    <div class="cols">
      <FactTable title="Runtime" loaded={runtime} path="api/v1/status/runtimeinfo" />
      <FactTable title="Build" loaded={build} path="api/v1/status/buildinfo" />
    </div>
  );
}

function FactTable({ title, loaded, path }: { title: string; loaded: ReturnType<typeof useApi<Facts>>; path: string }) {
  return (
    <section aria-label={title}>
      <h2>{title} <JsonLink href={urlOf(path).href} /></h2>
      <Busy isLoading={loaded.isLoading} />
      <Failure error={loaded.error} retry={loaded.reload} />
      <table class="list">
        <tbody>
          {Object.entries(loaded.answer?.data ?? {}).filter(([, value]) => value !== "").map(([name, value]) => (
            <tr key={name}><th scope="row">{words(name)}</th><td class="wrap">{fact(name, value)}</td></tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

/** `lastConfigTime` → `last config time`. */
export function words(name: string): string {
  if (/^[A-Z_]+$/.test(name)) return name;
  return name.replace(/([a-z])([A-Z])/g, (_, a: string, b: string) => `${a} ${b.toLowerCase()}`);
}

function fact(name: string, value: string | number | boolean): string {
  const at = typeof value === "string" && /^\d{4}-\d\d-\d\dT/.test(value) ? Date.parse(value) : NaN;
  if (at > 0) return `${formatTime(at)} (${roughDuration(Date.now() - at)} ago)`;
  if (typeof value === "number" && /bytes|memlimit/i.test(name)) return value >= 2 ** 62 ? "no limit" : bytes(value);
  return typeof value === "number" ? count(value) : String(value);
}

function Flags() {
  const loaded = useApi<Record<string, string>>("api/v1/status/flags");
  const [search, fits] = useSearch("Find by name or value");
  const all = Object.entries(loaded.answer?.data ?? {});
  const found = all.filter(([name, value]) => fits(name, String(value)));
  return (
    <section aria-label="Flags">
      <div class="row">{search} <span class="dim">{found.length} of {all.length}</span><span class="push" /><JsonLink href={urlOf("api/v1/status/flags").href} /></div>
      <Busy isLoading={loaded.isLoading} />
      <Failure error={loaded.error} retry={loaded.reload} />
      <table class="list">
        <thead><tr><th scope="col">Flag</th><th scope="col">Value</th></tr></thead>
        <tbody>{found.map(([name, value]) => <tr key={name}><td><code>--{name}</code></td><td class="wrap"><code>{String(value)}</code></td></tr>)}</tbody>
      </table>
    </section>
  );
}

function Config() {
  const loaded = useApi<{ yaml: string }>("api/v1/status/config");
  const yaml = loaded.answer?.data.yaml ?? "";
  return (
    <section aria-label="Configuration">
      <Busy isLoading={loaded.isLoading} />
      <Failure error={loaded.error} retry={loaded.reload} />
      {yaml ? <div class="row"><Copy label="copy" what="the configuration" text={yaml} /><JsonLink href={urlOf("api/v1/status/config").href} /></div> : null}
      {yaml ? <pre tabIndex={0}>{yaml}</pre> : null}
    </section>
  );
}

interface Block {
  ulid: string;
  minTime: number;
  maxTime: number;
  stats?: { numSeries?: number; numSamples?: number; numChunks?: number };
  compaction: { level: number };
}

interface Blocks extends Paged {
  blocks: Block[] | null;
}

interface Head {
  headStats: { numSeries: number; numLabelPairs: number; chunkCount: number; minTime: number; maxTime: number };
}

function Tsdb({ site }: { site: Site }) {
  const head = useApi<Head>("api/v1/status/tsdb", { limit: 1 });
  const path = site.component === "server" ? "api/v1/status/tsdb/blocks" : undefined;
  const blocks = useAll<Blocks, Block>(path, { limit: 1000 }, (page) => page.blocks ?? []);
  const stats = head.answer?.data.headStats;
  const sorted = [...(blocks.items ?? [])].sort((a, b) => b.minTime - a.minTime);
  const { shown, more } = useRows(sorted, 100);
  return (
    <section aria-label="Database">
      <Busy isLoading={head.isLoading || (path !== undefined && !blocks.items && !blocks.error)} />
      <Failure error={head.error ?? blocks.error} />
      {head.answer ? <Annotations warnings={head.answer.warnings} infos={head.answer.infos} /> : null}
      {stats ? <p>Head: <b>{count(stats.numSeries)}</b> series, <b>{count(stats.chunkCount)}</b> chunks, {formatTime(stats.minTime)} – {formatTime(stats.maxTime)}. <a href="cardinality">Cardinality</a></p> : null}
      {blocks.items && sorted.length === 0 ? <Empty>No block yet: the head is written as a block each two hours.</Empty> : null}
      {shown.length > 0 ? (
        <table class="list">
          <thead><tr><th scope="col">Block</th><th scope="col">From</th><th scope="col">To</th><th scope="col" class="n">Length</th><th scope="col" class="n">Level</th><th scope="col" class="n">Series</th><th scope="col" class="n">Samples</th></tr></thead>
          <tbody>
            {shown.map((b) => (
              <tr key={b.ulid}>
                <td><code>{b.ulid}</code></td><td>{formatTime(b.minTime)}</td><td>{formatTime(b.maxTime)}</td><td class="n">{formatDuration(Math.round((b.maxTime - b.minTime) / 60_000) * 60_000)}</td>
                <td class="n">{b.compaction.level}</td><td class="n">{count(b.stats?.numSeries ?? 0)}</td><td class="n">{count(b.stats?.numSamples ?? 0)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      ) : null}
      {more}
    </section>
  );
}

function Features() {
  const loaded = useApi<Record<string, Record<string, boolean>>>("api/v1/features");
  return (
    <section aria-label="Features">
      <Busy isLoading={loaded.isLoading} />
      <Failure error={loaded.error} retry={loaded.reload} />
      <div class="cols">
        {Object.entries(loaded.answer?.data ?? {}).map(([topic, features]) => (
          <section key={topic} aria-label={topic}>
            <h2>{topic.replaceAll("_", " ")}</h2>
            {Object.entries(features).map(([name, isOn]) => <span class="tag" key={name}>{name} {isOn ? <b class="good-text">on</b> : <span class="dim">off</span>}</span>)}
          </section>
        ))}
      </div>
    </section>
  );
}
