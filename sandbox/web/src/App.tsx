// The whole page: who reads, where they are, and what every part may do.

import { type ReactNode, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { Announcer } from "./Announcer";
import { AuditLogView } from "./AuditLog";
import { Breakers } from "./Breakers";
import { ChannelView } from "./ChannelView";
import { DatabaseView } from "./Database";
import { Guide } from "./Guide";
import { HomeView } from "./Home";
import { ModalView } from "./Modal";
import { type Pane, type Place, placeFor, type Side } from "./places";
import { type Reader, ReaderContext } from "./reader";
import { Sidebar } from "./Sidebar";
import type { GuideStep, State } from "./state";
import { Tabs } from "./Tabs";
import { Thread } from "./Thread";
import { TopBar } from "./TopBar";
import { useSandbox } from "./useSandbox";
import { useTheme } from "./useTheme";
import { useUnread } from "./useUnread";

const FIRST_PERSON = "U0ANA";
const REMEMBERED = "countersign-sandbox-me";

export function App(): ReactNode {
  const [me, setMe] = useState(() => sessionStorage.getItem(REMEMBERED) ?? FIRST_PERSON);
  const { state, reachable } = useSandbox(me);
  useEffect(() => sessionStorage.setItem(REMEMBERED, me), [me]);
  if (!state) {
    return (
      <p className="starting">{reachable ? "Opening the sandbox…" : "The sandbox does not answer. Is it running?"}</p>
    );
  }
  return <Page state={state} reachable={reachable} become={setMe} />;
}

type PageProps = { state: State; reachable: boolean; become: (person: string) => void };

function Page({ state, reachable, become }: PageProps): ReactNode {
  const firstChannel = state.channels.find((channel) => !channel.is_im)?.id ?? "";
  const [chosen, setPlace] = useState<Place>({ kind: "channel", id: firstChannel });
  const place = placeFor(chosen, state.channels);
  const [thread, setThread] = useState<string | null>(null);
  const [side, setSide] = useState<Side>("guide");
  const [pane, setPane] = useState<Pane>("main");
  const [draft, setDraft] = useState({ text: "", number: 0 });
  const [marked, setMarked] = useState<string | null>(null);
  const theme = useTheme();
  const unread = useUnread(state, place);
  const opener = useRef<string | null>(null);

  const go = useCallback((next: Place) => {
    setPlace(next);
    setThread(null);
    setMarked(null);
    setPane("main");
  }, []);
  const open = useCallback(
    (channel: string, ts: string) => {
      go({ kind: "channel", id: channel });
      setMarked(ts);
    },
    [go],
  );
  const ahead = state.clock.ahead_seconds;
  const reader: Reader = useMemo(
    () => ({ names: state.names, clock: { now: Date.now() + ahead * 1000, zone: undefined }, theme, open }),
    [state.names, ahead, theme, open],
  );

  function openThread(ts: string): void {
    opener.current = ts;
    setThread(ts);
    setPane("side");
  }
  function closeThread(): void {
    setThread(null);
    setPane("main");
    const ts = opener.current;
    requestAnimationFrame(() =>
      document.querySelector<HTMLElement>(`[data-thread="${CSS.escape(ts ?? "")}"]`)?.focus(),
    );
  }
  function showSide(next: Side): void {
    setThread(null);
    setSide(next);
    setPane("side");
  }
  function fill(step: GuideStep): void {
    go({ kind: "channel", id: step.channel ?? firstChannel });
    setDraft((before) => ({ text: step.fill ?? "", number: before.number + 1 }));
  }
  function look(step: GuideStep): void {
    if (step.look === "breakers") showSide("breakers");
    else if (step.look === "schema") go({ kind: "database" });
    else if (step.look === "log" || step.look === "home") go({ kind: step.look });
    else go({ kind: "channel", id: step.channel ?? firstChannel });
  }

  const root = thread === null ? undefined : state.messages.find((message) => message.ts === thread);
  return (
    <ReaderContext value={reader}>
      <div className="page" data-pane={pane}>
        <a className="skip" href="#main">
          Skip to the messages
        </a>
        <TopBar state={state} reachable={reachable} become={become} />
        <Sidebar state={state} place={place} unread={unread} go={go} />
        <main id="main" tabIndex={-1}>
          {place.kind === "channel" && (
            <ChannelView
              key={`${state.me} ${place.id}`}
              state={state}
              channel={place.id}
              draft={draft}
              marked={marked}
              sent={() => setDraft((before) => ({ ...before, text: "" }))}
              openThread={openThread}
            />
          )}
          {place.kind === "home" && <HomeView state={state} />}
          {place.kind === "database" && <DatabaseView revision={state.revision} />}
          {place.kind === "log" && <AuditLogView revision={state.revision} names={state.names} />}
        </main>
        <aside aria-label={root ? "Thread" : "Guide and tools"}>
          {root ? (
            <Thread key={root.ts} state={state} root={root} close={closeThread} />
          ) : (
            <SidePanel
              side={side}
              setSide={setSide}
              state={state}
              place={place}
              become={become}
              fill={fill}
              look={look}
            />
          )}
        </aside>
        <Tabs
          place={place}
          channel={firstChannel}
          pane={root ? "main" : pane}
          side={side}
          go={go}
          showSide={showSide}
          showPlaces={() => setPane("places")}
        />
        {state.modal && <ModalView key={state.modal.id} me={state.me} view={state.modal} />}
        <Announcer key={state.me} messages={state.messages} me={state.me} />
      </div>
    </ReaderContext>
  );
}

type SidePanelProps = {
  side: Side;
  setSide: (side: Side) => void;
  state: State;
  place: Place;
  become: (person: string) => void;
  fill: (step: GuideStep) => void;
  look: (step: GuideStep) => void;
};

function SidePanel({ side, setSide, state, place, become, fill, look }: SidePanelProps): ReactNode {
  return (
    <>
      <div className="side-head" role="group" aria-label="Show beside the messages">
        <button type="button" aria-pressed={side === "guide"} onClick={() => setSide("guide")}>
          Guide
        </button>
        <button type="button" aria-pressed={side === "breakers"} onClick={() => setSide("breakers")}>
          Break things
        </button>
      </div>
      {side === "guide" ? (
        <Guide state={state} place={place} become={become} fill={fill} look={look} />
      ) : (
        <Breakers state={state} />
      )}
    </>
  );
}
