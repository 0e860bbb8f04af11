import { useEffect, useState } from "react";
import { readState } from "./api";
import type { State } from "./state";

/** What this person sees, kept up to date; `reachable` is false while the server does not answer. */
export function useSandbox(me: string): { state: State | null; reachable: boolean } {
  const [state, setState] = useState<State | null>(null);
  const [reachable, setReachable] = useState(true);

  useEffect(() => {
    let over = false;
    let reading = false;
    let again = false;

    async function read(): Promise<void> {
      if (reading) {
        again = true;
        return;
      }
      reading = true;
      do {
        again = false;
        try {
          const found = await readState(me);
          if (over) return;
          setState(found);
          setReachable(true);
        } catch {
          if (!over) setReachable(false);
        }
      } while (again && !over);
      reading = false;
    }

    const live = new EventSource(`api/live?as=${encodeURIComponent(me)}`);
    live.onopen = () => void read();
    live.onmessage = () => void read();
    live.onerror = () => setReachable(false);
    void read();
    return () => {
      over = true;
      live.close();
    };
  }, [me]);

  if (state === null || state.me === me) return { state, reachable };
  // Somebody else's eyes: until theirs is read, nothing of what the person before them saw.
  return { state: { ...state, me, messages: [], home: null, modal: null }, reachable };
}
