// One message: who, when, what, its files, and where its thread is.

import type { ReactNode } from "react";
import type { Press } from "./BlockButton";
import { Blocks, Mrkdwn } from "./Blocks";
import { FileCard } from "./FileCard";
import { useReader } from "./reader";
import type { Message } from "./state";
import { clockTime, fullTime, momentOf } from "./when";

type Props = {
  message: Message;
  press: Press;
  /** How many replies its thread has; undefined inside a thread, where that is not shown. */
  replies?: { count: number; last: string } | undefined;
  openThread?: (() => void) | undefined;
  marked?: boolean;
};

export function MessageRow({ message, press, replies, openThread, marked = false }: Props): ReactNode {
  const { clock } = useReader();
  const at = momentOf(message.ts);
  const classes = ["message", message.only_for_me && "private", message.failed && "failed", marked && "marked"]
    .filter(Boolean)
    .join(" ");
  return (
    <article className={classes} data-ts={message.ts} aria-label={`${message.author_name}, ${clockTime(at, clock)}`}>
      <Avatar
        id={message.author}
        name={message.author_name}
        isBot={message.is_bot && message.author_name !== "Slackbot"}
      />
      <div className="message-body">
        {message.only_for_me && <p className="only-you">Only visible to you</p>}
        <p className="message-head">
          <strong>{message.author_name}</strong>
          {message.is_bot && <span className="badge">App</span>}
          <time title={fullTime(at, clock)}>{clockTime(at, clock)}</time>
        </p>
        {message.blocks.length > 0 ? (
          <Blocks blocks={message.blocks} press={press} />
        ) : (
          message.text && <Mrkdwn source={message.text} />
        )}
        {message.edited && message.blocks.length === 0 && <span className="muted small">(edited)</span>}
        {message.files.map((file) => (
          <FileCard key={file.id} file={file} />
        ))}
        {openThread && <ThreadLink replies={replies} open={openThread} ts={message.ts} />}
      </div>
    </article>
  );
}

type ThreadLinkProps = { replies: { count: number; last: string } | undefined; open: () => void; ts: string };

function ThreadLink({ replies, open, ts }: ThreadLinkProps): ReactNode {
  const { clock } = useReader();
  if (!replies) {
    return (
      <button type="button" className="reply-quiet" data-thread={ts} onClick={open}>
        Reply in thread
      </button>
    );
  }
  return (
    <button type="button" className="thread-link" data-thread={ts} onClick={open}>
      <span>{replies.count === 1 ? "1 reply" : `${replies.count} replies`}</span>{" "}
      <span className="muted">last at {clockTime(momentOf(replies.last), clock)}</span>
    </button>
  );
}

export function Avatar({ id, name, isBot }: { id: string; name: string; isBot: boolean }): ReactNode {
  if (isBot) {
    return (
      <svg className="avatar" viewBox="0 0 36 36" aria-hidden="true">
        <rect width="36" height="36" rx="8" className="avatar-bot" />
        <path d="M10 18.5l5.2 5.2L26 12.8" className="avatar-tick" />
      </svg>
    );
  }
  return (
    <span className={`avatar tint-${tint(id)}`} aria-hidden="true">
      {name.slice(0, 1)}
    </span>
  );
}

/** One of six quiet colours, always the same for a person. */
function tint(id: string): number {
  return [...id].reduce((sum, letter) => sum + letter.charCodeAt(0), 0) % 6;
}
