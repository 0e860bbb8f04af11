// A button inside blocks: asks first where the block says so, then tells which block and action was pressed.

import { type ReactNode, useState } from "react";
import { Dialog } from "./Dialog";
import { MessageLink } from "./mentions";
import { object, text, words } from "./reading";
import type { Json } from "./state";

/** A button as it stood when it was pressed. */
export type Pressed = { blockId: string; actionId: string; value: string };

/** Tells Slack of a press; ends when Slack answered. Undefined where nothing can be pressed. */
export type Press = ((pressed: Pressed) => Promise<void>) | undefined;

type Props = { element: Json; blockId: string; press: Press };

export function BlockButton({ element, blockId, press }: Props): ReactNode {
  const [asking, setAsking] = useState(false);
  const [busy, setBusy] = useState(false);
  const label = words(element.text);
  const style = element.style === "primary" || element.style === "danger" ? element.style : "";

  async function tell(): Promise<void> {
    setAsking(false);
    setBusy(true);
    await press?.({ blockId, actionId: text(element.action_id), value: text(element.value) });
    setBusy(false);
  }

  return (
    <>
      <button
        type="button"
        className={`button ${style}`}
        aria-label={text(element.accessibility_label) || undefined}
        aria-busy={busy}
        aria-haspopup={element.confirm ? "dialog" : undefined}
        onClick={() => {
          if (busy) return;
          if (element.confirm) setAsking(true);
          else void tell();
        }}
      >
        {label}
      </button>
      {text(element.url) && <MessageLink href={text(element.url)}>Open</MessageLink>}
      {asking && <Confirm confirm={object(element.confirm)} yes={() => void tell()} no={() => setAsking(false)} />}
    </>
  );
}

function Confirm({ confirm, yes, no }: { confirm: Json; yes: () => void; no: () => void }): ReactNode {
  return (
    <Dialog title={words(confirm.title) || "Are you sure?"} kind="confirm" close={no}>
      <p className="plain">{words(confirm.text)}</p>
      <footer>
        <button type="button" className="button" onClick={no}>
          {words(confirm.deny) || "Cancel"}
        </button>
        <button type="button" className={`button ${confirm.style === "danger" ? "danger" : "primary"}`} onClick={yes}>
          {words(confirm.confirm) || "Yes"}
        </button>
      </footer>
    </Dialog>
  );
}
