import "uplot/dist/uPlot.min.css";
import "../app/style/theme.css";
import "../app/style/controls.css";
import "../app/style/frame.css";
import "./style/desk.css";
import "./style/charts.css";

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { applyTheme } from "../app/view/theme";
import { DeskContext } from "./view/context";
import { Page } from "./view/page";
import { Desk } from "./watch/desk";

applyTheme();
createRoot(document.getElementById("page")!).render(
  <StrictMode>
    <DeskContext value={new Desk()}>
      <Page />
    </DeskContext>
  </StrictMode>,
);
