// Who you are, whether the bot runs, and how late it is.

import type { ReactNode } from "react";
import type { State } from "./state";

type Props = { state: State; reachable: boolean; become: (person: string) => void };

export function TopBar({ state, reachable, become }: Props): ReactNode {
  return (
    <header className="top">
      <h1>
        Countersign <span>sandbox</span>
      </h1>
      <label className="who">
        <span>You are</span>
        <select value={state.me} onChange={(event) => become(event.target.value)}>
          {state.people.map((person) => (
            <option key={person.id} value={person.id}>
              {`${person.name} (${person.role})`}
            </option>
          ))}
        </select>
      </label>
      <ul className="facts" aria-label="State of the sandbox">
        {conditions(state, reachable).map(({ words, bad }) => (
          <li key={words} className={bad ? "bad" : ""}>
            {words}
          </li>
        ))}
      </ul>
    </header>
  );
}

function conditions({ bot, faults, clock }: State, reachable: boolean): { words: string; bad: boolean }[] {
  const found = [
    reachable
      ? { words: bot.up ? "Bot runs" : "Bot is stopped", bad: !bot.up }
      : { words: "Sandbox is gone", bad: true },
  ];
  if (faults.down) found.push({ words: "Slack is down", bad: true });
  if (faults.rate_limited) found.push({ words: "Slack limits calls", bad: true });
  if (faults.slow) found.push({ words: "Slack is slow", bad: true });
  if (clock.ahead_seconds >= 1) found.push({ words: `Clock is ${inHours(clock.ahead_seconds)} ahead`, bad: false });
  return found;
}

function inHours(seconds: number): string {
  return `${Math.round((seconds / 3600) * 10) / 10} h`;
}
