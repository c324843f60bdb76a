/** The door: sign in, create an account, or choose another password where a reset link has led here. */
import { useState } from "react";

import { useMessenger } from "./context";
import { Door, DoorForm, HandleField, PasswordField, written } from "./door";

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
const NEW_PASSWORD = { signIn: undefined, signUp: "chosen", reset: "replaced" } as const;

/** Return the token of a reset link; null where the page was opened without one. */
function resetToken(): string | null {
  return location.pathname === "/reset" ? new URLSearchParams(location.search).get("token") : null;
}

export function SignIn() {
  const messenger = useMessenger();
  const [way, setWay] = useState<Way>(() => (resetToken() ? "reset" : "signIn"));
  const words = WORDS[way];
  const isNew = NEW_PASSWORD[way];

  const enter = async (form: FormData): Promise<void> => {
    const [handle, password] = [written(form, "handle"), written(form, "password")];
    if (way === "reset") await messenger.resetPassword(resetToken()!, password);
    else if (way === "signUp") await messenger.signUp(handle, password, written(form, "displayName"));
    else await messenger.signIn(handle, password);
    forgetLink();
  };

  return (
    <Door title="Parley" line={words.line}>
      <DoorForm submit={words.submit} enter={enter}>
        {(problemAt) => (
          <>
            {way !== "reset" && <HandleField problemAt={problemAt} />}
            {way === "signUp" && (
              <label className="field">
                <span>
                  Name <small>(as others see it)</small>
                </span>
                <input name="displayName" autoComplete="name" placeholder="Ada Lovelace" {...problemAt("displayName")} />
              </label>
            )}
            <PasswordField problemAt={problemAt} {...(isNew && { isNew })} />
          </>
        )}
      </DoorForm>
      <p className="door-other">
        {words.question}{" "}
        <button
          type="button"
          className="link"
          onClick={() => {
            forgetLink();
            setWay(words.next);
          }}
        >
          {words.other}
        </button>
      </p>
    </Door>
  );
}

/** A link is good once, and its token belongs in no history. */
function forgetLink(): void {
  if (location.pathname === "/reset") history.replaceState(null, "", "/");
}
