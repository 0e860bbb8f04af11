// A file below a message: a card that opens; pictures are shown at once.

import { type ReactNode, useState } from "react";
import { Dialog } from "./Dialog";
import type { SlackFile } from "./state";

type Props = { file: SlackFile };

const MOST_BYTES = 1_000_000;

export function FileCard({ file }: Props): ReactNode {
  const [text, setText] = useState<string | null>(null);
  const title = file.title || file.name;

  if (/\.(png|jpe?g|gif)$/i.test(file.name)) {
    return (
      <figure className="file-picture">
        <figcaption>{title}</figcaption>
        <a href={file.url} target="_blank" rel="noopener noreferrer">
          <img src={file.url} alt={`${title} (picture, opens in a new tab)`} />
        </a>
      </figure>
    );
  }
  return (
    <>
      <button
        type="button"
        className="file-card"
        aria-haspopup="dialog"
        onClick={() => void read(file.url).then(setText)}
      >
        <span className="file-sign" aria-hidden="true">
          ≡
        </span>
        <span>
          <strong>{title}</strong>
          <span className="muted"> {sizeInWords(file.length)}, open to read</span>
        </span>
      </button>
      {text !== null && (
        <Dialog title={title} kind="file" close={() => setText(null)}>
          <pre tabIndex={0} aria-label={`Text of ${title}`}>
            {text}
          </pre>
        </Dialog>
      )}
    </>
  );
}

async function read(address: string): Promise<string> {
  try {
    const answer = await fetch(address);
    if (!answer.ok) return "This file cannot be shown here.";
    const text = await answer.text();
    return text.length > MOST_BYTES ? `${text.slice(0, MOST_BYTES)}\n… more than fits here` : text;
  } catch {
    return "The sandbox does not answer; is it still running?";
  }
}

function sizeInWords(bytes: number): string {
  if (bytes < 1000) return `${bytes} bytes`;
  return bytes < 1_000_000 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}
