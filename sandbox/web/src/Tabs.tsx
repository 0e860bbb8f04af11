// The row of tabs at the foot of a narrow window.

import type { ReactNode } from "react";
import type { Pane, Place, Side } from "./places";

type Props = {
  place: Place;
  /** Where Chat leads from the views that are no channel. */
  channel: string;
  pane: Pane;
  side: Side;
  go: (place: Place) => void;
  showSide: (side: Side) => void;
  showPlaces: () => void;
};

export function Tabs({ place, channel, pane, side, go, showSide, showPlaces }: Props): ReactNode {
  const inMain = (kind: Place["kind"]) => pane === "main" && place.kind === kind;
  const inSide = (which: Side) => pane === "side" && side === which;
  const chat: Place = place.kind === "channel" ? place : { kind: "channel", id: channel };
  const tabs: [string, boolean, () => void][] = [
    ["Places", pane === "places", showPlaces],
    ["Chat", inMain("channel"), () => go(chat)],
    ["Guide", inSide("guide"), () => showSide("guide")],
    ["Break", inSide("breakers"), () => showSide("breakers")],
    ["Data", inMain("database"), () => go({ kind: "database" })],
    ["Log", inMain("log"), () => go({ kind: "log" })],
  ];
  return (
    <nav className="tabs" aria-label="Parts of the page">
      {tabs.map(([label, chosen, show]) => (
        <button key={label} type="button" aria-current={chosen ? "page" : undefined} onClick={show}>
          {label}
        </button>
      ))}
    </nav>
  );
}
