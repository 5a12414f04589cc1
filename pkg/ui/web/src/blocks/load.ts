// All blocks of a server, page by page; what is there is shown while the rest comes.

import { useEffect, useRef, useState } from "preact/hooks";
import { call, isAbort } from "../lib/api.ts";
import { pages } from "../lib/pages.ts";
import type { Answer, Meta } from "./model.ts";

/** A page is bounded by its bytes; this only keeps a page of tiny blocks short. */
const PAGE_BLOCKS = 1000;
/** More than a browser should hold. */
export const BLOCKS_MAX = 200_000;
const EVERY_MS = 60_000;

export interface Loaded {
  blocks: readonly Meta[];
  /** The first page, with what goes with the whole list. */
  first: Answer;
  isWhole: boolean;
}

/** What is known after some of the pages, and after the last. A server without pages gives all at once. */
export async function* loadPages(ask: (next: string) => Promise<Answer>): AsyncGenerator<Loaded> {
  const blocks: Meta[] = [];
  let first: Answer | undefined;
  let shown = 0;
  for await (const page of pages(ask)) {
    first ??= page;
    for (const meta of page.blocks ?? []) blocks.push(meta);
    if (!page.next || blocks.length >= BLOCKS_MAX) return yield { blocks, first, isWhole: true };
    // Each showing makes the map anew: the first page at once, then when there is half as much again.
    if (blocks.length < shown * 1.5) continue;
    shown = blocks.length;
    yield { blocks: [...blocks], first, isWhole: false };
  }
}

export interface Blocks {
  loaded: Loaded | undefined;
  error: unknown;
  isLoading: boolean;
  reload: () => void;
}

export function useBlocks(view: string): Blocks {
  const [state, setState] = useState<Omit<Blocks, "reload">>({ loaded: undefined, error: undefined, isLoading: true });
  const [turn, setTurn] = useState(0);
  const seen = useRef<{ view: string; loaded: Loaded } | undefined>(undefined);
  useEffect(() => {
    const control = new AbortController();
    const known = seen.current?.view === view ? seen.current.loaded : undefined;
    setState((old) => ({ ...old, loaded: known, isLoading: true }));
    const ask = async (next: string) => (await call<Answer>("api/v1/blocks", { view, brief: true, limit: PAGE_BLOCKS, next }, control.signal)).data;
    const load = async () => {
      for await (const loaded of loadPages(ask)) {
        // The bucket was not read again since.
        if (known?.isWhole && loaded.first.refreshedAt === known.first.refreshedAt) break;
        if (loaded.isWhole) seen.current = { view, loaded };
        // What is on the screen stays until all is there.
        if (loaded.isWhole || !known) setState((old) => ({ ...old, loaded }));
      }
      setState((old) => ({ ...old, error: undefined, isLoading: false }));
    };
    load().catch((error: unknown) => isAbort(error) || setState((old) => ({ ...old, error, isLoading: false })));
    return () => control.abort();
  }, [view, turn]);
  useEffect(() => {
    const timer = setInterval(() => document.hidden || setTurn((n) => n + 1), EVERY_MS);
    return () => clearInterval(timer);
  }, []);
  return { ...state, reload: () => setTurn((n) => n + 1) };
}
