// What an answer took.

import type { Answer } from "../lib/api.ts";
import { bytes, count, percent, plural } from "../lib/format.ts";
import { roughDuration } from "../lib/time.ts";
import { type QueryData, cachedShare, readOf } from "./result.ts";

const ENGINE = "time in the engine";

export function Cost({ answer, onExplain }: { answer: Answer<QueryData>; onExplain: () => void }) {
  const { stats, result, resultType } = answer.data;
  const series = resultType === "matrix" || resultType === "vector" ? result.length : undefined;
  const parts: [string, string][] = [];
  if (series !== undefined) parts.push([plural(series, "series", "series"), "series in the answer"]);
  if (stats?.storage) parts.push([`${count(stats.storage.series)} series read`, "series read from storage"]);
  const samples = stats?.samples?.samplesRead ?? stats?.samples?.totalQueryableSamples;
  if (samples !== undefined) parts.push([`${count(samples)} samples`, "samples read; steps that overlap may look at one again"]);
  if (stats?.storage) {
    parts.push([`${bytes(stats.storage.chunkBytes)} chunks`, "encoded chunks read"]);
    parts.push([`${bytes(stats.storage.peakBytes)} peak`, "most memory held at one time"]);
  }
  const requests = (stats?.origins ?? []).reduce((sum, origin) => sum + origin.requests, 0);
  if (requests > 0) parts.push([plural(requests, "request"), "requests to sources of data"]);
  const read = readOf(stats?.origins ?? []);
  if (read) {
    const cached = `${bytes(read.bytes)} of postings, series and chunks were read of blocks in the bucket; ${bytes(read.bucketBytes)} came in ${plural(read.bucketRequests, "request")} to it`;
    parts.push([`${plural(read.blocks, "block")}, ${percent(cachedShare(read))} cached`, cached]);
  }
  const { execTotalTime, execQueueTime } = stats?.timings ?? {};
  if (execTotalTime !== undefined) {
    const queued = (execQueueTime ?? 0) > 0.001 ? `, of it ${roughDuration((execQueueTime ?? 0) * 1000)} waiting` : "";
    parts.push([`${roughDuration(execTotalTime * 1000)} engine`, `${ENGINE}${queued}`]);
  }
  parts.push([`${roughDuration(answer.ms)} in all`, `from request to answer, ${bytes(answer.bytes)} of JSON`]);
  return (
    <span class="cost">
      {parts.map(([text, title]) => (title.startsWith(ENGINE) ? <button class="quiet" key={title} title={`${title}: show where it went`} onClick={onExplain}>{text}</button> : <span key={title} title={title}>{text}</span>))}
    </span>
  );
}
