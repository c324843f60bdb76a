/** Begins a conversation: with one person a direct one, with several, or with a title, a group. */
import { useState } from "react";

import { messageOf } from "../api/errors";
import type { User } from "../api/types";
import { useMessenger } from "./context";
import { Dialog } from "./dialog";
import { Icon } from "./icon";
import { People } from "./people";

export function NewConversation({ close }: { close: () => void }) {
  const messenger = useMessenger();
  const [people, setPeople] = useState<User[]>([]);
  const [title, setTitle] = useState("");
  const [problem, setProblem] = useState("");
  const [isBusy, setBusy] = useState(false);
  const [clientConversationId] = useState(messenger.newId);

  const start = async () => {
    setBusy(true);
    setProblem("");
    try {
      await messenger.converse(people, title.trim(), clientConversationId);
      close();
    } catch (error) {
      setProblem(messageOf(error));
      setBusy(false);
    }
  };
  const isDirect = people.length === 1 && !title.trim();
  return (
    <Dialog title="New conversation" close={close}>
      <div className="dialog-body">
        {people.length > 0 && (
          <ul className="chips" aria-label="Chosen people">
            {people.map((user) => (
              <li key={user.id}>
                <button
                  type="button"
                  className="chip"
                  aria-label={`Take ${user.displayName} out`}
                  onClick={() => setPeople(people.filter(({ id }) => id !== user.id))}
                >
                  {user.displayName}
                  <Icon name="close" />
                </button>
              </li>
            ))}
          </ul>
        )}
        <People verb="Choose" without={people.map(({ id }) => id)} choose={(user) => setPeople([...people, user])} />
        <label className="field">
          <span>
            Title <small>(makes it a group; may be left out)</small>
          </span>
          <input value={title} maxLength={100} onChange={(event) => setTitle(event.target.value)} />
        </label>
        <p className="problem" role="alert">
          {problem}
        </p>
      </div>
      <footer className="dialog-foot">
        <button type="button" className="button" onClick={close}>
          Cancel
        </button>
        <button
          type="button"
          className="button primary"
          disabled={isBusy || people.length === 0}
          onClick={() => void start()}
        >
          {isDirect || people.length === 0 ? "Start conversation" : `Start group of ${people.length + 1}`}
        </button>
      </footer>
    </Dialog>
  );
}
