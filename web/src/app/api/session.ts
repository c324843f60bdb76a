/** Who is signed in: tokens that outlive a reload of this tab, and are renewed before they run out. */
import { ApiError } from "./errors";
import type { Tokens, User } from "./types";

const KEY = "parley.session";
const MARGIN_MS = 60_000; // a token is renewed this long before it runs out, or at four fifths of a shorter life
const RETRY_MS = 5_000;

interface Stored {
  user: User;
  accessToken: string;
  refreshToken: string;
  renewAt: number;
}

/** Each tab has a session of its own, so that two tabs can be two people. */
export class Session {
  private stored: Stored | null = read();
  private renewal: Promise<void> | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;

  /** `renew` asks for new tokens, `ended` is told when there will be no more. */
  constructor(
    private readonly renew: (refreshToken: string) => Promise<Tokens>,
    private readonly ended: () => void,
  ) {
    this.schedule();
  }

  get user(): User | null {
    return this.stored?.user ?? null;
  }

  begin({ user, accessToken, refreshToken }: Tokens): void {
    if (!user || !accessToken || !refreshToken) throw new ApiError("INTERNAL", "No tokens came.", false);
    this.stored = { user, accessToken, refreshToken, renewAt: renewalOf(accessToken) };
    sessionStorage.setItem(KEY, JSON.stringify(this.stored));
    this.schedule();
  }

  end(): void {
    clearTimeout(this.timer);
    this.stored = null;
    sessionStorage.removeItem(KEY);
  }

  /** Return a token that is good now; null when nobody is signed in. */
  async token(): Promise<string | null> {
    if (this.renewal || (this.stored && this.stored.renewAt <= Date.now())) await this.renewed().catch(() => {});
    return this.stored?.accessToken ?? null;
  }

  /** Renew the tokens; whoever asks meanwhile waits for the same renewal. */
  renewed(): Promise<void> {
    this.renewal ??= this.exchange().finally(() => {
      this.renewal = null;
    });
    return this.renewal;
  }

  private async exchange(): Promise<void> {
    const before = this.stored;
    if (!before) return;
    try {
      const tokens = await this.renew(before.refreshToken);
      if (this.stored === before) this.begin({ ...tokens, user: tokens.user ?? before.user });
    } catch (error) {
      if (this.stored !== before) return;
      if (error instanceof ApiError && !error.isRetryable) {
        this.end();
        this.ended();
      } else {
        this.schedule(RETRY_MS);
      }
      throw error;
    }
  }

  private schedule(atLeast = 0): void {
    clearTimeout(this.timer);
    if (!this.stored) return;
    const wait = Math.max(atLeast, this.stored.renewAt - Date.now());
    this.timer = setTimeout(() => void this.renewed().catch(() => {}), wait);
  }
}

function read(): Stored | null {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? "null") as Stored | null;
  } catch {
    return null;
  }
}

/** By this machine's clock, whatever it shows: the token says how long it lives. */
function renewalOf(token: string): number {
  const claims = JSON.parse(atob(token.split(".")[1]!.replaceAll("-", "+").replaceAll("_", "/"))) as {
    iat: number;
    exp: number;
  };
  const lifeMs = (claims.exp - claims.iat) * 1000;
  return Date.now() + Math.max(lifeMs - MARGIN_MS, lifeMs * 0.8);
}
