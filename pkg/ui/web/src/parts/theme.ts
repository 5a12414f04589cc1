// Light and dark: as the system has it, or as chosen here.

import { useEffect, useState } from "preact/hooks";
import { remembered } from "../lib/memory.ts";

export type Theme = "system" | "light" | "dark";
export const THEME = remembered<Theme>("theme", "system");

const SYSTEM = matchMedia("(prefers-color-scheme: dark)");

export function isDark(): boolean {
  const theme = THEME.get();
  return theme === "system" ? SYSTEM.matches : theme === "dark";
}

export function applyTheme(): void {
  document.documentElement.dataset.theme = isDark() ? "dark" : "light";
}

export function useDark(): boolean {
  const [dark, setDark] = useState(isDark);
  useEffect(() => {
    const changed = () => setDark(isDark());
    const end = THEME.watch(changed);
    SYSTEM.addEventListener("change", changed);
    return () => {
      end();
      SYSTEM.removeEventListener("change", changed);
    };
  }, []);
  return dark;
}

export function followTheme(): void {
  applyTheme();
  THEME.watch(applyTheme);
  SYSTEM.addEventListener("change", applyTheme);
}
