/** Whether the parts of the deployment answer, and which API processes do. */
import { useKnown } from "./context";
import { figure, lasting } from "./figures";
import { STATUS_WORDS, StatusMark } from "./mark";

const NAMES: Record<string, string> = { mongodb: "MongoDB", redis: "Redis", kafka: "Kafka" };

export function HealthOf() {
  const health = useKnown((state) => state.health);
  const problem = useKnown((state) => state.healthProblem);
  return (
    <div className="desk-pair">
      <section aria-labelledby="components" className="card">
        <h2 id="components">Components</h2>
        {problem && (
          <p className="problem" role="alert">
            {problem}
          </p>
        )}
        <div className="scrolled" tabIndex={0} role="region" aria-label="Table: components">
          <table>
            <thead>
              <tr>
                <th scope="col">Component</th>
                <th scope="col">Status</th>
                <th scope="col">Answers in</th>
              </tr>
            </thead>
            <tbody>
              {health?.components.map(({ name, status, latencyMs, detail }) => (
                <tr key={name}>
                  <th scope="row">{NAMES[name] ?? name}</th>
                  <td>
                    <StatusMark status={status} word={STATUS_WORDS[status]} />
                  </td>
                  <td>{detail ?? figure(latencyMs, "ms")}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </section>
      <Instances />
    </div>
  );
}

function Instances() {
  const instances = useKnown((state) => state.instances);
  const count = useKnown((state) => state.metrics?.instanceCount);
  const now = Date.now();
  return (
    <section aria-labelledby="instances" className="card">
      <h2 id="instances">Instances</h2>
      <p className="section-note">
        {count === undefined ? "" : `${count} API ${count === 1 ? "process reports" : "processes report"}.`} Those that
        have answered this page:
      </p>
      <div className="scrolled" tabIndex={0} role="region" aria-label="Table: instances">
        <table>
          <thead>
            <tr>
              <th scope="col">Instance</th>
              <th scope="col">Version</th>
              <th scope="col">Up for</th>
              <th scope="col">Seen</th>
            </tr>
          </thead>
          <tbody>
            {instances.map(({ name, version, startedAt, seenAt }) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td>{version}</td>
                <td>{lasting((now - startedAt) / 1000)}</td>
                <td>{lasting((now - seenAt) / 1000)} ago</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
