// One query: its field, its controls, its answer.

import { useEffect, useMemo, useState } from "preact/hooks";
import { type Params, call, urlOf } from "../lib/api.ts";
import { curl } from "../lib/curl.ts";
import { useApi } from "../lib/hooks.ts";
import { Copy } from "../parts/copy.tsx";
import { Annotations, Busy, Failure } from "../parts/message.tsx";
import { Changes } from "./changes.tsx";
import { Cost } from "./cost.tsx";
import { GraphControls, ThanosControls, TimeControls } from "./controls.tsx";
import { type Source, coverage, withFailures } from "./coverage.ts";
import { Editor } from "./editor.tsx";
import { useExemplars } from "./exemplars.tsx";
import { Explain } from "./explain.tsx";
import { Graph } from "./graph.tsx";
import type { QueryData } from "./result.ts";
import { Parts } from "./parts.tsx";
import { type Panel, type Range, type Tab, instantParams, rangeOf, rangeParams, thanosParams } from "./state.ts";
import { Strip } from "./strip.tsx";
import { ResultTable } from "./table.tsx";
import { WhyEmpty } from "./why-empty.tsx";

export interface PanelProps {
  panel: Panel;
  /** Rises with each run, of this panel or of all. */
  turn: number;
  thanos: boolean;
  sources: readonly Source[];
  canClose: boolean;
  onChange: (change: Partial<Panel>) => void;
  onRun: (expr: string) => void;
  onClose: () => void;
  onClone: () => void;
  onMetrics: () => void;
}

const TABS: [Tab, string][] = [["graph", "Graph"], ["table", "Table"], ["explain", "Explain"]];

interface Asked {
  path: string;
  params: Params;
  range: Range;
  now_ms: number;
}

function asked(panel: Panel, thanos: boolean): Asked {
  const now_ms = Date.now();
  const range = rangeOf(panel, now_ms);
  const isGraph = panel.tab === "graph";
  const params = isGraph ? rangeParams(panel, range, thanos) : instantParams(panel, now_ms, thanos);
  return { path: isGraph ? "api/v1/query_range" : "api/v1/query", params, range, now_ms };
}

export function QueryPanel(props: PanelProps) {
  const { panel, turn, thanos, onChange } = props;
  const [draft, setDraft] = useState(panel.expr);
  useEffect(() => setDraft(panel.expr), [panel.expr]);
  const request = useMemo(() => asked(panel, thanos), [JSON.stringify(panel), turn, thanos]);
  const isAsked = panel.expr.trim() !== "" && panel.tab !== "explain";
  const loaded = useApi<QueryData>(isAsked ? request.path : undefined, request.params);
  const answer = isAsked ? loaded.answer : undefined;
  const [wrong, setWrong] = useState<unknown>();
  const format = () => call<string>("api/v1/format_query", { query: draft }).then(({ data }) => { setDraft(data); setWrong(undefined); }, setWrong);
  const parts = { time: request.range.end_ms / 1000, ...thanosParams(panel, thanos) };
  return (
    <section class="panel" aria-label={panel.expr || "New query"}>
      <div class="query-row">
        <Editor value={panel.expr} onChange={setDraft} onRun={() => props.onRun(draft)} />
        <button class="primary" onClick={() => props.onRun(draft)}>Run</button>
      </div>
      <Controls {...props} request={request} onFormat={() => void format()} />
      <Failure error={wrong} />
      <Busy isLoading={isAsked && loaded.isLoading} />
      <Failure error={isAsked ? loaded.error : undefined} retry={loaded.reload} />
      {answer ? <Annotations warnings={answer.warnings} infos={answer.infos} /> : null}
      {panel.expr.trim() === "" ? <Hint onMetrics={props.onMetrics} onTry={props.onRun} /> : null}
      {panel.tab === "explain" && panel.expr !== "" ? <Explain expr={panel.expr} range={rangeParams(panel, request.range, thanos)} instant={parts} /> : null}
      {panel.tree && isAsked ? (
        <section aria-label="Parts of the query">
          <Parts expr={panel.expr} params={parts} />
          <button onClick={() => onChange({ tree: false })}>Hide the parts</button>
        </section>
      ) : null}
      {answer && !loaded.error ? <Result {...props} data={answer.data} request={request} onZoom={(from, to) => onChange(zoomed(from, to))} /> : null}
      {answer ? <div class="row foot"><Cost answer={answer} onExplain={() => onChange({ tab: "explain" })} /><Links request={request} /></div> : null}
    </section>
  );
}

