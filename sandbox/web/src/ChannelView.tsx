// One channel: its name, its messages and the line to write in.

import { type ReactNode, useState } from "react";
import { Composer } from "./Composer";
import { Messages } from "./Messages";
import { pressIn } from "./pressing";
import type { State } from "./state";

type Props = {
  state: State;
  channel: string;
  draft: { text: string; number: number };
  marked: string | null;
  sent: () => void;
  openThread: (ts: string) => void;
};

export function ChannelView({ state, channel: id, draft, marked, sent, openThread }: Props): ReactNode {
  const [problem, setProblem] = useState<string | null>(null);
  const channel = state.channels.find((one) => one.id === id);
  const name = channel ? (channel.is_im ? "Countersign" : `#${channel.name}`) : "a channel that you are not in";
  const may = channel?.is_member === true;

  return (
    <>
      <header className="main-head">
        <h2>{name}</h2>
        {channel?.topic && <p className="muted">{channel.topic}</p>}
      </header>
      <Messages
        state={state}
        channel={id}
        name={name}
        marked={marked}
        press={async (ts, pressed) => setProblem(await pressIn(ts, pressed, state.me))}
        openThread={openThread}
      />
      <div className="main-foot">
        {problem && <Problem words={problem} close={() => setProblem(null)} />}
        {may ? (
          <Composer
            key={draft.number}
            me={state.me}
            channel={id}
            name={name}
            thread={null}
            initial={draft.text}
            sent={sent}
          />
        ) : (
          <p className="muted">You are not in this channel, so you cannot write here.</p>
        )}
      </div>
    </>
  );
}

/** What went wrong with the last act, until it is put away. */
export function Problem({ words, close }: { words: string; close: () => void }): ReactNode {
  return (
    <div className="problem" role="alert">
      <p>{words}</p>
      <button type="button" className="icon-button" aria-label="Put this message away" onClick={close}>
        <span aria-hidden="true">×</span>
      </button>
    </div>
  );
}
