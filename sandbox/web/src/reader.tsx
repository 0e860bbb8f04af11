// Who reads: the names behind ids, the clock, and what a link to a message does. Given to everything inside a message.

import { createContext, useContext } from "react";
import type { Clock } from "./when";

export type Reader = {
  names: Record<string, string>;
  clock: Clock;
  theme: "light" | "dark";
  /** Shows a message of this page; undefined where links lead nowhere. */
  open: ((channel: string, ts: string) => void) | undefined;
};

export const ReaderContext = createContext<Reader>({
  names: {},
  clock: { now: 0, zone: undefined },
  theme: "light",
  open: undefined,
});

export function useReader(): Reader {
  return useContext(ReaderContext);
}
