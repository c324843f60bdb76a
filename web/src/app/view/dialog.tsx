/** A dialog of the browser's own: it keeps the focus, closes on Escape, and gives the focus back. */
import { useEffect, useId, useRef, type ReactNode } from "react";

import { Icon } from "./icon";

export function Dialog({ title, close, children }: { title: string; close: () => void; children: ReactNode }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  useEffect(() => {
    const element = dialog.current!;
    element.showModal();
    return () => element.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      className="dialog"
      aria-labelledby={titleId}
      onCancel={(event) => {
        event.preventDefault();
        close();
      }}
      onClick={(event) => {
        if (event.target === dialog.current) close(); // beside the box
      }}
    >
      <div className="dialog-box">
        <header className="bar">
          <h2 id={titleId} className="bar-title">
            {title}
          </h2>
          <button type="button" className="icon-button" aria-label="Close" onClick={close}>
            <Icon name="close" />
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}
