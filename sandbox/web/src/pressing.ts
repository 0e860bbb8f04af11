// Pressing a button of a message, also when the message was updated a moment ago.

import { click, readState } from "./api";
import type { Pressed } from "./BlockButton";
import { objects, text } from "./reading";
import type { Message } from "./state";

/** What went wrong, or null. An update gives blocks new ids: the very same button is then pressed where it is now. */
export async function pressIn(message: string, pressed: Pressed, me: string): Promise<string | null> {
  const { error } = await click(me, message, pressed.blockId, pressed.actionId);
  if (error === null) return null;
  const now = await readState(me).catch(() => null);
  const blockId = blockOf(
    now?.messages.find((one) => one.ts === message),
    pressed,
  );
  if (blockId === null || blockId === pressed.blockId) return error;
  return (await click(me, message, blockId, pressed.actionId)).error;
}

/** The block that holds this button now: the same action about the same thing. */
function blockOf(message: Message | undefined, { actionId, value }: Pressed): string | null {
  const found = message?.blocks.find((block) =>
    [...objects(block.elements), ...objects([block.accessory])].some(
      (element) => element.action_id === actionId && text(element.value) === value,
    ),
  );
  return found ? text(found.block_id) : null;
}
