/** Which screen is shown: the door, a word to somebody who is no operator, or the desk. */
import { Door, DoorForm, HandleField, PasswordField, written } from "../../app/view/door";
import { useDesk, useKnown } from "./context";
import { DeskView } from "./desk";

const TITLE = "Parley operations";

export function Page() {
  const who = useKnown((state) => state.who);
  if (who === "operator") return <DeskView />;
  if (who === "other") return <NoOperator />;
  return <SignIn />;
}

function SignIn() {
  const desk = useDesk();
  const notice = useKnown((state) => state.notice);
  return (
    <Door title={TITLE} line="For the operators of this deployment.">
      <DoorForm
        submit="Sign in"
        enter={(form) => desk.signIn(written(form, "handle"), written(form, "password"))}
      >
        {(problemAt) => (
          <>
            {notice && <p role="status">{notice}</p>}
            <HandleField problemAt={problemAt} />
            <PasswordField problemAt={problemAt} />
          </>
        )}
      </DoorForm>
    </Door>
  );
}

function NoOperator() {
  const desk = useDesk();
  const handle = useKnown((state) => state.handle);
  return (
    <Door title={TITLE} line="For the operators of this deployment.">
      <div className="door-refusal" role="alert">
        <p>
          <strong>@{handle}</strong> is not an operator. This page is for accounts with the role OPERATOR or ADMIN; an
          administrator can give it.
        </p>
      </div>
      <button type="button" className="button primary wide" onClick={() => void desk.signOut()}>
        Sign in with another account
      </button>
      <p className="door-other">
        <a className="link" href="/">
          Go to the messenger
        </a>
      </p>
    </Door>
  );
}
