import { useEffect, useState } from "react";
import type { Place } from "./places";
import type { State } from "./state";

/** How many messages of each channel this person has not had before their eyes; threads do not count. */
export function useUnread(state: State, place: Place): Record<string, number> {
  const [seen, setSeen] = useState<Record<string, string>>({});
  const watched = place.kind === "channel" ? place.id : null;
  const newest = newestIn(state, watched);

  useEffect(() => {
    if (watched !== null && newest !== "") setSeen((before) => ({ ...before, [`${state.me} ${watched}`]: newest }));
  }, [state.me, watched, newest]);

  const counts: Record<string, number> = {};
  for (const message of state.messages) {
    const known = seen[`${state.me} ${message.channel}`] ?? "";
    if (message.thread_ts !== null || message.author === state.me || message.channel === watched) continue;
    if (message.ts > known) counts[message.channel] = (counts[message.channel] ?? 0) + 1;
  }
  return counts;
}

function newestIn(state: State, channel: string | null): string {
  return state.messages.reduce((last, one) => (one.channel === channel && one.ts > last ? one.ts : last), "");
}
