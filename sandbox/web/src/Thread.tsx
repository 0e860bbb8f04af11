// A thread beside its channel. Esc closes it.

import { type ReactNode, useEffect, useRef, useState } from "react";
import type { Pressed } from "./BlockButton";
import { Problem } from "./ChannelView";
import { Composer } from "./Composer";
import { repliesOf } from "./Messages";
import { MessageRow } from "./MessageRow";
import { pressIn } from "./pressing";
import type { Message, State } from "./state";

type Props = { state: State; root: Message; close: () => void };

export function Thread({ state, root, close }: Props): ReactNode {
  const [problem, setProblem] = useState<string | null>(null);
  const heading = useRef<HTMLHeadingElement>(null);
  const replies = repliesOf(root, state.messages);
  useEffect(() => heading.current?.focus(), []);

  const press = (message: Message) => async (pressed: Pressed) =>
    setProblem(await pressIn(message.ts, pressed, state.me));

  return (
    <div
      className="thread"
      onKeyDown={(event) => {
        const inDialog = event.target instanceof Element && event.target.closest("dialog");
        if (event.key === "Escape" && !event.defaultPrevented && !inDialog) close();
      }}
    >
      <header className="main-head">
        <h2 ref={heading} tabIndex={-1}>
          Thread
        </h2>
        <button type="button" className="icon-button" aria-label="Close the thread" onClick={close}>
          <span aria-hidden="true">×</span>
        </button>
      </header>
      <div className="messages" role="region" aria-label="Messages in the thread" tabIndex={0}>
        <MessageRow message={root} press={press(root)} />
        <p className="day">
          <span>{replies.length === 1 ? "1 reply" : `${replies.length} replies`}</span>
        </p>
        {replies.map((message) => (
          <MessageRow key={message.ts} message={message} press={press(message)} />
        ))}
      </div>
      <div className="main-foot">
        {problem && <Problem words={problem} close={() => setProblem(null)} />}
        <Composer me={state.me} channel={root.channel} name="the thread" thread={root.ts} initial="" />
      </div>
    </div>
  );
}
