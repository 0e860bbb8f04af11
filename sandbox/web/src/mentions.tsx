// How names, dates, links and emoji inside a message are drawn; the block library asks for each of them here.

import type { ComponentProps, ReactNode } from "react";
import type { Message } from "slack-blocks-to-jsx";
import { useReader } from "./reader";
import { slackDate } from "./when";

type Hooks = NonNullable<ComponentProps<typeof Message>["hooks"]>;

const PERMALINK = /^https:\/\/[\w.-]+\/archives\/(\w+)\/p(\d+)(\d{6})(?:\?.*)?$/;

/** The library keeps the hooks it got first, so these never change; what changes comes through the reader. */
export const hooks: Hooks = {
  user: ({ id }) => <Name id={id} mark="@" />,
  usergroup: ({ id }) => <Name id={id} mark="@" />,
  channel: ({ id }) => <Name id={id} mark="#" />,
  atHere: () => <span className="mention">@here</span>,
  atChannel: () => <span className="mention">@channel</span>,
  atEveryone: () => <span className="mention">@everyone</span>,
  emoji: (emoji, parse) => (
    <span role="img" aria-label={emoji.name.replaceAll("_", " ")}>
      {parse(emoji)}
    </span>
  ),
  date: ({ timestamp, format, link, fallback }) => (
    <SlackDate seconds={Number(timestamp)} format={format} fallback={fallback} link={link} />
  ),
  link: ({ href, children }) => <MessageLink href={href}>{children}</MessageLink>,
};

function Name({ id, mark }: { id: string; mark: string }): ReactNode {
  const { names } = useReader();
  return <span className="mention">{mark + (names[id] ?? id).replace(/^[@#]/, "")}</span>;
}

type DateProps = { seconds: number; format: string; fallback: string; link: string | null };

function SlackDate({ seconds, format, fallback, link }: DateProps): ReactNode {
  const { clock } = useReader();
  const shown = slackDate(seconds, format, fallback, clock);
  const time = <time title={fallback}>{shown}</time>;
  return link ? <MessageLink href={link}>{time}</MessageLink> : time;
}

/** A link of a message: to a message of this page, or out of it in a tab of its own; other schemes are only text. */
export function MessageLink({ href, children }: { href: string; children: ReactNode }): ReactNode {
  const { open } = useReader();
  const permalink = PERMALINK.exec(href);
  if (permalink && open) {
    const [, channel = "", seconds, micros] = permalink;
    return (
      <button type="button" className="link" onClick={() => open(channel, `${seconds}.${micros}`)}>
        {children}
      </button>
    );
  }
  if (!/^https?:\/\//i.test(href)) return <span>{children}</span>;
  return (
    <a href={href} target="_blank" rel="noopener noreferrer">
      {children}
    </a>
  );
}
