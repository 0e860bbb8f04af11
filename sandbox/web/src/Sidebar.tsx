// The places of the workspace: channels, the conversation with the bot, its Home tab, and the sandbox's own views.

import type { ReactNode } from "react";
import { type Place, samePlace } from "./places";
import type { Channel, State } from "./state";

type Props = {
  state: State;
  place: Place;
  unread: Record<string, number>;
  go: (place: Place) => void;
};

export function Sidebar({ state, place, unread, go }: Props): ReactNode {
  const entry = (label: string, to: Place, count = 0, sign = "") => (
    <Entry label={label} sign={sign} count={count} chosen={samePlace(place, to)} choose={() => go(to)} />
  );
  const channelEntry = (channel: Channel) => (
    <li key={channel.id}>
      {entry(
        channel.is_im ? "Countersign" : channel.name,
        { kind: "channel", id: channel.id },
        unread[channel.id],
        channel.is_im ? "" : "#",
      )}
    </li>
  );
  return (
    <nav className="places" aria-label="Places">
      <p className="workspace">Acme</p>
      <h2>Channels</h2>
      <ul>{state.channels.filter((channel) => !channel.is_im).map(channelEntry)}</ul>
      <h2>Direct messages</h2>
      <ul>{state.channels.filter((channel) => channel.is_im).map(channelEntry)}</ul>
      <h2>Apps</h2>
      <ul>
        <li>{entry("Countersign Home", { kind: "home" })}</li>
      </ul>
      <h2>Look behind it</h2>
      <ul>
        <li>{entry("Database", { kind: "database" })}</li>
        <li>{entry("Audit log", { kind: "log" })}</li>
      </ul>
    </nav>
  );
}

type EntryProps = { label: string; sign: string; count: number; chosen: boolean; choose: () => void };

function Entry({ label, sign, count, chosen, choose }: EntryProps): ReactNode {
  return (
    <button
      type="button"
      className={count > 0 ? "place unread" : "place"}
      aria-current={chosen ? "page" : undefined}
      onClick={choose}
    >
      <span aria-hidden="true" className="sign">
        {sign}
      </span>
      <span className="place-name">{label}</span>
      {count > 0 && (
        <span className="count">
          {count}
          <span className="unseen"> unread</span>
        </span>
      )}
    </button>
  );
}
