/** Who is in a conversation, in which role; and to come, go, or hear less of it. */
import { useState } from "react";

import { messageOf } from "../api/errors";
import type { Member, MemberRole, User } from "../api/types";
import { isMuted, presenceOf } from "../state/select";
import type { Conversation } from "../state/state";
import { Avatar, PresenceDot } from "./avatar";
import { useKnown, useMessenger } from "./context";
import { Icon } from "./icon";
import { People } from "./people";

const ROLES: Record<MemberRole, string> = { OWNER: "Owner", MODERATOR: "Moderator", MEMBER: "Member" };

export function Members({ conversation, close }: { conversation: Conversation; close: () => void }) {
  const messenger = useMessenger();
  const [isAdding, setAdding] = useState(false);
  const [isLeaving, setLeaving] = useState(false);
  const [problem, setProblem] = useState("");
  const { id, kind, members, memberCount, role } = conversation;
  const muted = isMuted(conversation, Date.now());
  const canManage = kind !== "DIRECT" && (role === "OWNER" || role === "MODERATOR");

  const add = async (user: User) => {
    setProblem("");
    try {
      await messenger.addMember(id, user);
      setAdding(false);
    } catch (error) {
      setProblem(messageOf(error));
    }
  };
  return (
    <aside
      className="panel"
      aria-label="Members"
      onKeyDown={(event) => {
        if (event.key === "Escape") close();
      }}
    >
      <header className="bar">
        <h2 className="bar-title">
          {memberCount} {memberCount === 1 ? "member" : "members"}
        </h2>
        <button type="button" className="icon-button" aria-label="Close members" onClick={close}>
          <Icon name="close" />
        </button>
      </header>
      <div className="panel-body">
        {canManage && (
          <button type="button" className="button wide" aria-expanded={isAdding} onClick={() => setAdding(!isAdding)}>
            <Icon name="add" /> Add people
          </button>
        )}
        {isAdding && (
          <People verb="Add" without={members.map(({ user }) => user.id)} choose={(user) => void add(user)} />
        )}
        <p className="problem" role="alert">
          {problem}
        </p>
        <ul className="members">
          {members.map((member) => (
            <MemberRow key={member.user.id} member={member} conversation={conversation} canManage={canManage} />
          ))}
        </ul>
        {memberCount > members.length && <p className="people-hint">and {memberCount - members.length} more</p>}
      </div>
      <footer className="panel-foot">
        <button
          type="button"
          className="button wide"
          aria-pressed={muted}
          onClick={() => void messenger.mute(id, !muted)}
        >
          <Icon name={muted ? "bell" : "bellOff"} /> {muted ? "Unmute" : "Mute"}
        </button>
        {kind !== "DIRECT" &&
          (isLeaving ? (
            <button type="button" className="button wide danger" onClick={() => void messenger.leaveConversation(id)}>
              Really leave
            </button>
          ) : (
            <button type="button" className="button wide" onClick={() => setLeaving(true)}>
              <Icon name="leave" /> Leave
            </button>
          ))}
      </footer>
    </aside>
  );
}

interface RowProps {
  member: Member;
  conversation: Conversation;
  canManage: boolean;
}

function MemberRow({ member: { user, role }, conversation, canManage }: RowProps) {
  const messenger = useMessenger();
  const viewerId = useKnown(({ viewer }) => viewer!.id);
  const status = useKnown((state) => presenceOf(state, user.id));
  const isViewer = user.id === viewerId;
  const canRemove = canManage && !isViewer && (conversation.role === "OWNER" || role === "MEMBER");
  return (
    <li className="member">
      <span className="row-face">
        <Avatar name={user.displayName} seed={user.id} size="small" />
        {!isViewer && <PresenceDot status={status} />}
      </span>
      <span className="person-name">
        <strong>
          {user.displayName}
          {isViewer && " (you)"}
        </strong>
        <small>@{user.handle}</small>
      </span>
      {conversation.role === "OWNER" && conversation.kind !== "DIRECT" && !isViewer ? (
        <select
          className="member-role"
          aria-label={`Role of ${user.displayName}`}
          value={role}
          onChange={(event) => void messenger.setRole(conversation.id, user.id, event.target.value as MemberRole)}
        >
          {Object.entries(ROLES).map(([value, word]) => (
            <option key={value} value={value}>
              {word}
            </option>
          ))}
        </select>
      ) : (
        conversation.kind !== "DIRECT" && <span className="member-role">{ROLES[role]}</span>
      )}
      {canRemove && (
        <button
          type="button"
          className="icon-button"
          aria-label={`Remove ${user.displayName}`}
          title="Remove"
          onClick={() => void messenger.removeMember(conversation.id, user.id)}
        >
          <Icon name="close" />
        </button>
      )}
    </li>
  );
}
