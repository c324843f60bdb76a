/** Finding people by their handle. */
import { useEffect, useId, useState } from "react";

import type { User } from "../api/types";
import { Avatar } from "./avatar";
import { useMessenger } from "./context";
import { Icon } from "./icon";

const PAUSE_MS = 250; // between two letters nobody is looked for

interface Props {
  /** What choosing does, as a verb: "Add". */
  verb: string;
  without: readonly string[];
  choose: (user: User) => void;
}

export function People({ verb, without, choose }: Props) {
  const messenger = useMessenger();
  const [search, setSearch] = useState("");
  const [found, setFound] = useState<{ search: string; users: User[] | null }>({ search: "", users: [] });
  const hintId = useId();
  const wanted = search.trim().replace(/^@/, "").toLowerCase();

  useEffect(() => {
    let isWanted = true;
    const timer = setTimeout(async () => {
      const users = await messenger.find(wanted).catch(() => null);
      if (isWanted) setFound({ search: wanted, users });
    }, PAUSE_MS);
    return () => {
      isWanted = false;
      clearTimeout(timer);
    };
  }, [messenger, wanted]);

  const isLooking = found.search !== wanted;
  const users = found.users?.filter(({ id }) => !without.includes(id)) ?? [];
  const hint = () => {
    if (wanted.length < 2) return "Type the first two letters of a handle.";
    if (isLooking) return "Looking…";
    if (found.users === null) return "People cannot be looked up at the moment.";
    return users.length === 0 ? "Nobody has such a handle." : "";
  };
  return (
    <div className="people">
      <label className="field">
        <span>Find people by handle</span>
        <span className="with-icon">
          <Icon name="search" />
          <input
            type="search"
            autoComplete="off"
            autoCapitalize="none"
            spellCheck={false}
            value={search}
            aria-describedby={hintId}
            onChange={(event) => setSearch(event.target.value)}
          />
        </span>
      </label>
      <p id={hintId} className="people-hint" aria-live="polite">
        {hint()}
      </p>
      <ul className="people-found">
        {wanted.length >= 2 &&
          users.map((user) => (
            <li key={user.id}>
              <button
                type="button"
                className="person"
                aria-label={`${verb} ${user.displayName}, @${user.handle}`}
                onClick={() => choose(user)}
              >
                <Avatar name={user.displayName} seed={user.id} size="small" />
                <span className="person-name">
                  <strong>{user.displayName}</strong>
                  <small>@{user.handle}</small>
                </span>
                <span className="person-verb">{verb}</span>
              </button>
            </li>
          ))}
      </ul>
    </div>
  );
}
