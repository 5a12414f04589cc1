// Range, end, resolution, display; and what Thanos' queriers take besides.

import { useEffect, useState } from "preact/hooks";
import { TENANT } from "../lib/api.ts";
import { useRemembered } from "../lib/hooks.ts";
import { formatDuration, formatTime, parseDuration, parseTime } from "../lib/time.ts";
import type { Source } from "./coverage.ts";
import { type Display, type Panel, rangeOf } from "./state.ts";

const RANGES = ["5m", "15m", "30m", "1h", "2h", "6h", "12h", "1d", "2d", "1w", "2w", "4w", "8w", "26w", "1y", "2y"];

interface Props {
  panel: Panel;
  now_ms: number;
  onChange: (change: Partial<Panel>) => void;
}

/** A field whose text counts when it is left, and only where it means something. */
function Field<T>(props: { label: string; text: string; size: number; list?: string[]; placeholder?: string; parse: (text: string) => T | undefined; onValue: (value: T) => void }) {
  const [text, setText] = useState(props.text);
  const [isWrong, setWrong] = useState(false);
  useEffect(() => setText(props.text), [props.text]);
  const take = () => {
    const value = props.parse(text);
    setWrong(value === undefined);
    if (value !== undefined && text !== props.text) props.onValue(value);
  };
  const id = `list-${props.label.replace(/\W/g, "")}`;
  return (
    <>
      <input
        class={isWrong ? "small wrong" : "small"}
        aria-label={props.label}
        aria-invalid={isWrong}
        title={props.label}
        size={props.size}
        value={text}
        placeholder={props.placeholder}
        list={props.list ? id : undefined}
        onInput={(e) => setText(e.currentTarget.value)}
        onChange={take}
        onKeyDown={(e) => e.key === "Enter" && take()}
      />
      {props.list ? <datalist id={id}>{props.list.map((value) => <option value={value} key={value} />)}</datalist> : null}
    </>
  );
}

export function TimeControls({ panel, now_ms, onChange }: Props) {
  const end = panel.end_ms ?? now_ms;
  const move = (share: number) => onChange({ end_ms: Math.min(Math.round(end + panel.range_ms * share), now_ms) });
  const resize = (by: number) => onChange({ range_ms: nextRange(panel.range_ms, by) });
  const parseEnd = (text: string): number | "now" | undefined => (text.trim() === "" ? "now" : parseTime(text));
  return (
    <>
      {panel.tab !== "table" ? (
        <span class="group">
          <button title="Shorter range" aria-label="Shorter range" onClick={() => resize(-1)}>−</button>
          <Field label="Range" text={formatDuration(panel.range_ms)} size={5} list={RANGES} parse={(t) => parseDuration(t) || undefined} onValue={(range_ms) => onChange({ range_ms })} />
          <button title="Longer range" aria-label="Longer range" onClick={() => resize(1)}>+</button>
        </span>
      ) : null}
      <span class="group">
        <button title="Earlier by half a range" aria-label="Earlier" onClick={() => move(-0.5)}>◀</button>
        <Field label="End time, UTC" placeholder="now" text={panel.end_ms === undefined ? "" : formatTime(panel.end_ms)} size={18} parse={parseEnd} onValue={(value) => onChange({ end_ms: value === "now" ? undefined : value })} />
        <button title="Later by half a range" aria-label="Later" disabled={panel.end_ms === undefined} onClick={() => move(0.5)}>▶</button>
        {panel.end_ms === undefined ? null : <button onClick={() => onChange({ end_ms: undefined })}>now</button>}
      </span>
    </>
  );
}

export function nextRange(range_ms: number, by: number): number {
  const all = RANGES.map((text) => parseDuration(text) ?? 0);
  if (by > 0) return all.find((ms) => ms > range_ms) ?? range_ms * 2;
  return all.findLast((ms) => ms < range_ms) ?? Math.max(Math.floor(range_ms / 2), 1000);
}

