/** The card before which somebody stands who is not signed in: a form, and what was wrong with what was written in it. */
import { useEffect, useState, type FormEvent, type ReactNode } from "react";

import { ApiError, messageOf } from "../api/errors";
import { Logo } from "./icon";
import { ThemeSwitch } from "./theme";

/** What marks a field that the last refusal was about. */
export type ProblemAt = (...fields: string[]) => { "aria-invalid"?: true; "aria-describedby"?: string };

export function Door({ title, line, children }: { title: string; line: string; children: ReactNode }) {
  return (
    <main className="door">
      <div className="door-theme">
        <ThemeSwitch />
      </div>
      <div className="door-card">
        <Logo />
        <h1>{title}</h1>
        <p className="door-line">{line}</p>
        {children}
      </div>
    </main>
  );
}

/** The form: `enter` lets in or raises an `ApiError`; what went wrong is forgotten when the form is `submit`ted for something else. */
export function DoorForm({
  submit,
  enter,
  children,
}: {
  submit: string;
  enter: (form: FormData) => Promise<void>;
  children: (problemAt: ProblemAt) => ReactNode;
}) {
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<{ field: string | undefined; message: string } | null>(null);
  useEffect(() => setError(null), [submit]);
  const send = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await enter(new FormData(event.currentTarget));
    } catch (problem) {
      setError({ field: problem instanceof ApiError ? problem.field : undefined, message: messageOf(problem) });
      setBusy(false);
    }
  };
  const problemAt: ProblemAt = (...fields) =>
    error?.field && fields.includes(error.field) ? { "aria-invalid": true, "aria-describedby": "sign-in-error" } : {};
  return (
    <form onSubmit={send}>
      {children(problemAt)}
      <p id="sign-in-error" className="problem" role="alert">
        {error?.message}
      </p>
      <button type="submit" className="button primary wide" disabled={isBusy}>
        {isBusy ? "One moment…" : submit}
      </button>
    </form>
  );
}

export function HandleField({ problemAt }: { problemAt: ProblemAt }) {
  return (
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
  );
}

export function PasswordField({ problemAt, isNew }: { problemAt: ProblemAt; isNew?: "chosen" | "replaced" }) {
  return (
    <label className="field">
      <span>{isNew === "replaced" ? "New password" : "Password"}</span>
      <input
        name="password"
        type="password"
        required
        autoComplete={isNew ? "new-password" : "current-password"}
        {...problemAt("password", "newPassword")}
      />
    </label>
  );
}

/** Return what was written in a field. */
export function written(form: FormData, name: string): string {
  const text = String(form.get(name) ?? "");
  return name === "password" ? text : text.trim();
}
