// The blocks of a bucket, as a map and as a list.

import { useMemo } from "preact/hooks";
import { urlOf } from "../lib/api.ts";
import { bytes, count, plural } from "../lib/format.ts";
import { useParam, usePlace } from "../lib/router.ts";
import { ago, formatTime, roughDuration } from "../lib/time.ts";
import { BlockDetails } from "../blocks/details.tsx";
import { useBlocks } from "../blocks/load.ts";
import { BlockMap } from "../blocks/map.tsx";
import { type Meta, RESOLUTIONS, findings, laneOf, sizeOf, streamsOf } from "../blocks/model.ts";
import { Choice, JsonLink, useRows, useSearch } from "../parts/list.tsx";
import { Busy, Empty, Failure } from "../parts/message.tsx";

type View = "global" | "loaded";

export default function Blocks() {
  const { segment } = usePlace();
  const [chosenView, setView] = useParam("view");
  const [ulid, setUlid] = useParam("ulid");
  const view: View = (chosenView || (segment === "loaded" ? "loaded" : "global")) === "loaded" ? "loaded" : "global";
  const { loaded, error, isLoading, reload } = useBlocks(view);
  const [search, fits, text] = useSearch("Find by label, id, source");
  const all = loaded?.blocks ?? NONE;
  const first = loaded?.first;
  const blocks = useMemo(() => (text === "" ? all : all.filter((b) => fits(b.ulid, b.thanos?.source ?? "", labelText(b)))), [all, text]);
  const streams = useMemo(() => streamsOf(blocks), [blocks]);
  const total = useMemo(() => blocks.reduce((sum, b) => sum + sizeOf(b), 0), [blocks]);
  const at = Date.parse(first?.refreshedAt ?? "");
  return (
    <main>
      <h1>Blocks</h1>
      <div class="row">
        {search}
        <Choice label="Which" values={[["global", "In the bucket"], ["loaded", "In use here"]] as const} value={view} onValue={setView} />
        {loaded ? <span>{plural(blocks.length, "block")} in {plural(streams.length, "stream")}{total > 0 ? `, ${bytes(total)}` : ""}</span> : null}
        {at > 0 ? <span class="dim">read {ago(at, Date.now())}</span> : null}
        <span class="push" />
        <JsonLink href={urlOf("api/v1/blocks", { view }).href} />
      </div>
      <Busy isLoading={isLoading} />
      <Failure error={error} retry={reload} />
      {loaded && !loaded.isWhole ? <div class="message info" role="status">{count(all.length)} of {count(first?.total ?? 0)} blocks are here{error ? "; the others did not come" : ""}.</div> : null}
      {loaded?.isWhole && (first?.total ?? 0) > all.length ? <div class="message warn" role="status">There are {count(first?.total ?? 0)} blocks; the first {count(all.length)} by id are shown. All are in the JSON.</div> : null}
      {first?.err ? <div class="message bad" role="alert">The last listing failed: {first.err}</div> : null}
      {(first?.unreadable ?? []).map((u) => <div class="message bad" key={u.ulid}><code>{u.ulid}</code> cannot be used: {u.err}</div>)}
      {loaded?.isWhole && blocks.length === 0 ? <Empty>{text ? "No block fits." : NO_BLOCKS[view]}</Empty> : null}
      {blocks.length > 0 ? <Overlaps streams={streams} /> : null}
      {blocks.length > 0 ? <BlockMap streams={streams} blocks={blocks} chosen={ulid || undefined} onChoose={setUlid} /> : null}
      {ulid ? <BlockDetails key={ulid} ulid={ulid} view={view} onClose={() => setUlid("")} onMarked={reload} /> : null}
      {blocks.length > 0 ? <List blocks={blocks} onChoose={setUlid} /> : null}
    </main>
  );
}

const NONE: readonly Meta[] = [];
const NO_BLOCKS: Record<View, string> = {
  global: "No blocks yet. The first one comes when a sidecar or a server has finished and uploaded two hours of data.",
  loaded: "No block is in use here. Look at those in the bucket: blocks may be too young (consistency delay), marked for deletion, or left out by a selector of this component.",
};

function labelText(meta: Meta): string {
  return Object.entries(meta.thanos?.labels ?? {}).map(([n, v]) => `${n}=${v}`).join(",");
}

function Overlaps({ streams }: { streams: ReturnType<typeof streamsOf> }) {
  const found = useMemo(
    () => streams.flatMap((s) => s.lanes.map((lane, i) => ({ text: s.text, resolution: RESOLUTIONS[i]?.[1], n: findings(lane).overlaps.length }))).filter((f) => f.n > 0),
    [streams],
  );
  if (found.length === 0) return null;
  return (
    <details class="message info">
      <summary>Overlapping blocks in {plural(found.length, "lane")}. Queries see each sample once; the compactor merges them.</summary>
      {found.slice(0, 50).map((f) => <div key={f.text + f.resolution}>{f.text || "no labels"}, {f.resolution}: {count(f.n)}</div>)}
    </details>
  );
}

const ORDERS: readonly (readonly [string, string])[] = [["", "newest first"], ["size", "largest first"], ["series", "most series first"]];

function List({ blocks, onChoose }: { blocks: readonly Meta[]; onChoose: (ulid: string) => void }) {
  const [order, setOrder] = useParam("order");
  const sorted = useMemo(() => {
    const by = order === "size" ? sizeOf : order === "series" ? (b: Meta) => b.stats?.numSeries ?? 0 : (b: Meta) => b.maxTime;
    return [...blocks].sort((a, b) => by(b) - by(a));
  }, [blocks, order]);
  const { shown, more } = useRows(sorted, 50);
  return (
    <section aria-label="List of blocks">
      <div class="row"><h2>List</h2><Choice label="Order" values={ORDERS} value={order} onValue={setOrder} /></div>
      <div class="scroll">
        <table class="list">
          <thead>
            <tr><th scope="col">Block</th><th scope="col">From</th><th scope="col">To</th><th scope="col" class="n">Length</th><th scope="col">Resolution</th><th scope="col" class="n">Level</th><th scope="col" class="n">Series</th><th scope="col" class="n">Samples</th><th scope="col" class="n">Size</th><th scope="col">Labels</th></tr>
          </thead>
          <tbody>
            {shown.map((b) => (
              <tr key={b.ulid}>
                <td><button class="link" onClick={() => { onChoose(b.ulid); scrollTo(0, 0); }}><code>{b.ulid}</code></button></td>
                <td class="nowrap">{formatTime(b.minTime)}</td><td class="nowrap">{formatTime(b.maxTime)}</td><td class="n">{roughDuration(b.maxTime - b.minTime)}</td>
                <td>{RESOLUTIONS[laneOf(b)]?.[1]}</td><td class="n" data-label="level">{b.compaction.level}</td><td class="n" data-label="series">{count(b.stats?.numSeries ?? 0)}</td><td class="n" data-label="samples">{count(b.stats?.numSamples ?? 0)}</td>
                <td class="n">{sizeOf(b) > 0 ? bytes(sizeOf(b)) : "–"}</td><td class="wrap"><code>{labelText(b)}</code></td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {more}
    </section>
  );
}
