// The endpoints of a querier: who they are, which times they cover, what is wrong.

import { useMemo } from "preact/hooks";
import { urlOf } from "../lib/api.ts";
import { plural } from "../lib/format.ts";
import { useApi } from "../lib/hooks.ts";
import { MAX_MS, MIN_MS, ago, formatBound, formatTime } from "../lib/time.ts";
import { LabelTags } from "../parts/labels.tsx";
import { JsonLink, useRows, useSearch } from "../parts/list.tsx";
import { Annotations, Busy, Empty, Failure } from "../parts/message.tsx";
import { type Segment, type Store, type StoresByKind, gaps } from "../query/coverage.ts";

interface Endpoint extends Store {
  kind: string;
}

export default function Topology() {
  const loaded = useApi<StoresByKind>("api/v1/stores", {}, 10_000);
  const [search, fits] = useSearch("Find by address, label, error");
  const now = Date.now();
  const all = useMemo(() => {
    const flat = Object.entries(loaded.answer?.data ?? {}).flatMap(([kind, stores]) => stores.map((store): Endpoint => ({ ...store, kind })));
    return flat.sort((a, b) => Number(b.lastError !== null) - Number(a.lastError !== null) || (a.kind + a.name < b.kind + b.name ? -1 : 1));
  }, [loaded.answer]);
  const found = all.filter((e) => fits(e.name, e.kind, e.lastError ?? "", JSON.stringify(e.labelSets)));
  const { shown, more } = useRows(found);
  const scale = scaleOf(all, now);
  const down = all.filter((e) => e.lastError !== null).length;
  return (
    <main>
      <h1>Endpoints</h1>
      <div class="row">
        {search}
        <span>{plural(all.length, "endpoint")}, {down > 0 ? <b class="bad-text">{down} down</b> : "none down"}</span>
        <span class="push" />
        <JsonLink href={urlOf("api/v1/stores").href} />
      </div>
      <Busy isLoading={loaded.isLoading} />
      <Failure error={loaded.error} retry={loaded.reload} />
      {loaded.answer ? <Annotations warnings={loaded.answer.warnings} infos={loaded.answer.infos} /> : null}
      {loaded.answer && all.length === 0 ? <Empty>No endpoint is configured: start with --endpoint=host:10901.</Empty> : null}
      <Holes endpoints={all} scale={scale} now={now} />
      {shown.length > 0 ? (
        <div class="scroll">
          <table class="list">
            <thead>
              <tr>
                <th scope="col">Endpoint</th><th scope="col">Kind</th><th scope="col">State</th>
                <th scope="col" class="ruler-head">{formatTime(scale.from_ms).slice(0, 16)} <span class="dim">to now</span></th>
                <th scope="col">External labels</th>
              </tr>
            </thead>
            <tbody>{shown.map((e) => <Row key={e.kind + e.name} endpoint={e} scale={scale} now={now} />)}</tbody>
          </table>
        </div>
      ) : null}
      {more}
    </main>
  );
}

function isBounded(e: Endpoint): boolean {
  return e.minTime > MIN_MS && e.minTime < e.maxTime && e.minTime > 0;
}

/** From the oldest data that anybody tells of. */
function scaleOf(all: readonly Endpoint[], now: number): Segment {
  const oldest = Math.min(...all.filter(isBounded).map((e) => e.minTime), now - 3_600_000);
  return { from_ms: oldest, to_ms: now };
}

const LIVE_MS = 600_000;

function Holes({ endpoints, scale, now }: { endpoints: readonly Endpoint[]; scale: Segment; now: number }) {
  const up = endpoints.filter((e) => e.lastError === null && isBounded(e));
  if (up.length === 0) return null;
  const parts = up.map((e) => ({ from_ms: e.minTime, to_ms: e.maxTime >= now - LIVE_MS ? MAX_MS : e.maxTime }));
  const holes = gaps(parts, scale);
  if (holes.length === 0) return null;
  return (
    <div class="message warn">
      {holes.map((hole) => <div key={hole.from_ms}>No endpoint has data of {formatTime(hole.from_ms)} – {formatTime(hole.to_ms)}.</div>)}
    </div>
  );
}

function Row({ endpoint, scale, now }: { endpoint: Endpoint; scale: Segment; now: number }) {
  const checked = Date.parse(endpoint.lastCheck);
  const isNever = !(checked > 0);
  const state = endpoint.lastError !== null ? ["bad", "down"] : isNever ? ["none", "not asked yet"] : ["good", "up"];
  return (
    <tr>
      <td class="nowrap"><code>{endpoint.name}</code></td>
      <td>{endpoint.kind}</td>
      <td>
        <span class={`pill ${state[0]}`}>{state[1]}</span> <span class="dim nowrap">{isNever ? "" : ago(checked, now)}</span>
        {endpoint.lastError !== null ? <div class="bad-text wrap">{endpoint.lastError}</div> : null}
      </td>
      <td><Ruler endpoint={endpoint} scale={scale} /></td>
      <td>{endpoint.labelSets.map((labels, i) => <div key={i}><LabelTags labels={labels} /></div>)}</td>
    </tr>
  );
}

function Ruler({ endpoint, scale }: { endpoint: Endpoint; scale: Segment }) {
  const text = `${formatBound(endpoint.minTime)} – ${formatBound(endpoint.maxTime)}`;
  const at = (ms: number) => (Math.min(Math.max(ms, scale.from_ms), scale.to_ms) - scale.from_ms) / (scale.to_ms - scale.from_ms);
  const [from, to] = [at(endpoint.minTime), at(endpoint.maxTime)];
  return (
    <div class="ruler">
      <svg class="strip-bar" viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label={text}>
        {endpoint.minTime < endpoint.maxTime ? <rect class={`kind-${endpoint.kind}${endpoint.lastError === null ? "" : " down"}`} x={from * 1000} width={Math.max((to - from) * 1000, 3)} y="1" height="8" /> : null}
      </svg>
      <span class="dim">{text}</span>
    </div>
  );
}
