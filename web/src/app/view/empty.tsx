/** The place of a conversation while none is open. */
import { useKnown } from "./context";
import { Logo } from "./icon";

export function Empty() {
  const hasAny = useKnown(({ conversations }) => Object.keys(conversations).length > 0);
  return (
    <div className="empty">
      <Logo />
      <h2>{hasAny ? "Pick a conversation" : "Welcome to Parley"}</h2>
      <p>
        {hasAny
          ? "Your messages are on the left. Start a new conversation with the pencil above them."
          : "Find people by their handle and say hello: use the pencil above the list."}
      </p>
    </div>
  );
}
