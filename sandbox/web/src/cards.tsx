// The page without its server, for pictures: `?cards` shows only what a script hands to `window.showCards`.

import type { ReactNode } from "react";
import { flushSync } from "react-dom";
import { createRoot } from "react-dom/client";
import { Blocks } from "./Blocks";
import { MessageRow } from "./MessageRow";
import { type Reader, ReaderContext } from "./reader";
import type { Block, Message, SlackFile } from "./state";
import { useTheme } from "./useTheme";

export type Card = {
  /** What a modal is called; for others only a name for the script. */
  title: string;
  blocks: Block[];
  text: string;
  kind: "message" | "modal" | "home";
  author?: string;
  /** ISO 8601 */
  at?: string;
  submit?: string;
  close?: string;
  only_for_me?: boolean;
  errors?: Record<string, string>;
  files?: SlackFile[];
};

/** `width` in pixels; `now` (ISO 8601) and `zone` make dates the same on every machine. */
export type CardOptions = { names?: Record<string, string>; width?: number; now?: string; zone?: string };

declare global {
  interface Window {
    showCards?: (cards: Card[], options?: CardOptions) => void;
  }
}

export function startCards(place: HTMLElement): void {
  document.documentElement.classList.add("cards-mode");
  const root = createRoot(place);
  window.showCards = (cards, options = {}) => flushSync(() => root.render(<Cards cards={cards} options={options} />));
}

function Cards({ cards, options }: { cards: Card[]; options: CardOptions }): ReactNode {
  const theme = useTheme();
  const reader: Reader = {
    names: options.names ?? {},
    clock: { now: options.now ? Date.parse(options.now) : Date.now(), zone: options.zone },
    theme,
    open: undefined,
  };
  return (
    <ReaderContext value={reader}>
      {cards.map((card, index) => (
        <div
          key={index}
          data-card={index}
          className={`card-frame frame-${card.kind}`}
          style={{ width: options.width ?? 640 }}
        >
          <OneCard card={card} now={reader.clock.now} />
        </div>
      ))}
    </ReaderContext>
  );
}

function OneCard({ card, now }: { card: Card; now: number }): ReactNode {
  if (card.kind === "home") return <Blocks blocks={card.blocks} press={undefined} />;
  if (card.kind === "modal") return <ModalCard card={card} />;
  return <MessageRow message={asMessage(card, now)} press={undefined} />;
}

function ModalCard({ card }: { card: Card }): ReactNode {
  const form = { values: {}, errors: card.errors ?? {}, change: () => {} };
  return (
    <div className="dialog modal still">
      <header>
        <h2>{card.title}</h2>
      </header>
      <Blocks blocks={card.blocks} press={undefined} form={form} />
      <footer>
        <button type="button" className="button">
          {card.close ?? "Close"}
        </button>
        {card.submit && (
          <button type="button" className="button primary">
            {card.submit}
          </button>
        )}
      </footer>
    </div>
  );
}

function asMessage(card: Card, now: number): Message {
  const at = card.at ? Date.parse(card.at) : now;
  return {
    ts: (at / 1000).toFixed(6),
    channel: "",
    author: "",
    author_name: card.author ?? "Countersign",
    is_bot: true,
    text: card.text,
    blocks: card.blocks,
    thread_ts: null,
    only_for_me: card.only_for_me ?? false,
    edited: false,
    files: card.files ?? [],
    failed: null,
  };
}
