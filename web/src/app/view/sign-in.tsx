/** The door: sign in, create an account, or choose another password where a reset link has led here. */
import { useState, type FormEvent } from "react";

import { ApiError, messageOf } from "../api/errors";
import { useMessenger } from "./context";
import { Logo } from "./icon";
import { ThemeSwitch } from "./theme";

type Way = "signIn" | "signUp" | "reset";

const WORDS: Record<Way, { line: string; submit: string; question: string; other: string; next: Way }> = {
  signIn: {
    line: "Good to see you again.",
    submit: "Sign in",
    question: "New here?",
    other: "Create an account",
    next: "signUp",
  },
  signUp: {
    line: "Create an account and say hello.",
    submit: "Create account",
    question: "Already have an account?",
    other: "Sign in",
    next: "signIn",
  },
  reset: {
    line: "Choose a new password.",
    submit: "Set password",
    question: "You know the old one?",
    other: "Sign in",
    next: "signIn",
  },
};

/** Return the token of a reset link; null where the page was opened without one. */
function resetToken(): string | null {
  return location.pathname === "/reset" ? new URLSearchParams(location.search).get("token") : null;
}

export function SignIn() {
  const messenger = useMessenger();
  const [way, setWay] = useState<Way>(() => (resetToken() ? "reset" : "signIn"));
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<{ field: string | undefined; message: string } | null>(null);
  const words = WORDS[way];

  const enter = (form: FormData): Promise<void> => {
    const text = (name: string) => String(form.get(name) ?? "").trim();
    const password = String(form.get("password") ?? "");
    if (way === "reset") return messenger.resetPassword(resetToken()!, password);
    if (way === "signUp") return messenger.signUp(text("handle"), password, text("displayName"));
    return messenger.signIn(text("handle"), password);
  };
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await enter(new FormData(event.currentTarget));
      forgetLink();
    } catch (problem) {
      setError({ field: problem instanceof ApiError ? problem.field : undefined, message: messageOf(problem) });
      setBusy(false);
    }
  };
  const problemAt = (...fields: string[]) =>
    error?.field && fields.includes(error.field) ? { "aria-invalid": true, "aria-describedby": "sign-in-error" } : {};

  return (
    <main className="door">
      <div className="door-theme">
        <ThemeSwitch />
      </div>
      <div className="door-card">
        <Logo />
        <h1>Parley</h1>
        <p className="door-line">{words.line}</p>
        <form onSubmit={submit}>
          {way !== "reset" && (
            <label className="field">
              <span>Handle</span>
              <input
                name="handle"
                required
                autoComplete="username"
                autoCapitalize="none"
                spellCheck={false}
                placeholder="ada"
                {...problemAt("handle")}
              />
            </label>
          )}
          {way === "signUp" && (
            <label className="field">
              <span>
                Name <small>(as others see it)</small>
              </span>
              <input name="displayName" autoComplete="name" placeholder="Ada Lovelace" {...problemAt("displayName")} />
            </label>
          )}
          <label className="field">
            <span>{way === "reset" ? "New password" : "Password"}</span>
            <input
              name="password"
              type="password"
              required
              autoComplete={way === "signIn" ? "current-password" : "new-password"}
              {...problemAt("password", "newPassword")}
            />
          </label>
          <p id="sign-in-error" className="problem" role="alert">
            {error?.message}
          </p>
          <button type="submit" className="button primary wide" disabled={isBusy}>
            {isBusy ? "One moment…" : words.submit}
          </button>
        </form>
        <p className="door-other">
          {words.question}{" "}
          <button
            type="button"
            className="link"
            onClick={() => {
              forgetLink();
              setWay(words.next);
              setError(null);
            }}
          >
            {words.other}
          </button>
        </p>
      </div>
    </main>
  );
}

/** A link is good once, and its token belongs in no history. */
function forgetLink(): void {
  if (location.pathname === "/reset") history.replaceState(null, "", "/");
}
