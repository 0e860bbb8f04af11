// One input of a modal with its label, hint and error.

import { type ReactNode, useId } from "react";
import { objects, object, text, words } from "./reading";
import type { Block, Json, Values } from "./state";

export type Answer = string | string[];
export type Form = {
  values: Values;
  errors: Record<string, string>;
  change: (blockId: string, actionId: string, value: Answer) => void;
};

type Props = { block: Block; form: Form };

export function InputBlock({ block, form }: Props): ReactNode {
  const id = useId();
  const element = object(block.element);
  const blockId = text(block.block_id);
  const actionId = text(element.action_id);
  const error = form.errors[blockId];
  const hint = words(block.hint);
  const told = [error && `${id}-error`, hint && `${id}-hint`].filter(Boolean).join(" ");
  const label = (
    <>
      {words(block.label)} {block.optional === true && <span className="muted">(optional)</span>}
    </>
  );
  const common: Common = {
    id,
    "data-block": blockId,
    "aria-invalid": error ? true : undefined,
    "aria-describedby": told || undefined,
    "aria-required": block.optional === true ? undefined : true,
  };
  const value = form.values[blockId]?.[actionId] ?? initialAnswer(element);
  const change = (answer: Answer): void => form.change(blockId, actionId, answer);
  const isGroup = element.type === "radio_buttons" || element.type === "checkboxes";

  return (
    <div
      className={`block-input ${error ? "wrong" : ""}`}
      {...(isGroup ? { role: "group", "aria-labelledby": `${id}-label` } : {})}
    >
      {isGroup ? <span id={`${id}-label`}>{label}</span> : <label htmlFor={id}>{label}</label>}
      <Field element={element} value={value} change={change} common={common} />
      {error && (
        <p className="error" id={`${id}-error`}>
          <strong>Please check: </strong>
          {error}
        </p>
      )}
      {hint && (
        <p className="muted" id={`${id}-hint`}>
          {hint}
        </p>
      )}
    </div>
  );
}

type Common = {
  id: string;
  "data-block": string;
  "aria-invalid": true | undefined;
  "aria-describedby": string | undefined;
  "aria-required": true | undefined;
};
type FieldProps = { element: Json; value: Answer; change: (answer: Answer) => void; common: Common };

function Field({ element, value, change, common }: FieldProps): ReactNode {
  const typed = Array.isArray(value) ? "" : value;
  const options = objects(element.options).map((option) => ({ value: text(option.value), words: words(option.text) }));
  switch (element.type) {
    case "checkboxes":
    case "radio_buttons":
      return <Choices element={element} value={value} change={change} common={common} options={options} />;
    case "static_select":
      return (
        <select {...common} value={typed} onChange={(event) => change(event.target.value)}>
          <option value="">{words(element.placeholder) || "Choose one"}</option>
          {options.map((option) => (
            <option key={option.value} value={option.value}>
              {option.words}
            </option>
          ))}
        </select>
      );
    case "plain_text_input":
      return <Typed element={element} typed={typed} change={change} common={common} />;
    default:
      return <p className="plain muted">This kind of input cannot be filled in here.</p>;
  }
}

type Option = { value: string; words: string };

function Choices({ element, value, change, common, options }: FieldProps & { options: Option[] }): ReactNode {
  const many = element.type === "checkboxes";
  const chosen = Array.isArray(value) ? value : [value];
  return options.map((option, place) => (
    <label key={option.value} className="choice">
      <input
        {...common}
        id={place ? `${common.id}-${place}` : common.id}
        aria-required={undefined}
        type={many ? "checkbox" : "radio"}
        name={common.id}
        checked={chosen.includes(option.value)}
        onChange={(event) => {
          const others = chosen.filter((one) => one !== option.value);
          change(many ? (event.target.checked ? [...others, option.value] : others) : option.value);
        }}
      />
      {option.words}
    </label>
  ));
}

function Typed({ element, typed, change, common }: Omit<FieldProps, "value"> & { typed: string }): ReactNode {
  const shared = {
    ...common,
    value: typed,
    placeholder: words(element.placeholder),
    maxLength: typeof element.max_length === "number" ? element.max_length : undefined,
    autoComplete: "off",
  };
  if (element.multiline === true) {
    return <textarea {...shared} rows={4} onChange={(event) => change(event.target.value)} />;
  }
  return <input {...shared} type="text" onChange={(event) => change(event.target.value)} />;
}

/** What an input holds before anybody touched it. */
export function initialAnswer(element: Json): Answer {
  if (element.type === "checkboxes") return objects(element.initial_options).map((option) => text(option.value));
  return text(element.initial_value) || text(object(element.initial_option).value);
}

/** What Slack itself says about an answer before the app hears of it; null when it may be sent. */
export function problemWith(block: Block, answer: Answer): string | null {
  const element = object(block.element);
  if (answer.length === 0) return block.optional === true ? null : "Please complete this required field.";
  const least = typeof element.min_length === "number" ? element.min_length : 0;
  if (typeof answer === "string" && answer.length < least) return `Please write at least ${least} letters.`;
  return null;
}
