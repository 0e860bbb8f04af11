// A modal that the bot opened for this person: fill in, send, and read what is wrong at its place.

import { type ReactNode, useEffect, useRef, useState } from "react";
import { clickView, closeView, submit } from "./api";
import type { Pressed } from "./BlockButton";
import { Blocks } from "./Blocks";
import { Dialog } from "./Dialog";
import { type Answer, initialAnswer, problemWith } from "./InputBlock";
import { object, text } from "./reading";
import type { Block, Values, View } from "./state";

type Props = { me: string; view: View };

export function ModalView({ me, view }: Props): ReactNode {
  const [values, setValues] = useState<Values>({});
  const [errors, setErrors] = useState<Record<string, string>>({});
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const [closed, setClosed] = useState(false);
  const form = useRef<HTMLFormElement>(null);

  useEffect(() => {
    if (Object.keys(errors).length > 0) form.current?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  }, [errors]);

  async function send(): Promise<void> {
    const answers = answersTo(view.blocks, values);
    const wrong = problemsIn(view.blocks, answers);
    setErrors(wrong);
    setProblem(null);
    if (Object.keys(wrong).length > 0 || busy) return;
    setBusy(true);
    const told = await submit(me, view.id, answers);
    setBusy(false);
    setErrors(told.errors ?? {});
    setProblem(told.error);
  }
  async function close(): Promise<void> {
    setClosed(true);
    const { error } = await closeView(me, view.id);
    if (error) setClosed(false);
    setProblem(error);
  }
  async function press({ blockId, actionId }: Pressed): Promise<void> {
    setProblem((await clickView(me, view.id, blockId, actionId)).error);
  }
  function change(blockId: string, actionId: string, value: Answer): void {
    setValues((before) => ({ ...before, [blockId]: { ...before[blockId], [actionId]: value } }));
  }

  if (closed) return null;
  return (
    <Dialog title={view.title} kind="modal" close={() => void close()}>
      <form
        ref={form}
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          void send();
        }}
      >
        <Blocks blocks={view.blocks} press={press} form={{ values, errors, change }} />
        {problem && (
          <p className="error" role="alert">
            {problem}
          </p>
        )}
        <footer>
          <button type="button" className="button" onClick={() => void close()}>
            {view.close}
          </button>
          {view.submit && (
            <button type="submit" className="button primary" aria-busy={busy}>
              {view.submit}
            </button>
          )}
        </footer>
      </form>
    </Dialog>
  );
}

function answersTo(blocks: Block[], values: Values): Values {
  const answers: Values = {};
  for (const block of blocks.filter((one) => one.type === "input")) {
    const element = object(block.element);
    const [blockId, actionId] = [text(block.block_id), text(element.action_id)];
    answers[blockId] = { [actionId]: values[blockId]?.[actionId] ?? initialAnswer(element) };
  }
  return answers;
}

/** What Slack says at an input before the app hears of it. */
function problemsIn(blocks: Block[], answers: Values): Record<string, string> {
  const found: Record<string, string> = {};
  for (const block of blocks.filter((one) => one.type === "input")) {
    const [answer = ""] = Object.values(answers[text(block.block_id)] ?? {});
    const problem = problemWith(block, answer);
    if (problem) found[text(block.block_id)] = problem;
  }
  return found;
}
