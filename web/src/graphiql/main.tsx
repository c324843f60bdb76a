import "graphiql/setup-workers/vite";
import "graphiql/style.css";
import "./page.css";

import { GraphiQL } from "graphiql";
import { useState } from "react";
import { createRoot } from "react-dom/client";

import { EMPTY_HEADERS, examples } from "./examples";
import { createFetcher } from "./fetcher";
import { answersIn, Fill, tokenIn, type Answers } from "./fill";

const tabs = examples();
// Without this GraphiQL leaves out the first example's variables; on later visits it would lay them over stored ones.
const firstVariables = localStorage.getItem("graphiql:tabState") ? undefined : tabs[0]?.variables;

const lastToken = tokenIn(localStorage.getItem("graphiql:headers") ?? "");

function Page() {
  const [answers, setAnswers] = useState<Answers>({ token: lastToken });
  const [fetcher] = useState(() =>
    createFetcher(location.origin + location.pathname, (result) =>
      setAnswers((before) => ({ ...before, ...answersIn(result) })),
    ),
  );
  return (
    <GraphiQL
      fetcher={fetcher}
      defaultTabs={tabs}
      defaultQuery=""
      defaultHeaders={EMPTY_HEADERS}
      defaultEditorToolsVisibility="variables"
      initialVariables={firstVariables}
      inputValueDeprecation
      schemaDescription
      shouldPersistHeaders
    >
      <GraphiQL.Logo>Parley</GraphiQL.Logo>
      <Fill {...answers} />
    </GraphiQL>
  );
}

createRoot(document.getElementById("page")!).render(<Page />);
