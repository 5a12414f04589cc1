// One block: what it holds, where it comes from, and marks that it may be given.

import { useState } from "preact/hooks";
import { post, textOf } from "../lib/api.ts";
import { bytes, count, plural } from "../lib/format.ts";
import { useApi } from "../lib/hooks.ts";
import { formatTime, roughDuration } from "../lib/time.ts";
import { Copy } from "../parts/copy.tsx";
import { LabelTags } from "../parts/labels.tsx";
import { Busy, Empty, Failure } from "../parts/message.tsx";
import { type Answer, type Meta, RESOLUTIONS, laneOf, sizeOf } from "./model.ts";

interface Props {
  ulid: string;
  view: string;
  onClose: () => void;
  onMarked: () => void;
}

/** Asks for the block by itself: the list has it in short, and may not be here yet. */
export function BlockDetails({ ulid, view, onClose, onMarked }: Props) {
  const loaded = useApi<Answer>("api/v1/blocks", { view, ulid });
  const meta = loaded.answer?.data.blocks?.find((b) => b.ulid === ulid);
  return (
    <section class="panel" aria-label={`Block ${ulid}`}>
      <div class="row"><b><code>{ulid}</code></b><Copy label="copy id" what="the id" text={ulid} /><span class="push" /><button class="quiet" onClick={onClose}>Close</button></div>
      <Busy isLoading={loaded.isLoading} />
      <Failure error={loaded.error} retry={loaded.reload} />
      {loaded.answer && !meta ? <Empty>The block {ulid} is not there; it may have been compacted or deleted.</Empty> : null}
      {meta ? <Facts meta={meta} /> : null}
      {meta ? <Files meta={meta} /> : null}
      {meta ? <Marks meta={meta} onMarked={onMarked} /> : null}
    </section>
  );
}

function Facts({ meta }: { meta: Meta }) {
  const stats = meta.stats ?? {};
  const sources = meta.compaction.sources ?? [];
  const parents = meta.compaction.parents ?? [];
  const facts: [string, preact.ComponentChildren][] = [
    ["Time", `${formatTime(meta.minTime)} – ${formatTime(meta.maxTime)} (${roughDuration(meta.maxTime - meta.minTime)})`],
    ["Labels", <LabelTags labels={meta.thanos?.labels ?? {}} />],
    ["Resolution, level", `${RESOLUTIONS[laneOf(meta)]?.[1]}, level ${meta.compaction.level}`],
    ["Holds", `${plural(stats.numSeries ?? 0, "series", "series")}, ${count(stats.numSamples ?? 0)} samples${stats.numChunks === undefined ? "" : `, ${count(stats.numChunks)} chunks`}`],
    ["Size", sizeOf(meta) > 0 ? bytes(sizeOf(meta)) : "not told by meta.json"],
    ["Written by", meta.thanos?.source ?? "unknown"],
    ["Made of", sources.length === 0 ? "not told by meta.json" : sources.length <= 1 ? "itself" : `${plural(sources.length, "block")} as they were first written${parents.length > 0 ? `, last from ${parents.map((p) => p.ulid).join(", ")}` : ""}`],
  ];
  return <table><tbody>{facts.map(([name, value]) => <tr key={name}><th scope="row">{name}</th><td class="wrap">{value}</td></tr>)}</tbody></table>;
}

function Files({ meta }: { meta: Meta }) {
  const files = meta.thanos?.files ?? [];
  if (files.length === 0) return null;
  return (
    <details>
      <summary>{plural(files.length, "file")}</summary>
      <table><tbody>{files.map((f) => <tr key={f.rel_path}><td><code>{f.rel_path}</code></td><td class="n">{f.size_bytes === undefined ? "" : bytes(f.size_bytes)}</td></tr>)}</tbody></table>
    </details>
  );
}

const ACTIONS: readonly [string, string, string][] = [
  ["NO_COMPACTION", "Never compact", "The compactor leaves this block as it is. Undo: delete no-compact-mark.json of the block."],
  ["DELETION", "Mark for deletion", "Its data goes: queries stop seeing it after the ignore delay, and the compactor deletes it after the delete delay. Undo before that: delete deletion-mark.json of the block."],
];

/** What is changed is said first, and how to undo it. */
function Marks({ meta, onMarked }: { meta: Meta; onMarked: () => void }) {
  const [action, setAction] = useState<readonly [string, string, string] | undefined>();
  const [detail, setDetail] = useState("");
  const [outcome, setOutcome] = useState<{ isGood: boolean; text: string } | undefined>();
  const mark = async (name: string) => {
    try {
      await post("api/v1/blocks/mark", { id: meta.ulid, action: name, detail });
      setOutcome({ isGood: true, text: "Marked." });
      setAction(undefined);
      onMarked();
    } catch (error) {
      setOutcome({ isGood: false, text: textOf(error) });
    }
  };
  return (
    <>
      <div class="row">{ACTIONS.map((one) => <button key={one[0]} onClick={() => { setAction(one); setOutcome(undefined); }}>{one[1]}…</button>)}</div>
      {action ? (
        <div class="message warn">
          <div><b>{action[1]}</b>: {plural(meta.stats?.numSeries ?? 0, "series", "series")}, {count(meta.stats?.numSamples ?? 0)} samples, {bytes(sizeOf(meta))}.</div>
          <div>{action[2]}</div>
          <div class="row">
            <input size={36} aria-label="Reason" placeholder="Reason, kept in the mark" value={detail} onInput={(e) => setDetail(e.currentTarget.value)} />
            <button class="primary" onClick={() => void mark(action[0])}>{action[1]}</button>
            <button onClick={() => setAction(undefined)}>Cancel</button>
          </div>
        </div>
      ) : null}
      {outcome ? <div class={`message ${outcome.isGood ? "info" : "bad"}`} role="status">{outcome.text}</div> : null}
    </>
  );
}
