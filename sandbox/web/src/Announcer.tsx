// Tells screen readers of new messages, and of cards whose first line changed.

import { type ReactNode, useEffect, useRef, useState } from "react";
import type { Message } from "./state";

type Props = { messages: Message[]; me: string };

export function Announcer({ messages, me }: Props): ReactNode {
  const known = useRef<Map<string, string> | null>(null);
  const [told, setTold] = useState("");

  useEffect(() => {
    const lines = new Map(messages.map((message) => [message.ts, firstLine(message)]));
    const before = known.current;
    // Nothing is told of what was there when the page opened.
    if (before !== null) {
      const fresh = messages.filter((one) => one.author !== me && before.get(one.ts) !== lines.get(one.ts));
      if (fresh.length > 0) setTold(fresh.map((one) => `${one.author_name}: ${lines.get(one.ts)}`).join(". "));
    }
    if (before !== null || messages.length > 0) known.current = lines;
  }, [messages, me]);

  return (
    <div className="unseen" role="status" aria-live="polite">
      {told}
    </div>
  );
}

function firstLine(message: Message): string {
  return (message.text.split("\n", 1)[0] ?? "").slice(0, 200);
}
