/** Units, thousands separators and magnitudes in words: what stands beside a number without being part of it. */

import { splitTopLevel } from './split.ts';

/** Words that turn a number into another one, or join answers; what follows a number is no unit if it contains one of these. */
const notUnits =
  /^(?:or|and|to|pi|percent|if|when|where|mod|base|e|i|sqrt|times|over|plus|minus|sin|cos|tan|log|ln|exp|for|all|any|is|not|undefined|none|infinity|inf|no|yes)$/i;
const shortUnits = /^(?:cm|mm|km|kg|mg|ml|mL|ft|in|mi|oz|lb|hr|hrs|of|sq|ms|Hz|MB|GB|kJ|kW|eV|nm|pm|am|AM|PM|mph)$/;
const magnitudes: Record<string, number> = { hundred: 2, thousand: 3, million: 6, billion: 9, trillion: 12 };
const numeric = String.raw`[-+]?[\d.,/ ]*\d|.*[\d})!%]|.*\\(?:pi|infty)`;
const per = String.raw`(?:\s*\/\s*(?:\\text\{[^{}]*\}|[a-zA-Z]{1,4}))?`;
const marked = new RegExp(String.raw`^(${numeric})\s*\\text\{\s*([^{}]*)\}${per}\s*(?:\^\s?\{?-?\d\}?)?[.\s]*$`, 's');
const plain = new RegExp(
  String.raw`^(${numeric})(?:\s+(?=[a-zA-Z]{2})|(?=(?:cm|mm|km|kg|ft|hours?|minutes?|days?|dollars|cents|degrees)\b))([a-zA-Z][a-zA-Z ]{0,79})(?:\^\s?\{?-?\d\}?)?\s*$`,
  's',
);
/** Letters that are a product anywhere else. */
const compound = /^(.*[\d})])\s+(?:[kc]?m|ft|mi|miles|k?g|J|N|L)\s?\/\s?(?:s|h|hr|min|sec|hour|m|mol|L|kg)(?:\^\s?\{?\d\}?)?\s*$/s;
const percentWord = /^(.*\d)\s*(?:\\text\{\s*(?:percent|percentage|pct)\s*\}|(?:percent|percentage|pct))\s*$/s;

/** `12 \text{ cm}^2`, `12 square units`, `5 dollars` → `12`, `5`; `5 percent` → `5%`; `5 million` → `5*10^{6}`; `90\degree` stays. */
export function stripUnits(text: string): string {
  let result = text.trim();
  const percent = percentWord.exec(result);
  if (percent) return `${percent[1]!}%`;
  result = compound.exec(result)?.[1] ?? result;
  for (let round = 0; round < 4; round++) {
    const found = marked.exec(result) ?? plain.exec(result);
    if (!found) break;
    const words = found[2]!.trim();
    const magnitude = Object.hasOwn(magnitudes, words.toLowerCase()) ? magnitudes[words.toLowerCase()] : undefined;
    if (magnitude !== undefined) return `${joinThousands(found[1]!) ?? found[1]!}*10^{${magnitude}}`;
    if (!isUnit(words, found[0].includes('\\text'))) break;
    result = found[1]!.trim();
  }
  return result.replace(/^\\text\{[^{}]*[:=]\s*\}\s*(?=\S)/, '');
}

/** `1,234,567.8` → `1234567.8`, also with blanks instead of commas; null for anything else. Other commas separate list items. */
export function joinThousands(text: string): string | null {
  const found = /^([-+]?)(\d{1,3}(?:,\d{3})+|\d{1,3}(?: \d{3})+)(\.\d*)?\s*(%?)$/.exec(text.trim());
  return found && `${found[1]}${found[2]!.replace(/[, ]/g, '')}${found[3] ?? ''}${found[4]}`;
}

/**
 * Without the thousands commas of numbers that stand among other things: `x = 1,234`, `1,234\\pi`, `1,234, 5,678`. Null where there are
 * none, or where a comma without a blank separates something else: "1,3,105, 107" is a list.
 */
export function withoutThousands(text: string): string | null {
  const commas: number[] = [];
  splitTopLevel(text, (rest, at) => {
    if (/^,\S/.test(rest)) commas.push(at);
    return 0;
  });
  const isThousands = (at: number) =>
    /(?:^|[^\d.,])\d{1,3}(?:,\d{3})*$/.test(text.slice(Math.max(0, at - 60), at)) && /^\d{3}(?!\d)/.test(text.slice(at + 1, at + 5));
  if (commas.length === 0 || !commas.every(isThousands)) return null;
  return [...text].filter((_, at) => !commas.includes(at)).join('');
}

/** Two plain letters after a number are more often a product of variables than a unit. */
function isUnit(words: string, asText: boolean): boolean {
  const parts = words.split(/[^a-zA-Z]+/).filter((word) => word !== '');
  if (parts.some((word) => notUnits.test(word))) return false;
  return asText || parts.every((word) => word.length > 2 || shortUnits.test(word));
}
