/** What was done in the last minute, and what went wrong. */
import { useKnown } from "./context";
import { figure } from "./figures";

const MOST = 10;

export function Operations() {
  const found = useKnown((state) => state.metrics?.requests.byOperation) ?? [];
  const most = [...found].sort((one, other) => other.count - one.count).slice(0, MOST);
  return (
    <section aria-labelledby="operations" className="card">
      <h2 id="operations">Operations of the last minute</h2>
      <div className="scrolled" tabIndex={0} role="region" aria-label="Table: operations">
        <table>
          <thead>
            <tr>
              <th scope="col">Operation</th>
              <th scope="col">Kind</th>
              <th scope="col">Count</th>
              <th scope="col">With errors</th>
              <th scope="col">p50</th>
              <th scope="col">p99</th>
            </tr>
          </thead>
          <tbody>
            {most.map(({ operation, kind, count, errorCount, latency }) => (
              <tr key={`${kind} ${operation}`}>
                <th scope="row">{operation}</th>
                <td>{kind.toLowerCase()}</td>
                <td>{figure(count, "count")}</td>
                <td>{figure(errorCount, "count")}</td>
                <td>{figure(latency.p50Ms, "ms")}</td>
                <td>{figure(latency.p99Ms, "ms")}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

export function Errors() {
  const metrics = useKnown((state) => state.metrics);
  return (
    <section aria-labelledby="errors" className="card">
      <h2 id="errors">Answers and errors of the last minute</h2>
      <div className="scrolled" tabIndex={0} role="region" aria-label="Table: answers and errors">
        <table>
          <thead>
            <tr>
              <th scope="col">Code</th>
              <th scope="col">Count</th>
            </tr>
          </thead>
          <tbody>
            {[...(metrics?.requests.byStatus ?? []), ...(metrics?.errors ?? [])].map(({ code, count }) => (
              <tr key={code}>
                <th scope="row">{/^\d+$/.test(code) ? `HTTP ${code}` : code}</th>
                <td>{figure(count, "count")}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
