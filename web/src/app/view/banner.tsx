/** Says when there is no connection. What is written meanwhile is kept and sent later. */
import { useEffect, useState } from "react";

import { useKnown } from "./context";

const SETTLE_MS = 600; // shorter breaks are nobody's concern

export function ConnectionBanner() {
  const isLost = useKnown(({ connection }) => connection === "reconnecting");
  const [isShown, setShown] = useState(false);
  useEffect(() => {
    if (!isLost) return setShown(false);
    const timer = setTimeout(() => setShown(true), SETTLE_MS);
    return () => clearTimeout(timer);
  }, [isLost]);
  return (
    <div role="status" className="banner-place">
      {isShown && (
        <p className="banner">
          <span className="spinner" aria-hidden="true" />
          Reconnecting… Messages you write are sent when the connection is back.
        </p>
      )}
    </div>
  );
}
