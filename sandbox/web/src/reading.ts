// Reading JSON that others wrote: a missing or odd value becomes an empty one, never an error.

import type { Block, Json } from "./state";

export function object(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

export function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

export function objects(value: unknown): Json[] {
  return Array.isArray(value) ? value.map(object) : [];
}

export function blocksIn(value: unknown): Block[] {
  return objects(value).filter((one): one is Block => typeof one.type === "string");
}

/** The words of a text object. */
export function words(value: unknown): string {
  return text(object(value).text);
}
