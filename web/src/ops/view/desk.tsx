/** The desk of an operator: what matters first, then charts, then what they come from. */
import { Icon, Logo } from "../../app/view/icon";
import { ThemeSwitch } from "../../app/view/theme";
import type { Alert, HealthStatus, MetricsResolution } from "../api/operations";
import { firing } from "../watch/alerts";
import { LIVE_SECONDS, SAMPLE_SECONDS, toldIn } from "../watch/points";
import type { State } from "../watch/desk";
import { RANGES } from "../watch/ranges";
import { Alerts } from "./alerts";
import { Chart } from "./chart";
import { LIVE_CHARTS, PAST_CHARTS } from "./charts";
import { useDesk, useKnown } from "./context";
import { figure, lasting, type Unit } from "./figures";
import { HealthOf } from "./health";
import { STATUS_WORDS, StatusMark } from "./mark";
import { useNow } from "./now";
import { Errors, Operations } from "./operations";

const POINT_WORDS: Record<MetricsResolution, string> = { MINUTE: "a minute", HOUR: "an hour", DAY: "a day of UTC" };
const LEAST_SECONDS = 120; // that the live charts are wide, however little there is yet
const SILENT_MS = 5_000 * SAMPLE_SECONDS;

export function DeskView() {
  const desk = useDesk();
  const handle = useKnown((state) => state.handle);
  return (
    <div className="desk">
      <header className="bar desk-bar">
        <Logo />
        <h1 className="bar-title">
          Operations<span className="desk-wide"> · {location.host}</span>
        </h1>
        <small className="desk-wide">@{handle}</small>
        <ThemeSwitch />
        <button type="button" className="icon-button" aria-label="Sign out" onClick={() => void desk.signOut()}>
          <Icon name="signOut" />
        </button>
      </header>
      <Silence />
      <main className="desk-body">
        <Tiles />
        <Alerts />
        <Charts />
        <HealthOf />
        <div className="desk-pair">
          <Operations />
          <Errors />
        </div>
      </main>
    </div>
  );
}

/** Says when what is shown is no longer what is. */
function Silence() {
  const isConnected = useKnown((state) => state.isConnected);
  const sampledAt = useKnown((state) => state.sampledAt);
  const now = useNow(1_000);
  const isSilent = now - sampledAt > SILENT_MS;
  return (
    <div role="status" className="banner-place">
      {(isSilent || !isConnected) && (
        <p className="banner">
          <span className="spinner" aria-hidden="true" />
          {isConnected ? "No new figures come." : "Reconnecting…"} What is shown may be out of date.
        </p>
      )}
    </div>
  );
}

function Tiles() {
  const metrics = useKnown((state) => state.metrics);
  const health = useKnown((state) => state.health);
  const problem = useKnown((state) => state.healthProblem);
  const alerts = useKnown((state) => state.alerts);
  const status = problem ? "UNHEALTHY" : health?.status;
  const tiles: [string, number | null, Unit][] = [
    ["Requests", metrics && metrics.requests.perSecond, "perSecond"],
    ["Latency p99", metrics && metrics.requests.latency.p99Ms, "ms"],
    ["Deliveries", metrics && metrics.messages.deliveriesPerSecond, "perSecond"],
    ["Sockets", metrics && metrics.connections.open, "count"],
    ["People online", metrics && metrics.users.online, "count"],
    ["Errors", metrics && toldIn(metrics), "perMinute"],
  ];
  return (
    <section aria-labelledby="now">
      <h2 id="now" className="only-heard">
        Now
      </h2>
      <dl className="tiles">
        <div className="tile">
          <dt>Health</dt>
          <dd>{status ? <StatusMark status={status} word={STATUS_WORDS[status]} /> : "–"}</dd>
        </div>
        <div className="tile">
          <dt>Alerts</dt>
          <dd>{alerts ? <StatusMark status={statusOf(alerts)} word={`${firing(alerts).length} firing`} /> : "–"}</dd>
        </div>
        {tiles.map(([name, value, unit]) => (
          <div className="tile" key={name}>
            <dt>{name}</dt>
            <dd>{figure(value, unit)}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

function statusOf(alerts: Alert[]): HealthStatus {
  const going = firing(alerts);
  if (going.some(({ severity }) => severity === "CRITICAL")) return "UNHEALTHY";
  return going.length > 0 ? "DEGRADED" : "HEALTHY";
}

function Charts() {
  const desk = useDesk();
  const range = useKnown((state) => state.range);
  const live = useKnown((state) => state.live);
  const past = useKnown((state) => state.past);
  const problem = useKnown((state) => state.pastProblem);
  const isLive = range.past === null;
  const points = isLive ? live : (past?.points ?? []);
  const until = isLive ? (live.at(-1)?.at ?? Date.now() / 1000) : (past?.until ?? Date.now() / 1000);
  const from = range.past ? until - range.past.seconds : Math.min(points[0]?.at ?? until, until - LEAST_SECONDS);
  return (
    <section aria-labelledby="charts" aria-busy={!isLive && !past && !problem}>
      <div className="section-head">
        <h2 id="charts">Figures</h2>
        <fieldset className="ranges">
          <legend className="only-heard">Time</legend>
          {RANGES.map((each) => (
            <label key={each.id}>
              <input
                type="radio"
                name="range"
                aria-label={each.spoken}
                checked={each.id === range.id}
                onChange={() => desk.choose(each)}
              />
              <span aria-hidden="true">{each.name}</span>
            </label>
          ))}
        </fieldset>
      </div>
      <p className="section-note" role="status">
        {problem ?? (isLive ? `The last ${lasting(LIVE_SECONDS)}; each point tells of the minute before it.` : wordsOf(past))}
      </p>
      <div className="charts">
        {(isLive ? LIVE_CHARTS : PAST_CHARTS).map((kind) => (
          <Chart key={`${isLive} ${kind.title}`} kind={kind} points={points} from={from} until={until} />
        ))}
      </div>
    </section>
  );
}

function wordsOf(past: State["past"]): string {
  if (!past) return "Reading…";
  return past.points.length ? `Each point is ${POINT_WORDS[past.range.past!.resolution]}.` : "Nothing is known of this time.";
}
