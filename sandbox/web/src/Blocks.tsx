// The blocks of a message, a modal or the Home tab. slack-blocks-to-jsx draws formatted text and the larger blocks;
// plain text and whatever can be pressed or filled in is drawn here, because the library reads markup in plain text
// and tells nobody what was pressed.

import { Component, type ReactNode, useLayoutEffect, useRef } from "react";
import { Message, type Block as LibraryBlock } from "slack-blocks-to-jsx";
import { BlockButton, type Press } from "./BlockButton";
import { InputBlock, type Form } from "./InputBlock";
import { hooks } from "./mentions";
import { useReader } from "./reader";
import { blocksIn, object, objects, text, words } from "./reading";
import type { Block, Json } from "./state";

type Props = { blocks: readonly Block[]; press: Press; form?: Form | undefined };

export function Blocks({ blocks, press, form }: Props): ReactNode {
  return (
    <div className="blocks">
      {blocks.map((block, place) => (
        <Guarded key={`${place} ${text(block.block_id)}`} fallback={words(block)}>
          <OneBlock block={block} press={press} form={form} />
        </Guarded>
      ))}
    </div>
  );
}

/** Formatted text as a message without blocks has it. */
export function Mrkdwn({ source }: { source: string }): ReactNode {
  return (
    <Guarded fallback={source}>
      <Drawn block={{ type: "section", text: { type: "mrkdwn", text: source } }} />
    </Guarded>
  );
}

function OneBlock({ block, press, form }: { block: Block; press: Press; form: Form | undefined }): ReactNode {
  switch (block.type) {
    case "header":
      return <h3 className="block-header">{words(block.text)}</h3>;
    case "divider":
      return <hr className="block-divider" />;
    case "section":
      return <Section block={block} press={press} />;
    case "context":
      return <Context elements={objects(block.elements)} />;
    case "actions":
      return <Actions block={block} press={press} />;
    case "input":
      return form ? <InputBlock block={block} form={form} /> : null;
    case "image":
      return <Picture url={text(block.image_url)} alt={text(block.alt_text)} title={words(block.title)} />;
    case "table":
      return <Table rows={Array.isArray(block.rows) ? block.rows : []} />;
    case "container":
      return <Container block={block} press={press} />;
    case "alert":
      return <Alert block={block} />;
    default:
      return <Drawn block={block} />;
  }
}

/** Whatever the library draws. */
function Drawn({ block }: { block: Json }): ReactNode {
  const { theme } = useReader();
  // The library's types want every field of every block; what is wrong in a block ends at its guard.
  const blocks = [block as unknown as LibraryBlock];
  const content = JSON.stringify(block);
  return (
    // A changed block is drawn anew: what is in it is no longer as React left it.
    <Breakable key={content}>
      <Message withoutWrapper blocks={blocks} hooks={hooks} theme={theme} logo="" name="" />
    </Breakable>
  );
}

const LONG_NAME = /[A-Za-z0-9]+(?:_[A-Za-z0-9.]+){2,}/;

/** Long names such as those of migrations may break after an underscore, where a window is too narrow for them. */
function Breakable({ children }: { children: ReactNode }): ReactNode {
  const place = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    if (!place.current) return;
    const walker = document.createTreeWalker(place.current, NodeFilter.SHOW_TEXT);
    const long: globalThis.Text[] = [];
    while (walker.nextNode()) {
      if (LONG_NAME.test(walker.currentNode.nodeValue ?? "")) long.push(walker.currentNode as globalThis.Text);
    }
    for (const name of long) breakAfterUnderscores(name);
  }, []);
  return (
    <div className="breakable" ref={place}>
      {children}
    </div>
  );
}

function breakAfterUnderscores(name: globalThis.Text): void {
  let rest = name;
  for (let at = rest.data.indexOf("_"); at >= 0 && at < rest.data.length - 1; at = rest.data.indexOf("_")) {
    rest = rest.splitText(at + 1);
    rest.before(document.createElement("wbr"));
  }
}

function Text({ value }: { value: Json }): ReactNode {
  if (value.type === "mrkdwn") return <Mrkdwn source={text(value.text)} />;
  return <span className="plain">{text(value.text)}</span>;
}

