// The keys, and the palette: pages and queries by a few letters.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { go } from "../lib/router.ts";
import { HISTORY } from "../query/history.ts";
import { fresh, searchOf } from "../query/state.ts";
import { KEYS, type Site, TITLES, pathOf } from "../site.ts";
import { THEME, isDark } from "./theme.ts";

/** A dialog of the browser's: it keeps the focus, and Escape closes it. */
function Dialog({ title, onClose, children }: { title: string; onClose: () => void; children: ComponentChildren }) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => ref.current?.showModal(), []);
  return (
    <dialog ref={ref} aria-label={title} onClose={onClose} onClick={(e) => e.target === e.currentTarget && e.currentTarget.close()}>
      {children}
    </dialog>
  );
}

export function Help({ site, onClose }: { site: Site; onClose: () => void }) {
  const pages = Object.entries(KEYS).filter(([, name]) => pathOf(site, name) !== undefined);
  const keys: [string, string][] = [
    ["/", "to the query, or to the search field of the page"],
    ["Enter, Ctrl-Enter", "run the query"],
    ["Shift-Enter", "a new line in the query"],
    ["Ctrl-Space", "complete"],
    ["Ctrl-K", "find pages and queries"],
    ["drag in a graph", "zoom in; the browser's Back zooms out"],
    ["?", "this help"],
    ...pages.map(([key, name]): [string, string] => [`g ${key}`, TITLES[name] ?? name]),
  ];
  return (
    <Dialog title="Keys" onClose={onClose}>
      <h2>Keys</h2>
      <table>
        <tbody>{keys.map(([key, text]) => <tr key={key}><td><kbd>{key}</kbd></td><td>{text}</td></tr>)}</tbody>
      </table>
      <p class="dim">aion {site.component} {site.version}. All times are UTC.</p>
      <form method="dialog"><button>Close</button></form>
    </Dialog>
  );
}

interface Entry {
  text: string;
  note: string;
  act: () => void;
}

function entries(site: Site): Entry[] {
  const pages = site.pages.map((page) => ({ text: TITLES[page.name] ?? page.name, note: "page", act: () => go(page.paths[0] ?? "") }));
  const query = pathOf(site, "query");
  const queries = query === undefined ? [] : HISTORY.get().map(({ expr }) => ({ text: expr, note: "query", act: () => go(`${query}${searchOf([{ ...fresh(), expr }])}`) }));
  const theme = { text: isDark() ? "Light theme" : "Dark theme", note: "setting", act: () => THEME.set(isDark() ? "light" : "dark") };
  return [...pages, theme, ...queries];
}

/** Whether the letters of `wanted` occur in this order. */
export function fits(text: string, wanted: string): boolean {
  let at = 0;
  const lower = text.toLowerCase();
  for (const letter of wanted.toLowerCase()) {
    at = lower.indexOf(letter, at) + 1;
    if (at === 0) return false;
  }
  return true;
}

export function Palette({ site, onClose }: { site: Site; onClose: () => void }) {
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const found = entries(site).filter((entry) => fits(entry.text, text)).slice(0, 12);
  const take = (entry: Entry | undefined) => {
    onClose();
    entry?.act();
  };
  const pressed = (event: KeyboardEvent) => {
    if (event.key === "Enter") {
      event.preventDefault();
      return take(found[at]);
    }
    const move = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (move === 0) return undefined;
    event.preventDefault();
    return setAt((at + move + found.length) % Math.max(found.length, 1));
  };
  return (
    <Dialog title="Find" onClose={onClose}>
      <input type="search" autofocus aria-label="Find pages and queries" placeholder="Page or query" role="combobox" aria-expanded="true" aria-controls="found" aria-activedescendant={found.length > 0 ? `found-${at}` : undefined} value={text} onInput={(e) => { setText(e.currentTarget.value); setAt(0); }} onKeyDown={pressed} />
      <ul id="found" role="listbox" aria-label="Found">
        {found.map((entry, i) => (
          <li key={entry.note + entry.text} id={`found-${i}`} role="option" aria-selected={i === at} onClick={() => take(entry)}>
            <span>{entry.text}</span> <span class="dim">{entry.note}</span>
          </li>
        ))}
      </ul>
      {found.length === 0 ? <p class="dim">Nothing fits.</p> : null}
    </Dialog>
  );
}
