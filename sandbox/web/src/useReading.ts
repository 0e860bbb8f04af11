import { useEffect, useRef, useState } from "react";

const SETTLE_MILLISECONDS = 400;

/** What `read` gives, read again a moment after `key` changes or `again` is called; the last good one stays. */
export function useReading<T>(
  read: () => Promise<T>,
  key: unknown,
): { found: T | null; problem: string | null; again: () => void } {
  const [found, setFound] = useState<T | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [round, setRound] = useState(0);
  const isFirst = useRef(true);

  useEffect(() => {
    let over = false;
    const wait = isFirst.current ? 0 : SETTLE_MILLISECONDS;
    isFirst.current = false;
    const timer = setTimeout(() => {
      read().then(
        (value) => {
          if (over) return;
          setFound(value);
          setProblem(null);
        },
        (error: unknown) => {
          if (!over) setProblem(error instanceof Error ? error.message : "It cannot be read now.");
        },
      );
    }, wait);
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [read, key, round]);

  return { found, problem, again: () => setRound((before) => before + 1) };
}
