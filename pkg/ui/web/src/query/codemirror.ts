// The editor: CodeMirror with PromQL. A chunk of its own, loaded after the page.

import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, insertNewlineAndIndent } from "@codemirror/commands";
import { HighlightStyle, bracketMatching, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { EditorState, Prec } from "@codemirror/state";
import { EditorView, type ViewUpdate, drawSelection, keymap, placeholder } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { PromQLExtension } from "@prometheus-io/codemirror-promql";

const COLORS = HighlightStyle.define([
  { tag: tags.literal, color: "var(--code-number)" },
  { tag: tags.string, color: "var(--code-string)" },
  { tag: tags.number, color: "var(--code-number)" },
  { tag: tags.labelName, color: "var(--code-label)" },
  { tag: [tags.keyword, tags.modifier], color: "var(--code-keyword)" },
  { tag: tags.function(tags.variableName), color: "var(--code-function)" },
  { tag: tags.operator, color: "var(--code-keyword)" },
  { tag: tags.comment, color: "var(--dim)", fontStyle: "italic" },
  { tag: tags.invalid, color: "var(--bad)" },
]);

const THEME = EditorView.theme({
  "&": { fontSize: "13.5px", color: "var(--text)", backgroundColor: "transparent" },
  "&.cm-focused": { outline: "none" },
  ".cm-content": { fontFamily: "var(--mono)", padding: "7px 0", caretColor: "var(--text)" },
  ".cm-scroller": { fontFamily: "var(--mono)", maxHeight: "40vh" },
  ".cm-line": { padding: "0 8px" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  ".cm-placeholder": { color: "var(--dim)" },
  "& .cm-selectionBackground, &.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground": {
    backgroundColor: "var(--selection)",
  },
  ".cm-matchingBracket, &.cm-focused .cm-matchingBracket": { backgroundColor: "var(--selection)" },
  ".cm-tooltip": { backgroundColor: "var(--raised)", border: "1px solid var(--line)", color: "var(--text)", zIndex: "40" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { fontFamily: "var(--mono)", fontSize: "13px", maxHeight: "18em" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li": { padding: "2px 8px" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--on-accent)" },
  ".cm-completionDetail": { marginLeft: "1.5em", fontStyle: "normal", opacity: "0.8" },
  ".cm-completionMatchedText": { textDecoration: "none", fontWeight: "700" },
  ".cm-tooltip.cm-completionInfo": { padding: "6px 8px", maxWidth: "26em", fontSize: "12.5px" },
  ".cm-diagnostic": { padding: "4px 8px" },
});

export interface Options {
  /** An element of the page; the editor lives in its shadow, where styles need no exception of the page's policy. */
  host: HTMLElement;
  text: string;
  /** Where the API is, without a slash at the end. */
  base: string;
  headers: () => Record<string, string>;
  onChange: (text: string) => void;
  onRun: () => void;
}

export interface Editor {
  text: () => string;
  replace: (text: string) => void;
  focus: () => void;
  close: () => void;
}

export function open(options: Options): Editor {
  const root = options.host.shadowRoot ?? options.host.attachShadow({ mode: "open" });
  const run = { run: () => (options.onRun(), true) };
  const promql = new PromQLExtension().activateLinter(true).setComplete({
    remote: {
      url: options.base,
      fetchFn: (input, init) => fetch(input, { ...init, headers: { ...init?.headers, ...options.headers() } }),
      cache: { maxAge: 5 * 60_000 },
    },
    maxMetricsMetadata: 20_000,
  });
  const view = new EditorView({
    root,
    parent: root,
    state: EditorState.create({
      doc: options.text,
      extensions: [
        history(),
        drawSelection(),
        indentOnInput(),
        bracketMatching(),
        closeBrackets(),
        autocompletion({ icons: false }),
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({ "aria-label": "PromQL query", spellcheck: "false" }),
        placeholder("PromQL — Enter runs, Shift-Enter breaks the line, Ctrl-Space completes"),
        THEME,
        syntaxHighlighting(COLORS),
        promql.asExtension(),
        keymap.of([...closeBracketsKeymap, ...historyKeymap, ...completionKeymap]),
        Prec.low(keymap.of([{ key: "Enter", ...run }, { key: "Shift-Enter", run: insertNewlineAndIndent }])),
        Prec.highest(keymap.of([{ key: "Mod-Enter", ...run }])),
        Prec.lowest(keymap.of(defaultKeymap)),
        EditorView.updateListener.of((update: ViewUpdate) => {
          if (update.docChanged) options.onChange(update.state.doc.toString());
        }),
      ],
    }),
  });
  return {
    text: () => view.state.doc.toString(),
    replace: (text) => view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } }),
    focus: () => view.focus(),
    close: () => view.destroy(),
  };
}
