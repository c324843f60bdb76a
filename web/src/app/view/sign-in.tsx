/** The door: sign in, or create an account. */
import { useState, type FormEvent } from "react";

import { ApiError, messageOf } from "../api/errors";
import { useMessenger } from "./context";
import { Logo } from "./icon";
import { ThemeSwitch } from "./theme";

export function SignIn() {
  const messenger = useMessenger();
  const [isNew, setNew] = useState(false);
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<{ field: string | undefined; message: string } | null>(null);

  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const text = (name: string) => String(form.get(name) ?? "").trim();
    const password = String(form.get("password") ?? "");
    setBusy(true);
    setError(null);
    try {
      if (isNew) await messenger.signUp(text("handle"), password, text("displayName"));
      else await messenger.signIn(text("handle"), password);
    } catch (problem) {
      setError({ field: problem instanceof ApiError ? problem.field : undefined, message: messageOf(problem) });
      setBusy(false);
    }
  };
  const problemAt = (field: string) =>
    error?.field === field ? { "aria-invalid": true, "aria-describedby": "sign-in-error" } : {};

  return (
    <main className="door">
      <div className="door-theme">
        <ThemeSwitch />
      </div>
      <div className="door-card">
        <Logo />
        <h1>Parley</h1>
        <p className="door-line">{isNew ? "Create an account and say hello." : "Good to see you again."}</p>
        <form onSubmit={submit}>
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
          {isNew && (
            <label className="field">
              <span>
                Name <small>(as others see it)</small>
              </span>
              <input name="displayName" autoComplete="name" placeholder="Ada Lovelace" {...problemAt("displayName")} />
            </label>
          )}
          <label className="field">
            <span>Password</span>
            <input
              name="password"
              type="password"
              required
              autoComplete={isNew ? "new-password" : "current-password"}
              {...problemAt("password")}
            />
          </label>
          <p id="sign-in-error" className="problem" role="alert">
            {error?.message}
          </p>
          <button type="submit" className="button primary wide" disabled={isBusy}>
            {isBusy ? "One moment…" : isNew ? "Create account" : "Sign in"}
          </button>
        </form>
        <p className="door-other">
          {isNew ? "Already have an account?" : "New here?"}{" "}
          <button
            type="button"
            className="link"
            onClick={() => {
              setNew(!isNew);
              setError(null);
            }}
          >
            {isNew ? "Sign in" : "Create an account"}
          </button>
        </p>
      </div>
    </main>
  );
}
