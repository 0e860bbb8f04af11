// Every request to the sandbox's own server. Nothing else is ever asked.

import type { AuditLog, Breakage, Faults, Schema, State, Values } from "./state";

const NOT_THERE = "The sandbox does not answer. Is it still running in the terminal?";

type Told = { error: string | null };

export function readState(me: string): Promise<State> {
  return get<State>(`api/state?as=${encodeURIComponent(me)}`);
}

export function readSchema(): Promise<Schema> {
  return get<Schema>("api/schema");
}

/** The newest events, or those before a number. */
export function readLog(before: number | null): Promise<AuditLog> {
  return get<AuditLog>(before === null ? "api/log?limit=100" : `api/log?limit=100&before=${before}`);
}

export function say(me: string, channel: string, text: string, thread: string | null) {
  return post<Told & { told?: string | null }>("api/say", { as: me, channel, text, thread_ts: thread });
}

export function click(me: string, message: string, blockId: string, actionId: string) {
  return post<Told>("api/click", { as: me, message, block_id: blockId, action_id: actionId });
}

export function submit(me: string, view: string, values: Values) {
  return post<Told & { errors?: Record<string, string> }>("api/submit", { as: me, view, values });
}

export function closeView(me: string, view: string) {
  return post<Told>("api/close", { as: me, view });
}

export function clickView(me: string, view: string, blockId: string, actionId: string) {
  return post<Told>("api/modal/click", { as: me, view, block_id: blockId, action_id: actionId });
}

export function openHome(me: string) {
  return post<Told>("api/home", { as: me });
}

export function clickHome(me: string, blockId: string, actionId: string) {
  return post<Told>("api/home/click", { as: me, block_id: blockId, action_id: actionId });
}

export function moveClock(seconds: number) {
  return post<Told>("api/clock", { forward_seconds: seconds });
}

export function setFaults(faults: Partial<Faults>) {
  return post<Told>("api/faults", faults);
}

export function breakThings(what: Breakage) {
  return post<Told & { told?: string; watch?: string }>("api/break", { what });
}

async function get<Answer>(path: string): Promise<Answer> {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error((await errorIn(answer)) ?? NOT_THERE);
  return (await answer.json()) as Answer;
}

/** The server's answer; a refusal or a server that is gone is an answer with an `error` too. */
async function post<Answer extends Partial<Told>>(path: string, body: object): Promise<Answer> {
  try {
    const answer = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Countersign-Demo": "1" },
      body: JSON.stringify(body),
    });
    if (!answer.ok) return { error: (await errorIn(answer)) ?? NOT_THERE } as Answer;
    return (await answer.json()) as Answer;
  } catch {
    return { error: NOT_THERE } as Answer;
  }
}

async function errorIn(answer: Response): Promise<string | null> {
  try {
    const { error } = (await answer.json()) as { error?: unknown };
    return typeof error === "string" ? error : null;
  } catch {
    return null;
  }
}
