import "./style/theme.css";
import "./style/controls.css";
import "./style/frame.css";
import "./style/list.css";
import "./style/messages.css";
import "./style/composer.css";
import "./style/panels.css";

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { Messenger } from "./actions/messenger";
import { App } from "./view/app";
import { MessengerContext } from "./view/context";
import { applyTheme } from "./view/theme";

applyTheme();
createRoot(document.getElementById("page")!).render(
  <StrictMode>
    <MessengerContext value={new Messenger()}>
      <App />
    </MessengerContext>
  </StrictMode>,
);
