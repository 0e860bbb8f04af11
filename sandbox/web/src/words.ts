// What can be typed after /migrate, for the hint above the line to write in.

export type Word = { typed: string; does: string };

export const WORDS: readonly Word[] = [
  { typed: "/migrate plan prod", does: "Show what a push would run" },
  { typed: "/migrate diff prod", does: "Show what a push would change in the schema" },
  { typed: "/migrate drift prod", does: "Show what was changed past the migrations" },
  { typed: "/migrate push prod", does: "Ask for a deploy to prod" },
  { typed: "/migrate push dev", does: "Deploy to dev; nobody is asked" },
  { typed: "/migrate approve R-1", does: "Say yes; shows the plan first" },
  { typed: "/migrate reject R-1 ", does: "Say no, with a reason" },
  { typed: "/migrate cancel R-1", does: "Take back what you asked for" },
  { typed: "/migrate show R-1", does: "Everything about a request" },
  { typed: "/migrate why R-1", does: "Every rule: met or missing, and by whom" },
  { typed: "/migrate simulate R-1 --approve @ben", does: "What would happen, with nothing written" },
  { typed: "/migrate who prod", does: "Who may ask and approve there" },
  { typed: "/migrate claim R-1", does: "Say that you look at it" },
  { typed: "/migrate stop R-1", does: "End a run that is under way" },
  { typed: "/migrate lock prod", does: "Let nobody start a run for a while" },
  { typed: "/migrate unlock prod", does: "End your lock" },
  { typed: "/migrate freeze prod ", does: "Let nothing start until you end it, or a time" },
  { typed: "/migrate unfreeze prod", does: "End a freeze" },
  { typed: "/migrate review R-1", does: "Say that you looked at an emergency" },
  { typed: "/migrate enrol U0BEN --agree", does: "Agree to somebody's new second factor" },
  { typed: "/migrate status", does: "What waits and what runs" },
  { typed: "/migrate history prod", does: "Requests, newest first" },
  { typed: "/migrate rollback R-1", does: "The ways to undo a run, and what each loses" },
  { typed: "/migrate resume R-1", does: "Ask for what is left of a half-done run" },
  { typed: "/migrate clean up R-1", does: "Ask to remove what a run left broken" },
  { typed: "/migrate repair prod ", does: "Mark versions as applied or reverted" },
  { typed: "/migrate record prod ", does: "Enter what was done by hand" },
  { typed: "/migrate terminate prod ", does: "Ask to end a session that blocks" },
  { typed: "/migrate backup prod", does: "Take a backup now and prove it" },
  { typed: "/migrate backups prod", does: "The backups there are and their proofs" },
  { typed: "/migrate restore prod ", does: "Ask to go back to a backup" },
  { typed: "/migrate functions prod", does: "Edge functions, their logs, and rolling one back" },
  { typed: "/migrate secrets prod", does: "Names of secrets, who reads them, what is missing" },
  { typed: "/migrate health prod", does: "Whether everything works now" },
  { typed: "/migrate tables prod", does: "Rows, size, row level security" },
  { typed: "/migrate evidence R-1", does: "Everything about a request, with proofs, as a file" },
  { typed: "/migrate export ", does: "Events of the log as a file" },
  { typed: "/migrate population ", does: "Every production change of a period" },
  { typed: "/migrate adopt prod", does: "Make what prod has now the baseline" },
  { typed: "/migrate help", does: "What you may do here" },
];

/** The words that what is typed may become; none once it is one of them. */
export function wordsFor(typed: string): readonly Word[] {
  const start = typed.toLowerCase();
  if (!start.startsWith("/") || start.includes("\n")) return [];
  const fit = WORDS.filter((word) => word.typed.startsWith(start));
  return fit.some((word) => word.typed === start) ? [] : fit;
}