function Section({ block, press }: { block: Block; press: Press }): ReactNode {
  const accessory = object(block.accessory);
  const fields = objects(block.fields);
  return (
    <div className="block-section">
      <div className="block-section-text">
        {block.text ? <Text value={object(block.text)} /> : null}
        {fields.length > 0 && (
          <div className="fields">
            {fields.map((field, place) => (
              <div key={place}>
                <Text value={field} />
              </div>
            ))}
          </div>
        )}
      </div>
      {accessory.type === "button" && <BlockButton element={accessory} blockId={text(block.block_id)} press={press} />}
      {accessory.type === "image" && (
        <Picture url={text(accessory.image_url)} alt={text(accessory.alt_text)} title="" />
      )}
    </div>
  );
}

function Context({ elements }: { elements: Json[] }): ReactNode {
  return (
    <div className="block-context">
      {elements.map((element, place) =>
        element.type === "image" ? (
          <Picture key={place} url={text(element.image_url)} alt={text(element.alt_text)} title="" />
        ) : (
          <Text key={place} value={element} />
        ),
      )}
    </div>
  );
}

function Actions({ block, press }: { block: Block; press: Press }): ReactNode {
  const buttons = objects(block.elements).filter((element) => element.type === "button");
  return (
    <div className="block-actions" role="group" aria-label="Actions">
      {buttons.map((element, place) => (
        <BlockButton key={place} element={element} blockId={text(block.block_id)} press={press} />
      ))}
    </div>
  );
}

/** A picture from this machine; one from elsewhere is not loaded, only told. */
function Picture({ url, alt, title }: { url: string; alt: string; title: string }): ReactNode {
  const local = /^(data:image\/(png|jpeg|gif);|\/(?!\/))/.test(url);
  return (
    <figure className="block-image">
      {title && <figcaption>{title}</figcaption>}
      {local ? <img src={url} alt={alt} /> : <span className="plain muted">Picture: {alt}</span>}
    </figure>
  );
}

function Table({ rows }: { rows: readonly unknown[] }): ReactNode {
  const [head = [], ...body] = rows.map(objects);
  return (
    <div className="scroll-x block-table" role="region" aria-label="Table" tabIndex={0}>
      <table className="grid">
        <thead>
          <tr>
            {head.map((cell, place) => (
              <th key={place} scope="col">
                <Cell cell={cell} />
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {body.map((row, number) => (
            <tr key={number}>
              {row.map((cell, place) => (
                <td key={place}>
                  <Cell cell={cell} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Cell({ cell }: { cell: Json }): ReactNode {
  if (cell.type === "rich_text") return <Drawn block={cell} />;
  return <span className="plain">{typeof cell.value === "number" ? String(cell.value) : text(cell.text)}</span>;
}

function Container({ block, press }: { block: Block; press: Press }): ReactNode {
  const inner = <Blocks blocks={blocksIn(block.child_blocks)} press={press} />;
  const title = words(block.title);
  const subtitle = words(block.subtitle);
  if (block.is_collapsible !== true) {
    return (
      <section className="block-container">
        {title && <h4>{title}</h4>}
        {subtitle && <p className="muted">{subtitle}</p>}
        {inner}
      </section>
    );
  }
  return (
    <details className="block-container" open={block.default_collapsed !== true}>
      <summary>
        {title || "More"} {subtitle && <span className="muted">{subtitle}</span>}
      </summary>
      {inner}
    </details>
  );
}

const LEVELS: Record<string, string> = { warning: "Warning", error: "Error", success: "Done", info: "Note" };

function Alert({ block }: { block: Block }): ReactNode {
  const level = text(block.level);
  return (
    <div className={`block-alert ${Object.hasOwn(LEVELS, level) ? level : "info"}`}>
      <strong>{LEVELS[level] ?? "Note"}: </strong>
      <Text value={object(block.text)} />
    </div>
  );
}

/** What the library cannot draw is shown as its words; the rest of the page goes on. */
class Guarded extends Component<{ fallback: string; children: ReactNode }, { broken: boolean }> {
  override state = { broken: false };

  static getDerivedStateFromError(): { broken: boolean } {
    return { broken: true };
  }

  override render(): ReactNode {
    if (!this.state.broken) return this.props.children;
    return <p className="plain">{this.props.fallback || "This block cannot be shown."}</p>;
  }
}
