// The messages of a channel, oldest first, by day. Stays at the newest one while the reader is there.

import { Fragment, type ReactNode, useEffect, useLayoutEffect, useRef } from "react";
import type { Pressed } from "./BlockButton";
import { MessageRow } from "./MessageRow";
import { useReader } from "./reader";
import type { Message, State } from "./state";
import { dayName, momentOf } from "./when";

type Props = {
  state: State;
  channel: string;
  name: string;
  marked: string | null;
  press: (ts: string, pressed: Pressed) => Promise<void>;
  openThread: (ts: string) => void;
};

const NEAR_PIXELS = 120;

export function Messages({ state, channel, name, marked, press, openThread }: Props): ReactNode {
  const { clock } = useReader();
  const list = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);
  const here = state.messages.filter((message) => message.channel === channel);
  const shown = here.filter((message) => message.thread_ts === null || message.thread_ts === message.ts);

  useLayoutEffect(() => {
    if (atEnd.current) list.current?.scrollTo({ top: list.current.scrollHeight });
  });
  useEffect(() => {
    if (marked === null) return;
    atEnd.current = false;
    list.current?.querySelector(`[data-ts="${CSS.escape(marked)}"]`)?.scrollIntoView({ block: "center" });
  }, [marked]);

  let day = "";
  return (
    <div
      ref={list}
      className="messages"
      role="region"
      aria-label={`Messages in ${name}`}
      tabIndex={0}
      onScroll={({ currentTarget: { scrollTop, scrollHeight, clientHeight } }) => {
        atEnd.current = scrollHeight - scrollTop - clientHeight < NEAR_PIXELS;
      }}
    >
      {shown.length === 0 && <p className="empty muted">Nothing here yet. The guide tells what to type first.</p>}
      {shown.map((message) => {
        const itsDay = dayName(momentOf(message.ts), clock);
        const isNewDay = itsDay !== day;
        day = itsDay;
        return (
          <Fragment key={message.ts}>
            {isNewDay && (
              <p className="day">
                <span>{itsDay}</span>
              </p>
            )}
            <MessageRow
              message={message}
              press={(pressed) => press(message.ts, pressed)}
              replies={repliesTo(message, here)}
              openThread={message.only_for_me || message.failed ? undefined : () => openThread(message.ts)}
              marked={message.ts === marked}
            />
          </Fragment>
        );
      })}
    </div>
  );
}

export function repliesOf(root: Message, messages: Message[]): Message[] {
  return messages.filter((message) => message.thread_ts === root.ts && message.ts !== root.ts);
}

function repliesTo(root: Message, messages: Message[]): { count: number; last: string } | undefined {
  const replies = repliesOf(root, messages);
  const last = replies.at(-1);
  return last && { count: replies.length, last: last.ts };
}
