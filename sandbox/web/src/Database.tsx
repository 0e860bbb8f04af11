// What stands in dev and prod, side by side; where they differ, a word says so.

import { type ReactNode, useState } from "react";
import { readSchema } from "./api";
import type { Database, Schema, Table } from "./state";
import { useReading } from "./useReading";

type Pair<T> = { key: string; sides: (T | undefined)[] };

export function DatabaseView({ revision }: { revision: number }): ReactNode {
  const { found, problem, again } = useReading<Schema>(readSchema, revision);
  const [onlyDifferent, setOnlyDifferent] = useState(false);
  const databases = found?.databases ?? [];
  const names = databases.map((database) => database.name);
  const tables = paired(databases.map((database) => byKey(database.tables, (table) => table.name)));
  const history = paired(databases.map((database) => byKey(database.history, (row) => row.version)));
  const shownTables = tables.filter((pair) => !onlyDifferent || !areAlike(pair.sides));

  return (
    <>
      <header className="main-head">
        <h2>Database</h2>
        <label className="choice">
          <input type="checkbox" checked={onlyDifferent} onChange={(event) => setOnlyDifferent(event.target.checked)} />
          Only differences
        </label>
        <button type="button" className="button" onClick={again}>
          Read again
        </button>
      </header>
      <div className="scroll database" role="region" aria-label="Database" tabIndex={0}>
        {problem && <p role="alert">{problem}</p>}
        {!found && !problem && <p className="muted">Reading both databases…</p>}
        {found && (
          <>
            <HistoryTable names={names} rows={history} onlyDifferent={onlyDifferent} />
            <h3>Tables</h3>
            {shownTables.length === 0 && <p className="muted">No differences.</p>}
            {shownTables.map((pair) => (
              <TablePair key={pair.key} names={names} pair={pair} />
            ))}
          </>
        )}
      </div>
    </>
  );
}

type HistoryProps = {
  names: string[];
  rows: Pair<Database["history"][number]>[];
  onlyDifferent: boolean;
};

function HistoryTable({ names, rows, onlyDifferent }: HistoryProps): ReactNode {
  const shown = rows.filter((row) => !onlyDifferent || row.sides.some((side) => !side)).reverse();
  return (
    <>
      <h3>Migrations in each history, newest first</h3>
      {shown.length === 0 && <p className="muted">No differences.</p>}
      {shown.length > 0 && (
        <div className="scroll-x" role="region" aria-label="Migrations" tabIndex={0}>
          <table className="grid">
            <thead>
              <tr>
                <th scope="col">Version</th>
                <th scope="col">Where</th>
                <th scope="col">Name</th>
              </tr>
            </thead>
            <tbody>
              {shown.map(({ key, sides }) => (
                <tr key={key} data-version={key}>
                  <td>
                    <code>{key}</code>
                  </td>
                  <td>
                    <Where names={names} sides={sides} alike={sides.every(Boolean)} />
                  </td>
                  <td className="plain">{sides.find(Boolean)?.name}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}

function TablePair({ names, pair }: { names: string[]; pair: Pair<Table> }): ReactNode {
  const columns = paired(
    pair.sides.map((table) => byKey((table?.columns ?? []).map(describedColumn), (one) => one.name)),
  );
  const indexes = paired(pair.sides.map((table) => byKey(table?.indexes ?? [], (name) => name)));
  const alike = areAlike(pair.sides);
  return (
    <details className="table-pair" open={!alike} data-table={pair.key}>
      <summary>
        <strong>{pair.key}</strong>
        <Where names={names} sides={pair.sides} alike={alike} />
        <span className="muted small">
          {pair.sides
            .map((table, side) => (table ? `${names[side]}: ${table.rows} rows` : ""))
            .filter(Boolean)
            .join(", ")}
        </span>
      </summary>
      <div className="scroll-x" role="region" aria-label={`Columns of ${pair.key}`} tabIndex={0}>
        <table className="grid">
          <thead>
            <tr>
              <th scope="col">Column or index</th>
              {names.map((name) => (
                <th key={name} scope="col">
                  {name}
                </th>
              ))}
              <th scope="col">Compared</th>
            </tr>
          </thead>
          <tbody>
            {columns.map(({ key, sides }) => (
              <CompareRow key={`c ${key}`} name={key} names={names} cells={sides.map((side) => side?.words)} />
            ))}
            {indexes.map(({ key, sides }) => (
              <CompareRow key={`i ${key}`} name={key} names={names} cells={sides.map((side) => side && "index")} />
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}

type RowProps = { name: string; names: string[]; cells: (string | undefined)[] };

function CompareRow({ name, names, cells }: RowProps): ReactNode {
  return (
    <tr>
      <td>
        <code>{name}</code>
      </td>
      {cells.map((words, side) => (
        <td key={names[side]} className="plain">
          {words ?? <span className="muted">not there</span>}
        </td>
      ))}
      <td>
        <Where names={names} sides={cells} alike={new Set(cells).size === 1} />
      </td>
    </tr>
  );
}

/** "same", "differs" or "only in dev". */
function Where({ names, sides, alike }: { names: string[]; sides: unknown[]; alike: boolean }): ReactNode {
  if (alike) return <span className="mark same">same</span>;
  const there = names.filter((_, side) => sides[side] !== undefined);
  if (there.length === names.length) return <span className="mark differs">differs</span>;
  return <span className="mark only">{`only in ${there.join(", ")}`}</span>;
}

function describedColumn({ name, type, nullable, default: value }: Table["columns"][number]): {
  name: string;
  words: string;
} {
  return {
    name,
    words: [type, nullable ? "" : "not null", value === null ? "" : `default ${value}`].filter(Boolean).join(", "),
  };
}

function areAlike(sides: (Table | undefined)[]): boolean {
  return new Set(sides.map((table) => table && JSON.stringify([table.columns, table.indexes]))).size === 1;
}

function byKey<T>(things: readonly T[], key: (thing: T) => string): Map<string, T> {
  return new Map(things.map((thing) => [key(thing), thing]));
}

/** The same thing of every side, in the order of the keys. */
function paired<T>(sides: Map<string, T>[]): Pair<T>[] {
  const keys = [...new Set(sides.flatMap((side) => [...side.keys()]))].sort();
  return keys.map((key) => ({ key, sides: sides.map((side) => side.get(key)) }));
}
