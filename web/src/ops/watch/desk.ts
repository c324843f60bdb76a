/** What an operator can do, and what goes on by itself while one is signed in. Knows nothing of what is on screen. */
import { again, pause } from "../../app/actions/again";
import { Client } from "../../app/api/client";
import { messageOf } from "../../app/api/errors";
import { ALERTS, ALERTS_TOLD, HEALTH, HISTORY, LOGIN, METRICS, OPERATOR, type Alert, type Health, type Metrics } from "../api/operations";
import { read, told } from "./alerts";
import { LIVE_SECONDS, pointOf, pointOfPast, SAMPLE_SECONDS, withGaps, withNewest, type Point } from "./points";
import { LIVE, type Range } from "./ranges";

const DEVICE = "Operations";
const HEALTH_MS = 5_000;
const PAST_MS = 60_000; // the newest minute is over by then
const FORGOTTEN_MS = 120_000; // an instance that has not answered for so long is shown no more

/** An API process that has answered; behind a load balancer it is chance which one does. */
export interface Instance {
  name: string;
  version: string;
  startedAt: number;
  seenAt: number;
}

export interface State {
  /** `other` is somebody who is signed in and no operator. */
  who: "nobody" | "asking" | "other" | "operator";
  handle: string | null;
  notice: string | null;
  isConnected: boolean;
  metrics: Metrics | null;
  sampledAt: number; // when the newest figures came, or were asked for first, by this machine's clock
  live: Point[];
  range: Range;
  past: { range: Range; points: Point[]; until: number } | null; // null while it is read for the first time
  pastProblem: string | null;
  alerts: Alert[] | null; // null until they were read
  alertsProblem: string | null;
  health: Health | null;
  healthProblem: string | null;
  instances: Instance[];
}

const NOTHING: State = {
  who: "nobody",
  handle: null,
  notice: null,
  isConnected: true,
  metrics: null,
  sampledAt: 0,
  live: [],
  range: LIVE,
  past: null,
  pastProblem: null,
  alerts: null,
  alertsProblem: null,
  health: null,
  healthProblem: null,
  instances: [],
};

export class Desk {
  private current: State = NOTHING;
  private readonly listeners = new Set<() => void>();
  private readonly client: Client;
  private running = new AbortController();
  private reading = new AbortController();

  constructor() {
    this.client = new Client(
      {
        connected: () => this.connected(),
        lost: () => this.set({ isConnected: false }),
        signedOut: () => this.leave("You have been signed out."),
      },
      { resync: () => {} },
    );
    if (this.client.session.user) void this.enter();
  }

  readonly state = (): State => this.current;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  async signIn(handle: string, password: string): Promise<void> {
    await this.client.begin(LOGIN, { handle, password, device: DEVICE });
    await this.enter();
  }

  async signOut(): Promise<void> {
    this.leave();
    await this.client.end();
  }

  /** Look at another span of time. */
  choose(range: Range): void {
    this.reading.abort();
    this.reading = new AbortController();
    this.set({ range, past: null, pastProblem: null });
    if (range.past) void this.readPast(range, this.reading.signal);
  }

  // ------------------------------------------------------------ inside

  private async enter(): Promise<void> {
    this.running = new AbortController();
    const { signal } = this.running;
    this.set({ who: "asking", notice: null });
    try {
      const answer = await again(() => this.client.ask(OPERATOR, {}), signal);
      if (!answer) return;
      const { user, roles } = answer.viewer;
      const isOperator = roles.includes("OPERATOR") || roles.includes("ADMIN");
      this.set({ who: isOperator ? "operator" : "other", handle: user.handle, sampledAt: Date.now() });
      if (isOperator) this.start(signal);
    } catch (error) {
      if (!signal.aborted) this.leave(messageOf(error));
    }
  }

  private start(signal: AbortSignal): void {
    void this.seed(signal);
    this.followMetrics(signal);
    this.followAlerts(signal);
    void this.watchHealth(signal);
  }

  /** What was resolved while there was no connection, nobody tells any more. */
  private connected(): void {
    this.set({ isConnected: true });
    if (this.current.who === "operator") void this.readAlerts(this.running.signal);
  }