function zoomed(from_ms: number, to_ms: number): Partial<Panel> {
  const range_ms = Math.max(Math.round((to_ms - from_ms) / 1000) * 1000, 1000);
  return { end_ms: Math.round(to_ms / 1000) * 1000, range_ms };
}

function Controls(props: PanelProps & { request: Asked; onFormat: () => void }) {
  const { panel, onChange } = props;
  return (
    <div class="row controls">
      <span class="group" role="tablist" aria-label="View">
        {TABS.map(([tab, text]) => (
          <button key={tab} role="tab" aria-selected={panel.tab === tab} onClick={() => onChange({ tab })}>{text}</button>
        ))}
      </span>
      <TimeControls panel={panel} now_ms={props.request.now_ms} onChange={onChange} />
      {panel.tab === "graph" ? <GraphControls panel={panel} onChange={onChange} /> : null}
      {props.thanos ? <ThanosControls panel={panel} onChange={onChange} sources={props.sources} /> : null}
      <span class="push" />
      <button class="quiet" title="Lay the query out in lines" onClick={props.onFormat}>Format</button>
      <button class="quiet" title="The same query once more, below" onClick={props.onClone}>Duplicate</button>
      {props.canClose ? <button class="quiet" aria-label="Close this query" onClick={props.onClose}>Close</button> : null}
    </div>
  );
}

function Result({ panel, data, request, sources, thanos, onZoom }: PanelProps & { data: QueryData; request: Asked; onZoom: (from_ms: number, to_ms: number) => void }) {
  const { range } = request;
  const isInstant = panel.tab !== "graph";
  const span = useMemo(() => ({ from_ms: range.start_ms, to_ms: range.end_ms }), [range]);
  const known = useMemo(() => {
    const chosen = panel.stores.length === 0 ? sources : sources.filter((s) => panel.stores.includes(s.name));
    return withFailures(coverage(chosen, span, request.now_ms), data.stats?.origins ?? [], span);
  }, [sources, span, panel.stores, data]);
  const isEmpty = (data.resultType === "matrix" || data.resultType === "vector") && data.result.length === 0;
  const question = { expr: panel.expr, start_ms: range.start_ms, end_ms: isInstant ? (panel.end_ms ?? request.now_ms) : range.end_ms, isInstant, sources, params: thanosParams(panel, thanos), now_ms: request.now_ms };
  const exemplars = useExemplars(panel.exemplars && !isInstant ? panel.expr : undefined, range, thanosParams(panel, thanos));
  const strip = <Strip coverage={known} origins={data.stats?.origins} range={span} />;
  const [isLooking, look] = useState(false);
  return (
    <>
      {isEmpty ? <WhyEmpty key={JSON.stringify(panel)} question={question} /> : null}
      {!isEmpty && !isInstant && data.resultType === "matrix" ? <Graph series={data.result} range={range} look={panel} missing={known.missing} exemplars={exemplars} onZoom={onZoom}>{strip}</Graph> : null}
      {!isEmpty && !isInstant && data.resultType === "matrix" ? (
        isLooking
          ? <Changes key={JSON.stringify([panel, request.range.end_ms])} series={data.result} range={range} params={thanosParams(panel, thanos)} />
          : <button onClick={() => look(true)} title="Series around this graph that began, ended or paused in this time">What changed?</button>
      ) : null}
      {isInstant && !isEmpty ? <ResultTable data={data} /> : null}
      {isEmpty && !isInstant ? strip : null}
    </>
  );
}

function Links({ request }: { request: Asked }) {
  return (
    <span class="links">
      <Copy label="copy as curl" what="as a curl command" text={curl(urlOf(request.path), request.params)} />
      <a href={urlOf(request.path, request.params).href} target="_blank" rel="noreferrer">JSON</a>
      <Copy label="copy link" what="a link to this page" text={location.href} />
    </span>
  );
}

const TRY = ["up", "sum by (job) (rate(process_cpu_seconds_total[5m]))", "topk(10, count by (__name__) ({__name__!=\"\"}))"];

function Hint({ onMetrics, onTry }: { onMetrics: () => void; onTry: (expr: string) => void }) {
  return (
    <p class="empty">
      Type a query, <button class="link" onClick={onMetrics}>look through the metrics</button>, or try{" "}
      {TRY.map((expr) => <button class="link" key={expr} onClick={() => onTry(expr)}><code>{expr}</code></button>)}
    </p>
  );
}
