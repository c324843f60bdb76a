/** Which screen is shown. */
import { useEffect } from "react";

import { unreadIn } from "../state/select";
import { useKnown, useMessenger } from "./context";
import { Conversation } from "./conversation";
import { Empty } from "./empty";
import { List } from "./list";
import { Notice, Spoken } from "./notice";
import { SignIn } from "./sign-in";
import { ConnectionBanner } from "./banner";

export function App() {
  const isSignedIn = useKnown(({ viewer }) => viewer !== null);
  return (
    <>
      {isSignedIn ? <Signed /> : <SignIn />}
      <Notice />
      <Spoken />
    </>
  );
}

function Signed() {
  const openId = useKnown((state) => (state.openId && state.conversations[state.openId] ? state.openId : null));
  const unread = useKnown(unreadIn);
  useAddress();
  useEffect(() => {
    document.title = unread > 0 ? `(${unread}) Parley` : "Parley";
    return () => void (document.title = "Parley");
  }, [unread]);
  return (
    <main className={openId ? "frame has-open" : "frame"}>
      <h1 className="only-heard">Parley</h1>
      <ConnectionBanner />
      <List />
      <div className="stage">{openId ? <Conversation key={openId} id={openId} /> : <Empty />}</div>
    </main>
  );
}

/** Keeps the open conversation in the address, so that reloading and the browser's own buttons work. */
function useAddress(): void {
  const messenger = useMessenger();
  const openId = useKnown((state) => state.openId);
  const isListed = useKnown(({ list }) => list === "ready");
  useEffect(() => {
    if (!isListed) return;
    const follow = () => {
      const id = location.hash.slice(1) || null;
      const { conversations, openId: current } = messenger.store.state();
      if (id !== current) messenger.open(id && conversations[id] ? id : null);
    };
    follow();
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, [isListed, messenger]);
  useEffect(() => {
    if (isListed && location.hash.slice(1) !== (openId ?? "")) {
      history.pushState(null, "", openId ? `#${openId}` : location.pathname);
    }
  }, [isListed, openId]);
}
