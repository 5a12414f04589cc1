// The query page: panels below each other, all in the address.

import { useEffect, useMemo, useState } from "preact/hooks";
import { useApi } from "../lib/hooks.ts";
import { remembered } from "../lib/memory.ts";
import { type Paged, useAll } from "../lib/pages.ts";
import { go, usePlace } from "../lib/router.ts";
import { formatTime } from "../lib/time.ts";
import { type Site, pathOf } from "../site.ts";
import { type Source, type StoresByKind, serverSources, sourcesOf } from "./coverage.ts";
import { HISTORY, noteQuery } from "./history.ts";
import { QueryPanel } from "./panel.tsx";
import { type Panel, fresh, parsePanels, searchOf } from "./state.ts";

const REFRESH = remembered("refresh_s", 0);
const REFRESHES: [number, string][] = [[0, "off"], [5, "5s"], [15, "15s"], [60, "1m"], [300, "5m"]];

interface Block {
  ulid: string;
  minTime: number;
  maxTime: number;
}

interface TsdbBlocks extends Paged {
  blocks?: Block[];
}

/** Who has the data: endpoints of a querier, or a server's head and blocks. */
function useSources(site: Site): Source[] {
  const isServer = site.component === "server" || site.component === "prometheus";
  const stores = useApi<StoresByKind>(site.thanos && !isServer ? "api/v1/stores" : undefined, {}, 30_000);
  const head = useApi<{ headStats: { minTime: number } }>(isServer ? "api/v1/status/tsdb" : undefined, { limit: 1 });
  const blocks = useAll<TsdbBlocks, Block>(site.component === "server" ? "api/v1/status/tsdb/blocks" : undefined, { limit: 1000 }, (page) => page.blocks ?? []);
  return useMemo(() => {
    if (!isServer) return sourcesOf(stores.answer?.data ?? {});
    if (!head.answer) return [];
    return serverSources(blocks.items ?? [], head.answer.data.headStats.minTime);
  }, [stores.answer?.data, head.answer?.data, blocks.items]);
}

export function QueryPage({ site }: { site: Site }) {
  const { search } = usePlace();
  const panels = useMemo(() => parsePanels(search), [search]);
  const [turns, setTurns] = useState<readonly number[]>([]);
  const [refresh_s, setRefresh] = useState(REFRESH.get());
  const sources = useSources(site);
  const show = (next: readonly Panel[], isReplacing = false) => go(searchOf(next), isReplacing);
  const change = (i: number, part: Partial<Panel>) => show(panels.map((panel, at) => (at === i ? { ...panel, ...part } : panel)));
  const again = (i?: number) => setTurns((old) => panels.map((_, at) => (old[at] ?? 0) + (i === undefined || i === at ? 1 : 0)));
  const run = (i: number, expr: string) => {
    noteQuery(expr, Date.now());
    if (expr === panels[i]?.expr) again(i);
    else change(i, { expr });
  };
  useEffect(() => {
    if (refresh_s === 0) return undefined;
    const timer = setInterval(() => document.hidden || again(), refresh_s * 1000);
    return () => clearInterval(timer);
  }, [refresh_s, panels]);
  const explore = pathOf(site, "explore");
  return (
    <main class="query-page">
      <h1 class="hidden">Query</h1>
      {panels.map((panel, i) => (
        <QueryPanel
          key={i}
          panel={panel}
          turn={turns[i] ?? 0}
          thanos={site.thanos}
          sources={sources}
          canClose={panels.length > 1}
          onChange={(part) => change(i, part)}
          onRun={(expr) => run(i, expr)}
          onClose={() => show(panels.filter((_, at) => at !== i))}
          onClone={() => show([...panels.slice(0, i + 1), panel, ...panels.slice(i + 1)])}
          onMetrics={() => explore && go(explore)}
        />
      ))}
      <div class="row">
        <button onClick={() => show([...panels, fresh(panels.at(-1))])}>Add a query</button>
        <label>
          refresh{" "}
          <select class="small" value={refresh_s} onChange={(e) => { const s = Number(e.currentTarget.value); REFRESH.set(s); setRefresh(s); }}>
            {REFRESHES.map(([s, text]) => <option value={s} key={s}>{text}</option>)}
          </select>
        </label>
        <History onPick={(expr) => run(0, expr)} />
      </div>
    </main>
  );
}

function History({ onPick }: { onPick: (expr: string) => void }) {
  const [find, setFind] = useState("");
  const found = HISTORY.get().filter((ran) => ran.expr.toLowerCase().includes(find.toLowerCase())).slice(0, 50);
  return (
    <details class="menu">
      <summary class="button">History</summary>
      <div class="menu-body wide">
        <input type="search" aria-label="Find in the history" placeholder="Find" value={find} onInput={(e) => setFind(e.currentTarget.value)} />
        {found.length === 0 ? <p class="dim">Nothing here yet.</p> : null}
        {found.map((ran) => (
          <button class="plain" key={ran.expr} title={formatTime(ran.at_ms)} onClick={(e) => { onPick(ran.expr); e.currentTarget.closest("details")?.removeAttribute("open"); }}>
            <code>{ran.expr}</code>
          </button>
        ))}
      </div>
    </details>
  );
}
