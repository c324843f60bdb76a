/** What is told in passing: at the foot of the page to those who see, and of new messages to those who listen. */
import { useEffect } from "react";

import { useKnown, useMessenger } from "./context";
import { Icon } from "./icon";

const SHOWN_MS = 8_000;

export function Notice() {
  const { dismissNotice } = useMessenger();
  const notice = useKnown((state) => state.notice);
  useEffect(() => {
    if (!notice) return;
    const timer = setTimeout(dismissNotice, SHOWN_MS);
    return () => clearTimeout(timer);
  }, [notice, dismissNotice]);
  return (
    <div role="alert" className="notice-place">
      {notice && (
        <p className="notice">
          {notice}
          <button type="button" className="icon-button" aria-label="Dismiss" onClick={dismissNotice}>
            <Icon name="close" />
          </button>
        </p>
      )}
    </div>
  );
}

export function Spoken() {
  const heard = useKnown((state) => state.heard);
  return (
    <p className="only-heard" aria-live="polite">
      {heard}
    </p>
  );
}