  private leave(notice: string | null = null): void {
    this.running.abort();
    this.reading.abort();
    this.set({ ...NOTHING, notice });
  }

  /** Begin the live charts with the minutes before, so that they say something from the start. */
  private async seed(signal: AbortSignal): Promise<void> {
    const to = new Date();
    const from = new Date(to.getTime() - LIVE_SECONDS * 1000);
    const answer = await this.client
      .ask(HISTORY, { from: from.toISOString(), to: to.toISOString(), resolution: "MINUTE" })
      .catch(() => null); // then they begin empty
    if (!answer || signal.aborted) return;
    const first = this.current.live[0]?.at ?? Infinity;
    // A minute stands at its middle, and the newest is not over: the samples that come take its place.
    const minutes = answer.metricsHistory
      .map(pointOfPast)
      .map((point) => ({ ...point, at: point.at + 30 }))
      .filter(({ at }) => at < first && at < to.getTime() / 1000);
    this.set({ live: [...withGaps(minutes, 60), ...this.current.live] });
  }

  private followMetrics(signal: AbortSignal): void {
    const stop = this.client.follow(
      METRICS,
      { everySeconds: SAMPLE_SECONDS },
      ({ metrics }) =>
        this.set({ metrics, sampledAt: Date.now(), live: withNewest(this.current.live, pointOf(metrics)) }),
      () => void pause(HEALTH_MS, signal).then(() => signal.aborted || this.followMetrics(signal)),
    );
    signal.addEventListener("abort", stop);
  }

  private followAlerts(signal: AbortSignal): void {
    const stop = this.client.follow(
      ALERTS_TOLD,
      {},
      ({ alerts }) => this.set({ alerts: told(this.current.alerts ?? [], [alerts]) }),
      () => void pause(HEALTH_MS, signal).then(() => signal.aborted || this.followAlerts(signal)),
    );
    signal.addEventListener("abort", stop);
  }

  private async readAlerts(signal: AbortSignal): Promise<void> {
    const before = this.current.alerts ?? [];
    try {
      const found = await again(() => this.client.ask(ALERTS, {}), signal);
      if (!found || signal.aborted) return;
      const alerts = read(this.current.alerts ?? [], before, [...found.firing.nodes, ...found.newest.nodes]);
      this.set({ alerts, alertsProblem: null });
    } catch (error) {
      if (!signal.aborted) this.set({ alertsProblem: messageOf(error) });
    }
  }

  private async watchHealth(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        const { health } = await this.client.ask(HEALTH, {});
        if (!signal.aborted) this.set({ health, healthProblem: null, instances: seen(this.current.instances, health) });
      } catch (error) {
        if (!signal.aborted) this.set({ healthProblem: messageOf(error) });
      }
      await pause(HEALTH_MS, signal);
    }
  }

  private async readPast(range: Range, signal: AbortSignal): Promise<void> {
    const { seconds, resolution, step } = range.past!;
    while (!signal.aborted) {
      const until = Date.now();
      const from = new Date(until - seconds * 1000).toISOString();
      try {
        const { metricsHistory } = await this.client.ask(HISTORY, {
          from,
          to: new Date(until).toISOString(),
          resolution,
        });
        const points = withGaps(metricsHistory.map(pointOfPast), step);
        if (!signal.aborted) this.set({ past: { range, points, until: until / 1000 }, pastProblem: null });
      } catch (error) {
        if (!signal.aborted) this.set({ pastProblem: messageOf(error) });
      }
      await pause(PAST_MS, signal);
    }
  }

  private set(part: Partial<State>): void {
    this.current = { ...this.current, ...part };
    for (const listener of [...this.listeners]) listener();
  }
}

function seen(before: Instance[], { instance: name, version, uptimeSeconds }: Health): Instance[] {
  const now = Date.now();
  const others = before.filter((each) => each.name !== name && each.seenAt > now - FORGOTTEN_MS);
  const answered = { name, version, startedAt: now - uptimeSeconds * 1000, seenAt: now };
  return [...others, answered].sort((one, other) => one.name.localeCompare(other.name));
}
