// What the server tells, as it comes in. Everything inside messages was written by others: it is shown, never trusted.

export type Json = { readonly [key: string]: unknown };
export type Block = Json & { readonly type: string };

export type Person = {
  id: string;
  name: string;
  role: string;
  tz: string;
  can_act: boolean;
  outside: "guest" | "other company" | null;
};

export type Channel = { id: string; name: string; is_im: boolean; is_member: boolean; topic: string };

export type SlackFile = { id: string; name: string; title: string; length: number; url: string };

export type Message = {
  ts: string;
  channel: string;
  author: string;
  author_name: string;
  is_bot: boolean;
  text: string;
  blocks: Block[];
  thread_ts: string | null;
  only_for_me: boolean;
  edited: boolean;
  files: SlackFile[];
  failed: string | null;
};

export type View = { id: string; hash: string; title: string; submit: string | null; close: string; blocks: Block[] };

export type GuideStep = {
  id: string;
  title: string;
  text: string;
  as: string | null;
  fill: string | null;
  channel: string | null;
  done: boolean;
  look: "channel" | "schema" | "log" | "home" | "breakers" | null;
};

export type Faults = { down: boolean; rate_limited: boolean; slow: boolean };

export type State = {
  revision: number;
  clock: { now: string; ahead_seconds: number };
  me: string;
  people: Person[];
  names: Record<string, string>;
  channels: Channel[];
  messages: Message[];
  home: { hash: string; blocks: Block[] } | null;
  modal: View | null;
  bot: { up: boolean; pid: number | null; restarts: number };
  faults: Faults;
  guide: GuideStep[];
};

export type Column = { name: string; type: string; nullable: boolean; default: string | null };
export type Table = { name: string; columns: Column[]; indexes: string[]; rows: number };
export type Database = { name: string; tables: Table[]; history: { version: string; name: string }[] };
export type Schema = { databases: Database[] };

export type LogEvent = {
  seq: number;
  at: string;
  kind: string;
  actor: string | null;
  request: string | null;
  environment: string | null;
  data: unknown;
};
export type AuditLog = {
  events: LogEvent[];
  verified: { ok: boolean; events: number; head: string | null; problems: unknown[] };
};

export type Values = Record<string, Record<string, string | string[]>>;
export type Breakage =
  "kill_bot" | "start_bot" | "drop_socket" | "edit_migration" | "change_prod" | "lock_table" | "release_table";
