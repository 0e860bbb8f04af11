// The line to write in. Enter sends, Shift+Enter breaks the line; after a slash it offers the words.

import { type KeyboardEvent, type ReactNode, useEffect, useId, useRef, useState } from "react";
import { say } from "./api";
import { wordsFor } from "./words";

type Props = {
  me: string;
  channel: string;
  name: string;
  thread: string | null;
  initial: string;
  /** Called when the line has gone out, so that nobody finds it there again. */
  sent?: () => void;
};

const NOTED = /^\/\S+ failed with the error/;

export function Composer({ me, channel, name, thread, initial, sent }: Props): ReactNode {
  const [text, setText] = useState(initial);
  const [chosen, setChosen] = useState(-1);
  const [hidden, setHidden] = useState(initial !== "");
  const [answer, setAnswer] = useState<{ words: string; bad: boolean } | null>(null);
  const field = useRef<HTMLTextAreaElement>(null);
  const id = useId();
  const offered = thread === null && !hidden ? wordsFor(text) : [];

  useEffect(() => {
    if (initial !== "") field.current?.focus();
  }, [initial]);

  function type(next: string): void {
    setText(next);
    setChosen(-1);
    setHidden(false);
  }
  function take(place: number): void {
    const word = offered[place];
    if (!word) return;
    type(word.typed);
    setHidden(true);
    field.current?.focus();
  }
  async function send(): Promise<void> {
    const words = text.trim();
    if (!words) return;
    type("");
    sent?.();
    setAnswer(null);
    const { error, told } = await say(me, channel, words, thread);
    // Slackbot's note in the channel says already what became of a command.
    if (error) setAnswer(NOTED.test(error) ? null : { words: error, bad: true });
    else if (told) setAnswer({ words: told, bad: false });
  }
  function onKey(event: KeyboardEvent): void {
    if (event.nativeEvent.isComposing) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined && offered.length > 0) {
      event.preventDefault();
      setChosen((before) => (Math.max(before, step < 0 ? 0 : -1) + step + offered.length) % offered.length);
    } else if (event.key === "Escape" && offered.length > 0) {
      event.preventDefault();
      setHidden(true);
    } else if ((event.key === "Enter" || (event.key === "Tab" && !event.shiftKey)) && offered[chosen]) {
      event.preventDefault();
      take(chosen);
    } else if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      void send();
    }
  }

  return (
    <div className="composer">
      {answer && (
        <p className={answer.bad ? "error" : "muted"} role={answer.bad ? "alert" : "status"}>
          {answer.words}
        </p>
      )}
      {offered.length > 0 && (
        <ul className="offers" role="listbox" id={`${id}-list`} aria-label="Words after /migrate">
          {offered.map((word, place) => (
            <li
              key={word.typed}
              id={`${id}-${place}`}
              role="option"
              aria-selected={place === chosen}
              onMouseDown={(event) => {
                event.preventDefault();
                take(place);
              }}
            >
              <code>{word.typed}</code> <span className="muted">{word.does}</span>
            </li>
          ))}
        </ul>
      )}
      <div className="write">
        <textarea
          ref={field}
          rows={1}
          value={text}
          role="combobox"
          aria-label={`Message ${name}`}
          aria-autocomplete="list"
          aria-expanded={offered.length > 0}
          aria-controls={offered.length > 0 ? `${id}-list` : undefined}
          aria-activedescendant={offered[chosen] ? `${id}-${chosen}` : undefined}
          placeholder={thread === null ? "Write, or / for commands" : "Reply, or @Countersign …"}
          onChange={(event) => type(event.target.value)}
          onKeyDown={onKey}
        />
        <button type="button" className="button primary" onClick={() => void send()}>
          Send
        </button>
      </div>
    </div>
  );
}
