// Where on the page somebody is.

import type { Channel } from "./state";

/** A channel's id, or one of the other views. */
export type Place = { kind: "channel"; id: string } | { kind: "home" } | { kind: "database" } | { kind: "log" };

export type Side = "guide" | "breakers";

/** Which part a narrow window shows. */
export type Pane = "places" | "main" | "side";

export function samePlace(one: Place, other: Place): boolean {
  if (one.kind === "channel" && other.kind === "channel") return one.id === other.id;
  return one.kind === other.kind;
}

/** The place for whoever looks now: another person has another conversation with the bot, and perhaps other channels. */
export function placeFor(place: Place, channels: Channel[]): Place {
  if (place.kind !== "channel" || channels.some((channel) => channel.id === place.id)) return place;
  const isDirect = place.id.startsWith("D");
  const next = channels.find((channel) => channel.is_im === isDirect) ?? channels[0];
  return next ? { kind: "channel", id: next.id } : { kind: "home" };
}
