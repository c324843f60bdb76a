/** Light, dark, or as the system says. */
import { useState } from "react";

import { Icon } from "./icon";

const KEY = "parley.theme";
const THEMES = ["system", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];

const NAMES: Record<Theme, string> = { system: "as the system", light: "light", dark: "dark" };

function stored(): Theme {
  return THEMES.find((theme) => theme === localStorage.getItem(KEY)) ?? "system";
}

export function applyTheme(): void {
  document.documentElement.dataset["theme"] = stored();
}

export function ThemeSwitch() {
  const [theme, setTheme] = useState(stored);
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]!;
  const change = () => {
    localStorage.setItem(KEY, next);
    applyTheme();
    setTheme(next);
  };
  return (
    <button
      type="button"
      className="icon-button"
      onClick={change}
      aria-label={`Theme: ${NAMES[theme]}. Change to ${NAMES[next]}`}
      title={`Theme: ${NAMES[theme]}`}
    >
      <Icon name={theme} />
    </button>
  );
}
