/** What is wrong, and what was. */
import { full } from "../../app/view/times";
import type { Alert } from "../api/operations";
import { firing } from "../watch/alerts";
import { useKnown } from "./context";
import { lasting } from "./figures";
import { useNow } from "./now";
import { StatusMark } from "./mark";

export function Alerts() {
  const alerts = useKnown((state) => state.alerts);
  const problem = useKnown((state) => state.alertsProblem);
  const now = useNow(1_000);
  const going = firing(alerts ?? []);
  const over = (alerts ?? []).filter(({ state }) => state === "RESOLVED");
  return (
    <section aria-labelledby="alerts" className="card">
      <h2 id="alerts">Alerts</h2>
      {problem && (
        <p className="problem" role="alert">
          {problem}
        </p>
      )}
      {alerts && going.length === 0 && <p className="section-note">Nothing fires.</p>}
      {going.length > 0 && (
        <ul className="alerts" aria-label="Firing">
          {going.map((alert) => (
            <li key={alert.id} className="alert">
              <Severity alert={alert} />
              <strong>{alert.name}</strong>
              <span className="alert-text">{alert.message}</span>
              <span className="alert-time" title={full(alert.startedAt)}>
                for {lasting((now - Date.parse(alert.startedAt)) / 1000)}
              </span>
            </li>
          ))}
        </ul>
      )}
      {over.length > 0 && (
        <details className="alerts-over">
          <summary>Resolved ({over.length})</summary>
          <ul className="alerts" aria-label="Resolved">
            {over.map((alert) => (
              <li key={alert.id} className="alert">
                <StatusMark status="HEALTHY" word="Resolved" />
                <strong>{alert.name}</strong>
                <span className="alert-text">{alert.message}</span>
                <span className="alert-time">
                  {full(alert.startedAt)}, {alert.endedAt ? lasting(secondsOf(alert)) : ""}
                </span>
              </li>
            ))}
          </ul>
        </details>
      )}
      <p className="only-heard" role="status">
        {going.map(({ name, message }) => `${name}: ${message}`).join(" ")}
      </p>
    </section>
  );
}

function Severity({ alert: { severity } }: { alert: Alert }) {
  return severity === "CRITICAL" ? (
    <StatusMark status="UNHEALTHY" word="Critical" />
  ) : (
    <StatusMark status="DEGRADED" word="Warning" />
  );
}

const secondsOf = ({ startedAt, endedAt }: Alert): number => (Date.parse(endedAt!) - Date.parse(startedAt)) / 1000;
