// The audit log, newest event first, and whether its chain holds.

import { type ReactNode, useCallback, useState } from "react";
import { readLog } from "./api";
import { useReader } from "./reader";
import type { AuditLog, LogEvent } from "./state";
import { useReading } from "./useReading";
import { clockTime, fullTime } from "./when";

type Props = { revision: number; names: Record<string, string> };

export function AuditLogView({ revision, names }: Props): ReactNode {
  const [older, setOlder] = useState<LogEvent[]>([]);
  const readNewest = useCallback(() => readLog(null), []);
  const { found, problem, again } = useReading<AuditLog>(readNewest, revision);
  const events = newestFirst([...(found?.events ?? []), ...older]);
  const last = events.at(-1)?.seq ?? 0;

  async function readOlder(): Promise<void> {
    const more = await readLog(last).catch(() => null);
    if (more) setOlder((before) => [...before, ...more.events]);
  }

  return (
    <>
      <header className="main-head">
        <h2>Audit log</h2>
        <button type="button" className="button" onClick={again}>
          Read again
        </button>
      </header>
      <div className="scroll log" role="region" aria-label="Audit log" tabIndex={0}>
        {problem && <p role="alert">{problem}</p>}
        {!found && !problem && <p className="muted">Reading the log…</p>}
        {found && <Verified verified={found.verified} />}
        <ol className="events">
          {events.map((event) => (
            <li key={event.seq}>
              <EventRow event={event} names={names} />
            </li>
          ))}
        </ol>
        {last > 1 && (
          <button type="button" className="button" onClick={() => void readOlder()}>
            Older events
          </button>
        )}
      </div>
    </>
  );
}

function Verified({ verified }: { verified: AuditLog["verified"] }): ReactNode {
  return (
    <div className={`verified ${verified.ok ? "good" : "bad"}`}>
      <p>
        <strong>{verified.ok ? "Verified: " : "Does not verify: "}</strong>
        {`${verified.events} events${verified.ok ? ", none missing, none changed" : ""}.`}
      </p>
      {verified.head && (
        <p className="small">
          Head <code>{verified.head}</code>
        </p>
      )}
      {verified.problems.map((problem, place) => (
        <p key={place} className="plain">
          {typeof problem === "string" ? problem : JSON.stringify(problem)}
        </p>
      ))}
    </div>
  );
}

function EventRow({ event, names }: { event: LogEvent; names: Record<string, string> }): ReactNode {
  const { clock } = useReader();
  const at = Date.parse(event.at);
  const user = event.actor?.split("/").at(-1) ?? "";
  return (
    <details>
      <summary>
        <span className="seq">#{event.seq}</span>
        <time title={fullTime(at, clock)}>{clockTime(at, clock, true)}</time>
        <strong>{event.kind.replaceAll("_", " ")}</strong>
        {event.request && <span>{event.request}</span>}
        {event.environment && <span className="muted">{event.environment}</span>}
        <span className="muted">{names[user]?.replace(/^@/, "") ?? event.actor}</span>
      </summary>
      <pre>{JSON.stringify(event.data, null, 2)}</pre>
    </details>
  );
}

function newestFirst(events: LogEvent[]): LogEvent[] {
  const bySeq = new Map(events.map((event) => [event.seq, event]));
  return [...bySeq.values()].sort((one, other) => other.seq - one.seq);
}
