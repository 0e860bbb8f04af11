// What a first visitor may try, in order; what is done says so.

import { type ReactNode, useEffect, useRef } from "react";
import { type Place, samePlace } from "./places";
import type { GuideStep, State } from "./state";

type Props = {
  state: State;
  place: Place;
  become: (person: string) => void;
  fill: (step: GuideStep) => void;
  look: (step: GuideStep) => void;
};

const LOOKS = {
  channel: "Go to the channel",
  schema: "Open the database",
  log: "Open the audit log",
  home: "Open Home",
  breakers: "Show what to break",
};

export function Guide({ state, place: here, become, fill, look }: Props): ReactNode {
  const next = state.guide.find((step) => !step.done);
  const done = state.guide.filter((step) => step.done).length;
  const itsRow = useRef<HTMLLIElement>(null);
  const nextId = next?.id;
  useEffect(() => {
    if (nextId !== undefined) itsRow.current?.scrollIntoView({ block: "nearest" });
  }, [nextId]);
  return (
    <div className="scroll guide" role="region" aria-label="Guide" tabIndex={0}>
      <h2>First steps</h2>
      <p className="muted">
        {`${done} of ${state.guide.length} done. Everything here is real but Slack: the bot, both databases, the backup, the log.`}
      </p>
      <ol>
        {state.guide.map((step, place) => (
          <li key={step.id} ref={step === next ? itsRow : undefined} className={step.done ? "done" : step === next ? "next" : ""}>
            <details open={step === next}>
              <summary>
                <span className="step-number" aria-hidden="true">
                  {place + 1}
                </span>
                <span className="step-title">{step.title}</span>
                <span className="step-mark">{step.done ? "done" : step === next ? "next" : "to do"}</span>
              </summary>
              <p className="plain">{step.text}</p>
              <StepButtons step={step} state={state} place={here} become={become} fill={fill} look={look} />
            </details>
          </li>
        ))}
      </ol>
      {!next && (
        <p>
          <strong>That is all of it.</strong> For a Slack of your own: <code>countersign init</code>, then{" "}
          <code>countersign bot</code>.
        </p>
      )}
    </div>
  );
}

function StepButtons({ step, state, place, become, fill, look }: Props & { step: GuideStep }): ReactNode {
  const person = step.as !== null && step.as !== state.me ? state.people.find((one) => one.id === step.as) : undefined;
  const isThere = step.look === "channel" && samePlace(place, { kind: "channel", id: step.channel ?? "" });
  return (
    <div className="step-buttons">
      {person && (
        <button type="button" className="button" onClick={() => become(person.id)}>
          {`Become ${person.name}`}
        </button>
      )}
      {step.fill && (
        <button type="button" className="button" onClick={() => fill(step)}>
          Fill in <code>{step.fill}</code>
        </button>
      )}
      {step.look && (
        <button type="button" className={isThere ? "button only-narrow" : "button"} onClick={() => look(step)}>
          {LOOKS[step.look]}
        </button>
      )}
    </div>
  );
}
