import "uplot/dist/uPlot.min.css";
import "./style.css";
import { render } from "preact";
import { followLinks } from "./lib/router.ts";
import { followTheme } from "./parts/theme.ts";
import { Shell } from "./shell.tsx";
import { loadSite } from "./site.ts";

followTheme();
const root = document.getElementById("app") as HTMLElement;
try {
  const site = await loadSite();
  followLinks((segment) => site.pages.some((page) => page.paths.includes(segment)));
  render(<Shell site={site} />, root);
} catch (error) {
  render(<p class="message bad" role="alert">The page could not begin: {String(error)}</p>, root);
}
