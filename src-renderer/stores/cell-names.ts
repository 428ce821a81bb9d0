/** Names of variants: what they are, and apart from each other. Pure. */
import { overridesTitle } from '#contract/overrides.ts';
import { type QuantizationMethod, type SchemeOverride, type StudyVariant, variantTitle } from '#contract/recipe.ts';
import { formatScheme, type QuantizationScheme } from '#contract/scheme.ts';

interface Cell {
  method: QuantizationMethod;
  scheme: QuantizationScheme;
  overrides: readonly SchemeOverride[];
}

/** `GPTQ W2G32`, `GPTQ W2G32, down_proj W4G32`. */
export function cellTitle({ method, scheme, overrides }: Cell): string {
  const title = variantTitle(method, scheme);
  return overrides.length > 0 ? `${title}, ${overridesTitle(overrides)}` : title;
}

/** What a click on a scheme stands for; mixed variants have rules of their own beside it. */
export function cellKey({ method, scheme, overrides }: Cell): string {
  return [method, formatScheme(scheme), ...overrides.map((override) => overridesTitle([override]))].join(' ');
}

interface NamedVariants {
  cells: readonly { name: string }[];
  chains: readonly { name: string }[];
  custom: readonly StudyVariant[];
}

/** `stem`, or with the first number in brackets that no variant has. */
export function freeTitle(draft: NamedVariants, stem: string): string {
  const taken = new Set([...draft.cells, ...draft.chains, ...draft.custom].map((variant) => variant.name));
  let name = stem;
  for (let number = 2; taken.has(name); number += 1) name = `${stem} (${number})`;
  return name;
}

/** True when the name only says what the cell is, and may follow when the cell changes. */
export function isOwnTitle(name: string, cell: Cell): boolean {
  return name.replace(/ \(\d+\)$/, '') === cellTitle(cell);
}
