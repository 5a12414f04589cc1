// What discovery found, and what relabelling makes of it, rule by rule.

import { useMemo, useState } from "preact/hooks";
import { urlOf } from "../lib/api.ts";
import { plural } from "../lib/format.ts";
import { useApi } from "../lib/hooks.ts";
import type { Labels } from "../lib/labels.ts";
import { useAll } from "../lib/pages.ts";
import { LabelTags } from "../parts/labels.tsx";
import { JsonLink, useRows, useSearch } from "../parts/list.tsx";
import { Annotations, Busy, Empty, Failure } from "../parts/message.tsx";

interface Discovered {
  scrapePool: string;
  discoveredLabels: Labels;
  /** Empty for targets that relabelling drops. */
  labels?: Labels;
}

interface Page {
  activeTargets: Discovered[] | null;
  droppedTargets: Discovered[] | null;
  droppedTargetCounts?: Record<string, number>;
  next?: string;
}

export default function Discovery() {
  const found = (page: Page) => [...(page.activeTargets ?? []), ...(page.droppedTargets ?? [])];
  const loaded = useAll<Page, Discovered>("api/v1/targets", { state: "any", limit: 1000 }, found, 30_000);
  const [search, fits] = useSearch("Find by label");
  const known = loaded.items ?? [];
  const counts = loaded.first?.data.droppedTargetCounts;
  const pools = useMemo(() => {
    const all = new Map<string, Discovered[]>();
    for (const found of known) {
      const pool = found.scrapePool || (found.discoveredLabels.job ?? "");
      const others = all.get(pool);
      if (others) others.push(found);
      else all.set(pool, [found]);
    }
    return [...all].sort(([a], [b]) => (a < b ? -1 : 1));
  }, [loaded.items]);
  const dropped = known.filter(isDropped).length;
  return (
    <main>
      <h1>Service discovery</h1>
      <div class="row">
        {search}
        <span>{plural(known.length - dropped, "target")}, {plural(dropped, "dropped", "dropped")}</span>
        <span class="push" />
        <JsonLink href={urlOf("api/v1/targets", { state: "any" }).href} />
      </div>
      <Busy isLoading={loaded.isLoading} />
      <Failure error={loaded.error} retry={loaded.reload} />
      {loaded.first ? <Annotations warnings={loaded.first.warnings} infos={loaded.first.infos} /> : null}
      {loaded.items && pools.length === 0 ? <Empty>Nothing has been discovered.</Empty> : null}
      {pools.map(([name, found]) => (
        <Pool key={name} name={name} found={found.filter((d) => fits(JSON.stringify(d.discoveredLabels), JSON.stringify(d.labels)))} dropped={counts?.[name]} />
      ))}
    </main>
  );
}

function Pool({ name, found, dropped }: { name: string; found: readonly Discovered[]; dropped: number | undefined }) {
  const { shown, more } = useRows(found, 50);
  if (found.length === 0) return null;
  const listed = found.filter((d) => isDropped(d)).length;
  return (
    <section aria-label={name}>
      <h2>{name} <span class="dim">{found.length - listed} kept, {dropped ?? listed} dropped{dropped !== undefined && dropped > listed ? ` (${listed} of them listed)` : ""}</span></h2>
      <div class="scroll">
        <table class="list">
          <thead><tr><th scope="col">Discovered labels</th><th scope="col">Target labels</th><th scope="col">Relabelling</th></tr></thead>
          <tbody>{shown.map((d) => <Row key={JSON.stringify(d.discoveredLabels)} found={d} pool={name} />)}</tbody>
        </table>
      </div>
      {more}
    </section>
  );
}

function isDropped(found: Discovered): boolean {
  return Object.keys(found.labels ?? {}).length === 0;
}

function Row({ found, pool }: { found: Discovered; pool: string }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <>
      <tr>
        <td><LabelTags labels={found.discoveredLabels} /></td>
        <td>{isDropped(found) ? <span class="pill none">dropped</span> : <LabelTags labels={found.labels ?? {}} />}</td>
        <td><button class="quiet" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>{isOpen ? "hide steps" : "steps"}</button></td>
      </tr>
      {isOpen ? <tr><td colSpan={3}><Steps pool={pool} labels={found.discoveredLabels} /></td></tr> : null}
    </>
  );
}

interface Step {
  rule: Record<string, unknown>;
  output: Labels;
  keep: boolean;
}

function Steps({ pool, labels }: { pool: string; labels: Labels }) {
  const loaded = useApi<{ steps: Step[] | null }>("api/v1/targets/relabel_steps", { scrapePool: pool, labels: JSON.stringify(labels) });
  const steps = loaded.answer?.data.steps ?? [];
  if (loaded.error) return <Failure error={loaded.error} />;
  if (loaded.answer && steps.length === 0) return <p class="note">This job has no relabel rules.</p>;
  return (
    <ol class="steps">
      {steps.map((step, i) => {
        const before = i === 0 ? labels : (steps[i - 1]?.output ?? {});
        return (
          <li key={i}>
            <code>{ruleText(step.rule)}</code> {step.keep ? <Changes before={before} after={step.output} /> : <span class="pill bad">dropped here</span>}
          </li>
        );
      })}
    </ol>
  );
}

function ruleText(rule: Record<string, unknown>): string {
  return Object.entries(rule).map(([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`).join(", ");
}

export function changes(before: Labels, after: Labels): string[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  return names.filter((n) => before[n] !== after[n]).map((n) => {
    if (after[n] === undefined) return `− ${n}="${before[n]}"`;
    return before[n] === undefined ? `+ ${n}="${after[n]}"` : `${n}="${before[n]}" → "${after[n]}"`;
  });
}

function Changes({ before, after }: { before: Labels; after: Labels }) {
  const all = changes(before, after);
  if (all.length === 0) return <span class="dim">no change</span>;
  return <ul>{all.map((text) => <li key={text}><code>{text}</code></li>)}</ul>;
}
