import assert from "node:assert/strict";
import { test } from "node:test";
import { loadPages } from "../../src/blocks/load.ts";
import type { Answer, Meta } from "../../src/blocks/model.ts";

function answer(ids: number[], next?: string | null): Answer {
  const blocks = ids.map((id): Meta => ({ ulid: String(id), minTime: 0, maxTime: 1, compaction: { level: 1 } }));
  return { label: "", blocks, refreshedAt: "", err: null, ...(next === undefined ? {} : { next }) };
}

async function load(ask: (next: string) => Promise<Answer>): Promise<[number, boolean][]> {
  const out: [number, boolean][] = [];
  for await (const { blocks, isWhole } of loadPages(ask)) out.push([blocks.length, isWhole]);
  return out;
}

test("pages come until the last; a server without them gives all at once", async () => {
  const asked: string[] = [];
  const some = async (next: string) => {
    asked.push(next);
    const at = Number(next || 0);
    return answer([at + 1, at + 2], at < 8 ? String(at + 2) : null);
  };
  const shown = await load(some);
  assert.deepEqual(asked, ["", "2", "4", "6", "8"]);
  assert.deepEqual(shown, [[2, false], [4, false], [6, false], [10, true]]);
  assert.deepEqual(await load(async () => answer([1, 2, 3])), [[3, true]]);
});

test("a server that goes in circles ends in an error", async () => {
  await assert.rejects(load(async () => answer([1], "1")), /same page/);
});
