// Ways to make trouble, each with what to look at afterwards.

import { type ReactNode, useState } from "react";
import { breakThings, moveClock, setFaults } from "./api";
import type { Breakage, Faults, State } from "./state";

type Trouble = { what: Breakage; label: string };

const GROUPS: { title: string; text: string; troubles: Trouble[] }[] = [
  {
    title: "The bot",
    text: "Kill it at any moment, in the middle of a run too. After the start, card, log and database agree.",
    troubles: [
      { what: "kill_bot", label: "Kill the bot" },
      { what: "start_bot", label: "Start the bot" },
      { what: "drop_socket", label: "Drop its connection" },
    ],
  },
  {
    title: "Behind an approval's back",
    text: "Change what was approved before it runs: the request is void, and the card says what changed.",
    troubles: [
      { what: "edit_migration", label: "Edit a migration" },
      { what: "change_prod", label: "Change prod by hand" },
    ],
  },
  {
    title: "A busy table",
    text: "Hold a lock as a slow query would. A migration waits briefly and politely, then says whom it waited for.",
    troubles: [
      { what: "lock_table", label: "Lock a table" },
      { what: "release_table", label: "Release it" },
    ],
  },
];

const SWITCHES: { fault: keyof Faults; label: string }[] = [
  { fault: "down", label: "Slack is down" },
  { fault: "rate_limited", label: "Slack answers 429 (too many calls)" },
  { fault: "slow", label: "Slack is slow" },
];

export function Breakers({ state }: { state: State }): ReactNode {
  const [told, setTold] = useState<{ words: string; watch: string } | null>(null);

  async function act(doing: Promise<{ error: string | null; told?: string; watch?: string }>, done: string) {
    const { error, told: words = done, watch = "" } = await doing;
    setTold(error ? { words: error, watch: "" } : { words, watch });
  }

  return (
    <div className="scroll breakers" role="region" aria-label="Break things" tabIndex={0}>
      <h2>Break things</h2>
      <p className="muted">Nothing here can leave your machine. See what Countersign makes of it.</p>
      <div className="told" role="status">
        {told && (
          <>
            <p>{told.words}</p>
            {told.watch && (
              <p>
                <strong>Watch: </strong>
                {told.watch}
              </p>
            )}
          </>
        )}
      </div>
      {GROUPS.map((group) => (
        <section key={group.title}>
          <h3>{group.title}</h3>
          <p className="muted small">{group.text}</p>
          <div className="step-buttons">
            {group.troubles.map(({ what, label }) => (
              <button key={what} type="button" className="button" onClick={() => void act(breakThings(what), "Done.")}>
                {label}
              </button>
            ))}
          </div>
        </section>
      ))}
      <section>
        <h3>Slack itself</h3>
        {SWITCHES.map(({ fault, label }) => (
          <Switch
            key={fault}
            label={label}
            on={state.faults[fault]}
            turn={(on) => void act(setFaults({ [fault]: on }), on ? `${label} from now on.` : "Slack is well again.")}
          />
        ))}
      </section>
      <section>
        <h3>The clock</h3>
        <p className="muted small">It only goes forward: requests expire, backups grow old.</p>
        <div className="step-buttons">
          {[1, 25].map((hours) => (
            <button
              key={hours}
              type="button"
              className="button"
              onClick={() => void act(moveClock(hours * 3600), `The clock is ${hours} h further.`)}
            >
              {`${hours} h forward`}
            </button>
          ))}
        </div>
      </section>
    </div>
  );
}

type SwitchProps = { label: string; on: boolean; turn: (on: boolean) => void };

function Switch({ label, on, turn }: SwitchProps): ReactNode {
  return (
    <button type="button" role="switch" aria-checked={on} className="switch" onClick={() => turn(!on)}>
      <span className="switch-track" aria-hidden="true" />
      <span className="switch-label">{label}</span>
      <span className="muted">{on ? "on" : "off"}</span>
    </button>
  );
}