const DISPLAYS: [Display, string][] = [["lines", "Lines"], ["stacked", "Stacked"], ["heatmap", "Heat map"]];

export function GraphControls({ panel, onChange }: Omit<Props, "now_ms">) {
  const auto = formatDuration(rangeOf({ ...panel, step_ms: undefined }, 0).step_ms);
  const parseStep = (text: string): number | "auto" | undefined => (text.trim() === "" ? "auto" : parseDuration(text) || undefined);
  return (
    <>
      <Field label="Resolution" placeholder={`step ${auto}`} text={panel.step_ms === undefined ? "" : formatDuration(panel.step_ms)} size={8} parse={parseStep} onValue={(step) => onChange({ step_ms: step === "auto" ? undefined : step })} />
      <span class="group" role="group" aria-label="Display">
        {DISPLAYS.map(([display, text]) => (
          <button key={display} aria-pressed={panel.display === display} onClick={() => onChange({ display })}>{text}</button>
        ))}
      </span>
      <span class="group" role="group" aria-label="Graph">
        <button aria-pressed={panel.y_min !== undefined} title="The axis begins at zero, whatever the values are" onClick={() => onChange({ y_min: panel.y_min === undefined ? 0 : undefined })}>{`From ${panel.y_min ?? 0}`}</button>
        <button aria-pressed={panel.exemplars} title="Single observations with their trace" onClick={() => onChange({ exemplars: !panel.exemplars })}>Exemplars</button>
      </span>
    </>
  );
}

const RESOLUTIONS: [string, string][] = [["", "resolution: default"], ["auto", "resolution: auto"], ["0s", "raw only"], ["5m", "up to 5m"], ["1h", "up to 1h"]];

export function ThanosControls({ panel, onChange, sources }: Omit<Props, "now_ms"> & { sources: readonly Source[] }) {
  const [tenant, setTenant] = useRemembered(TENANT);
  const names = sources.map((s) => s.name);
  const known = RESOLUTIONS.some(([value]) => value === panel.resolution) ? RESOLUTIONS : [...RESOLUTIONS, [panel.resolution, `up to ${panel.resolution}`] as [string, string]];
  const toggle = (name: string) => onChange({ stores: panel.stores.includes(name) ? panel.stores.filter((s) => s !== name) : [...panel.stores, name] });
  return (
    <>
      <label title="Merge the series of replicas into one"><input type="checkbox" checked={panel.dedup} onChange={() => onChange({ dedup: !panel.dedup })} /> dedup</label>
      <label title="Answer with what there is when an endpoint fails, and say so"><input type="checkbox" checked={panel.partial} onChange={() => onChange({ partial: !panel.partial })} /> partial response</label>
      <select class="small" aria-label="Coarsest resolution" value={panel.resolution} onChange={(e) => onChange({ resolution: e.currentTarget.value })}>
        {known.map(([value, text]) => <option value={value} key={value}>{text}</option>)}
      </select>
      <details class="menu">
        <summary class="button">{panel.stores.length === 0 ? "all endpoints" : `${panel.stores.length} of ${names.length} endpoints`}</summary>
        <div class="menu-body">
          {names.length === 0 ? <p class="dim">No endpoint is known.</p> : null}
          {sources.map((s) => (
            <label key={s.name}><input type="checkbox" checked={panel.stores.length === 0 || panel.stores.includes(s.name)} onChange={() => toggle(s.name)} /> {s.name} <span class="dim">{s.kind}{s.error ? ", down" : ""}</span></label>
          ))}
          {panel.stores.length > 0 ? <button onClick={() => onChange({ stores: [] })}>Ask all</button> : <p class="dim">Tick one to ask it alone.</p>}
        </div>
      </details>
      <input class="small" size={10} aria-label="Tenant" title="Tenant, sent as THANOS-TENANT" placeholder="tenant" value={panel.tenant || tenant} onChange={(e) => { setTenant(e.currentTarget.value.trim()); if (panel.tenant) onChange({ tenant: "" }); }} />
    </>
  );
}
