// Which metrics and labels have the most series.

import { urlOf } from "../lib/api.ts";
import { bytes, count, percent } from "../lib/format.ts";
import { useApi, useSettled } from "../lib/hooks.ts";
import { quoted } from "../lib/labels.ts";
import { useParam } from "../lib/router.ts";
import { formatTime } from "../lib/time.ts";
import { JsonLink, QueryLink } from "../parts/list.tsx";
import { Annotations, Busy, Failure } from "../parts/message.tsx";
import type { Site } from "../site.ts";

interface Entry {
  name: string;
  value: number;
}

interface Statistics {
  headStats: { numSeries: number; numLabelPairs: number; chunkCount: number; minTime: number; maxTime: number };
  seriesCountByMetricName: Entry[];
  labelValueCountByLabelName: Entry[];
  memoryInBytesByLabelName: Entry[];
  seriesCountByLabelValuePair: Entry[];
}

const LIMITS = ["10", "20", "50", "100", "500"];

export default function Cardinality({ site }: { site: Site }) {
  const [limit, setLimit] = useParam("limit");
  const [match, setMatch] = useParam("match");
  const asked = useSettled(match, 400);
  const most = LIMITS.includes(limit) ? limit : "20";
  const params = { limit: most, "match[]": site.thanos ? asked : "" };
  const loaded = useApi<Statistics>("api/v1/status/tsdb", params);
  const data = loaded.answer?.data;
  const series = data?.headStats.numSeries ?? 0;
  return (
    <main>
      <h1>Cardinality</h1>
      <div class="row">
        {site.thanos ? <input type="search" size={40} aria-label="Only series that match" placeholder='Only series that match, {job="a"}' value={match} onInput={(e) => setMatch(e.currentTarget.value)} /> : null}
        <label>the first <select class="small" value={most} onChange={(e) => setLimit(e.currentTarget.value)}>{LIMITS.map((n) => <option key={n}>{n}</option>)}</select></label>
        <span class="push" />
        <JsonLink href={urlOf("api/v1/status/tsdb", params).href} />
      </div>
      <Busy isLoading={loaded.isLoading} />
      <Failure error={loaded.error} retry={loaded.reload} />
      {loaded.answer ? <Annotations warnings={loaded.answer.warnings} infos={loaded.answer.infos} /> : null}
      {data ? (
        <>
          <p>
            <b>{count(series)}</b> series, <b>{count(data.headStats.numLabelPairs)}</b> label pairs, <b>{count(data.headStats.chunkCount)}</b> chunks
            in the newest data, {formatTime(data.headStats.minTime)} – {formatTime(data.headStats.maxTime)}
          </p>
          <div class="cols">
            <Ranking title="Series by metric" rows={data.seriesCountByMetricName} whole={series} link={(name) => <a href={`explore?metric=${encodeURIComponent(name)}`}><code>{name}</code></a>} />
            <Ranking title="Series by label and value" rows={data.seriesCountByLabelValuePair} whole={series} link={(pair) => <QueryLink expr={topOf(pair)}><code>{pair}</code></QueryLink>} />
            <Ranking title="Values by label" rows={data.labelValueCountByLabelName} link={(name) => <QueryLink expr={`topk(20, count by (${name}) ({${name}!=""}))`}><code>{name}</code></QueryLink>} />
            <Ranking title="Memory of values by label" rows={data.memoryInBytesByLabelName} format={bytes} link={(name) => <code>{name}</code>} />
          </div>
        </>
      ) : null}
    </main>
  );
}

/** The metrics that a pair `name=value` is spread over. */
export function topOf(pair: string): string {
  const at = pair.indexOf("=");
  return `topk(20, count by (__name__) ({${pair.slice(0, at)}=${quoted(pair.slice(at + 1))}}))`;
}

interface RankingProps {
  title: string;
  rows: Entry[] | null;
  /** What shares are of. */
  whole?: number;
  format?: (value: number) => string;
  link: (name: string) => preact.JSX.Element;
}

function Ranking({ title, rows, whole, format = count, link }: RankingProps) {
  const max = Math.max(...(rows ?? []).map((row) => row.value), 1);
  return (
    <section aria-label={title}>
      <h2>{title}</h2>
      <table class="list">
        <tbody>
          {(rows ?? []).map(({ name, value }) => (
            <tr key={name}>
              <td class="wrap">{link(name)}</td>
              <td class="n">{format(value)}</td>
              <td class="n dim">{whole ? percent(value / whole) : ""}</td>
              <td class="bar-cell"><span class="bar" style={{ width: `${(value / max) * 100}%` }} /></td>
            </tr>
          ))}
          {rows?.length === 0 ? <tr><td class="dim">nothing</td></tr> : null}
        </tbody>
      </table>
    </section>
  );
}
