// What is around every page: navigation, keys, theme.

import { useEffect, useRef, useState } from "preact/hooks";
import { useRemembered } from "./lib/hooks.ts";
import { go, usePlace } from "./lib/router.ts";
import { lazy } from "./parts/lazy.tsx";
import { Help, Palette } from "./parts/overlay.tsx";
import { THEME, isDark, useDark } from "./parts/theme.ts";
import { focusEditor } from "./query/editor.tsx";
import { QueryPage } from "./query/page.tsx";
import { KEYS, type Site, TITLES, pathOf } from "./site.ts";

const PAGES: Record<string, preact.ComponentType<{ site: Site }>> = {
  query: QueryPage,
  explore: lazy(() => import("./pages/explore.tsx")),
  targets: lazy(() => import("./pages/targets.tsx")),
  discovery: lazy(() => import("./pages/discovery.tsx")),
  alerts: lazy(() => import("./pages/alerts.tsx")),
  rules: lazy(() => import("./pages/rules.tsx")),
  cardinality: lazy(() => import("./pages/cardinality.tsx")),
  topology: lazy(() => import("./pages/topology.tsx")),
  blocks: lazy(() => import("./pages/blocks.tsx")),
  pipeline: lazy(() => import("./pages/pipeline.tsx")),
  queries: lazy(() => import("./pages/queries.tsx")),
  status: lazy(() => import("./pages/status.tsx")),
};

export function Shell({ site }: { site: Site }) {
  const { segment } = usePlace();
  const [overlay, setOverlay] = useState<"help" | "palette" | undefined>();
  // A dialog tells that it was closed a moment later: another one may be open by then.
  const closed = (which: string) => setOverlay((now) => (now === which ? undefined : now));
  const current = site.pages.find((page) => page.paths.includes(segment)) ?? site.pages[0];
  useKeys(site, setOverlay);
  const name = current?.name ?? "query";
  useEffect(() => {
    document.title = `${TITLES[name] ?? name} · aion ${site.component}`;
  }, [name]);
  const nav = useRef<HTMLElement>(null);
  // On a narrow screen not all pages have room.
  useEffect(() => nav.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" }), [name]);
  const Page = PAGES[name];
  return (
    <>
      <a class="skip" href="#content">Skip to the content</a>
      <header class="top">
        <span class="brand">aion <span class="dim">{site.component}</span></span>
        <nav aria-label="Pages" ref={nav}>
          {site.pages.map((page) => (
            <a key={page.name} href={page.paths[0]} aria-current={page === current ? "page" : undefined}>{TITLES[page.name] ?? page.name}</a>
          ))}
        </nav>
        <span class="push" />
        <button class="quiet" title="Find pages and queries (Ctrl-K)" onClick={() => setOverlay("palette")}>Find <kbd>Ctrl K</kbd></button>
        <ThemeButton />
        <button class="quiet" title="Keys (?)" aria-label="Help" onClick={() => setOverlay("help")}>?</button>
      </header>
      <div id="content" tabIndex={-1}>
        {Page ? <Page site={site} key={name} /> : <p class="empty">There is no page here.</p>}
      </div>
      {overlay === "help" ? <Help site={site} onClose={() => closed("help")} /> : null}
      {overlay === "palette" ? <Palette site={site} onClose={() => closed("palette")} /> : null}
    </>
  );
}

function ThemeButton() {
  useRemembered(THEME);
  const dark = useDark();
  return (
    <button class="quiet" aria-label={dark ? "Light theme" : "Dark theme"} title={dark ? "Light theme" : "Dark theme"} onClick={() => THEME.set(isDark() ? "light" : "dark")}>
      {dark ? "☀" : "☾"}
    </button>
  );
}

function isTyping(event: KeyboardEvent): boolean {
  const at = event.composedPath()[0];
  if (!(at instanceof HTMLElement)) return false;
  return at.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(at.tagName);
}

function useKeys(site: Site, setOverlay: (overlay: "help" | "palette" | undefined) => void): void {
  useEffect(() => {
    let isGoing = false;
    const pressed = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && event.key === "k") {
        event.preventDefault();
        return setOverlay("palette");
      }
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event)) return undefined;
      const path = isGoing ? pathOf(site, KEYS[event.key] ?? "") : undefined;
      isGoing = event.key === "g" && !isGoing;
      if (path !== undefined) go(path);
      else if (event.key === "?") setOverlay("help");
      else if (event.key === "/" && focusFirst()) event.preventDefault();
      return undefined;
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, [site]);
}

function focusFirst(): boolean {
  if (focusEditor()) return true;
  const field = document.querySelector<HTMLElement>("main input[type=search]");
  field?.focus();
  return field !== null;
}
