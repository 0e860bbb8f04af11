// The bot's Home tab, as it publishes it for this person.

import { type ReactNode, useEffect, useState } from "react";
import { clickHome, openHome } from "./api";
import { Blocks } from "./Blocks";
import { Problem } from "./ChannelView";
import type { State } from "./state";

export function HomeView({ state }: { state: State }): ReactNode {
  const [problem, setProblem] = useState<string | null>(null);
  useEffect(() => {
    void openHome(state.me).then(({ error }) => setProblem(error));
  }, [state.me]);

  return (
    <>
      <header className="main-head">
        <h2>Countersign Home</h2>
        <p className="muted">Made by the bot for you alone</p>
      </header>
      <div className="scroll home" role="region" aria-label="Home" tabIndex={0}>
        {problem && <Problem words={problem} close={() => setProblem(null)} />}
        {state.home ? (
          <Blocks
            blocks={state.home.blocks}
            press={async ({ blockId, actionId }) => setProblem((await clickHome(state.me, blockId, actionId)).error)}
          />
        ) : (
          <p className="muted">The bot has not published a Home for you yet.</p>
        )}
      </div>
    </>
  );
}
