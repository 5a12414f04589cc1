// Each page as it should always be: no fault, accessible, in both themes and widths.

import assert from "node:assert/strict";
import { accessible, fits, open, shot, visit } from "./browser.mjs";

const LOOKS = [
  { width: 1280, isDark: false },
  { width: 1280, isDark: true },
  { width: 390, isDark: false },
];
/** Both widths and both themes once, where the same page has been seen at other servers in all. */
export const FEW_LOOKS = [
  { width: 1280, isDark: false },
  { width: 390, isDark: true },
];

/** `pages`: path → a text that must show. */
export async function lookAt(browser, base, name, pages, { allow = [], looks = LOOKS } = {}) {
  const found = [];
  for (const look of looks) {
    const { page, faults, close } = await open(browser, { ...look, allow });
    for (const [path, text] of Object.entries(pages)) {
      const what = `${name}-${path.split("?")[0] || "root"}-${look.width}${look.isDark ? "-dark" : ""}`;
      await visit(page, base + path);
      await page.getByText(text).first().waitFor({ state: "attached" });
      await shot(page, what);
      found.push(...(await accessible(page, what)), ...(await fits(page, what)), ...faults.splice(0).map((text) => `${what}: ${text}`));
    }
    await close();
  }
  assert.deepEqual(found, []);
}
