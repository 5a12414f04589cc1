// The map itself: labels at the left, blocks over time at the right. The wheel with Ctrl zooms, dragging moves.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { count } from "../lib/format.ts";
import { useWidth } from "../lib/hooks.ts";
import { formatTime, roughDuration } from "../lib/time.ts";
import { useDark } from "../parts/theme.ts";
import { type Meta, RESOLUTIONS, type Span, type Stream, laneOf, moved, spanOf, zoomed } from "./model.ts";
import { HEAD, ROW, type Scene, blockAt, levelColor, paint } from "./paint.ts";

interface Props {
  streams: readonly Stream[];
  blocks: readonly Meta[];
  chosen: string | undefined;
  onChoose: (ulid: string) => void;
}

const HEIGHT_MAX = 460;

export function BlockMap({ streams, blocks, chosen, onChoose }: Props) {
  const isDark = useDark();
  const canvas = useRef<HTMLCanvasElement>(null);
  const [box, width] = useWidth<HTMLDivElement>();
  const whole = useMemo(() => spanOf(blocks), [blocks]);
  const longest_ms = useMemo(() => blocks.reduce((most, b) => Math.max(most, b.maxTime - b.minTime), 0), [blocks]);
  const [span, setSpan] = useState<Span>(whole);
  useEffect(() => setSpan(whole), [whole]);
  const [scrollTop, setScrollTop] = useState(0);
  const [hover, setHover] = useState<{ meta: Meta; left: number; top: number } | undefined>();
  const height = Math.min(HEAD + streams.length * ROW + 2, HEIGHT_MAX);
  const scene: Scene = { streams, span, scrollTop, width, height, isDark, chosen, longest_ms };
  useEffect(() => {
    if (canvas.current && width > 0) paint(canvas.current, scene);
  }, [streams, span, scrollTop, width, height, isDark, chosen]);
  const pointer = usePointer(scene, whole, setSpan, setHover, onChoose);
  const zoom = (factor: number) => setSpan(zoomed(span, 0.5, factor, whole));
  return (
    <>
      <div class="row">
        <span class="group" role="group" aria-label="Zoom">
          <button aria-label="Zoom in" onClick={() => zoom(0.5)}>+</button>
          <button aria-label="Zoom out" onClick={() => zoom(2)}>−</button>
          <button onClick={() => setSpan(whole)}>All</button>
          <button aria-label="Earlier" onClick={() => setSpan(moved(span, (span.from_ms - span.to_ms) / 2, whole))}>◀</button>
          <button aria-label="Later" onClick={() => setSpan(moved(span, (span.to_ms - span.from_ms) / 2, whole))}>▶</button>
        </span>
        <span class="dim">{formatTime(span.from_ms).slice(0, 16)} – {formatTime(span.to_ms).slice(0, 16)}</span>
        <Key isDark={isDark} />
      </div>
      <div class="map" style={{ height: `${height}px` }} onScroll={(e) => setScrollTop(e.currentTarget.scrollTop)} tabIndex={0} role="region" aria-label="Map of blocks">
        <div class="map-inner" style={{ height: `${HEAD + streams.length * ROW}px` }}>
          <div class="map-names">
            {visible(scene).map(([row, stream]) => (
              <div key={row} class="map-name" style={{ top: `${HEAD + row * ROW}px`, height: `${ROW}px` }} title={stream.text}>
                <span>{stream.text || "no labels"}</span>
                <small class="dim">{RESOLUTIONS.map(([, name], lane) => `${name} ${count(stream.lanes[lane]?.length ?? 0)}`).join(" · ")}</small>
              </div>
            ))}
          </div>
          <div class="map-canvas" ref={box} style={{ height: `${height}px` }}>
            <canvas ref={canvas} role="img" aria-label={`${blocks.length} blocks in ${streams.length} streams; the list below has the same`} {...pointer} />
            {hover ? <Tip {...hover} width={width} /> : null}
          </div>
        </div>
      </div>
    </>
  );
}

/** Only names in sight are elements. */
function visible({ streams, scrollTop, height }: Scene): [number, Stream][] {
  const first = Math.max(Math.floor(scrollTop / ROW) - 1, 0);
  const rows = streams.slice(first, first + Math.ceil(height / ROW) + 2);
  return rows.map((stream, i) => [first + i, stream]);
}

function usePointer(scene: Scene, whole: Span, setSpan: (span: Span) => void, setHover: (hover: { meta: Meta; left: number; top: number } | undefined) => void, onChoose: (ulid: string) => void) {
  const drag = useRef<{ left: number; span: Span; isMoved: boolean } | undefined>(undefined);
  return {
    onPointerDown: (e: PointerEvent) => {
      drag.current = { left: e.offsetX, span: scene.span, isMoved: false };
      (e.currentTarget as Element).setPointerCapture(e.pointerId);
    },
    onPointerMove: (e: PointerEvent) => {
      const held = drag.current;
      if (held) {
        const by = held.left - e.offsetX;
        held.isMoved ||= Math.abs(by) > 3;
        if (held.isMoved) setSpan(moved(held.span, (by / scene.width) * (held.span.to_ms - held.span.from_ms), whole));
        return setHover(undefined);
      }
      const meta = blockAt(scene, e.offsetX, e.offsetY);
      return setHover(meta ? { meta, left: e.offsetX, top: e.offsetY } : undefined);
    },
    onPointerUp: (e: PointerEvent) => {
      const meta = drag.current?.isMoved ? undefined : blockAt(scene, e.offsetX, e.offsetY);
      drag.current = undefined;
      if (meta) onChoose(meta.ulid);
    },
    onPointerLeave: () => setHover(undefined),
    onWheel: (e: WheelEvent) => {
      if (!e.ctrlKey && !e.metaKey) return;
      e.preventDefault();
      setSpan(zoomed(scene.span, e.offsetX / scene.width, e.deltaY > 0 ? 1.25 : 0.8, whole));
    },
  };
}

function Tip({ meta, left, top, width }: { meta: Meta; left: number; top: number; width: number }) {
  const place = left > width / 2 ? { right: `${width - left + 12}px` } : { left: `${left + 12}px` };
  return (
    <div class="tip" style={{ ...place, top: `${top + 10}px` }}>
      <code>{meta.ulid}</code>
      <div>{formatTime(meta.minTime)} – {formatTime(meta.maxTime)} ({roughDuration(meta.maxTime - meta.minTime)})</div>
      <div class="dim">{RESOLUTIONS[laneOf(meta)]?.[1]}, level {meta.compaction.level}, {count(meta.stats?.numSeries ?? 0)} series</div>
    </div>
  );
}

function Key({ isDark }: { isDark: boolean }) {
  return (
    <span class="key dim">
      <span>rows of a stream: {RESOLUTIONS.map(([, name]) => name).join(", ")}</span>
      level {[1, 2, 3, 4, 5].map((level) => <span key={level}><i class="swatch" style={{ background: levelColor(level, isDark) }} /> {level}</span>)}
      <span><i class="swatch overlap" /> overlap</span> <span><i class="swatch hole" /> nothing between</span>
    </span>
  );
}
