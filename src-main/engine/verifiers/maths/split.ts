/** Finds what stands outside all brackets of a normalised text: separators of lists, relation signs, unions. */

const openers = /^(?:[([{]|\\\{|\\langle(?![a-zA-Z])|\\lfloor(?![a-zA-Z])|\\lceil(?![a-zA-Z])|\\begin\{)/;
const closers = /^(?:[)\]}]|\\\}|\\rangle(?![a-zA-Z])|\\rfloor(?![a-zA-Z])|\\rceil(?![a-zA-Z])|\\end\{[a-z]*\*?\})/;
const conjunction = /^(?:\\text\{\s?,?\s?(?:and|or)\s?,?\s?\}|(?<![A-Za-z])(?:and|or)(?=[\s\\$(]))/;

/** Parts between matches of `separator` outside brackets, trimmed; a function returns the length of the match or 0. */
export function splitTopLevel(text: string, separator: RegExp | ((rest: string, at: number) => number)): string[] {
  const lengthOf = typeof separator === 'function' ? separator : (rest: string) => separator.exec(rest)?.[0].length ?? 0;
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  let at = 0;
  while (at < text.length) {
    const rest = text.slice(at, at + 40);
    const length = depth === 0 ? lengthOf(rest, at) : 0;
    if (length > 0) {
      parts.push(text.slice(start, at).trim());
      at += length;
      start = at;
      continue;
    }
    const opened = openers.exec(rest);
    const closed = opened ? null : closers.exec(rest);
    if (opened) depth += 1;
    if (closed) depth -= 1;
    at += (opened ?? closed)?.[0].length ?? commandLength(rest);
  }
  parts.push(text.slice(start).trim());
  return parts;
}

/** The parts of a list: between commas, semicolons, "and", "or"; null when there is only one. */
export function splitList(text: string): string[] | null {
  let before = ' ';
  const parts = splitTopLevel(text, (rest) => {
    const boundary = !/[A-Za-z\\]/.test(before);
    before = rest[0] ?? ' ';
    if (/^[,;]/.test(rest)) return 1;
    return (rest.startsWith('\\') || boundary ? conjunction.exec(rest)?.[0].length : 0) ?? 0;
  });
  const items = parts.filter((part) => part !== '' && !/^\\text\{[\s,;]*\}$/.test(part));
  return items.length > 1 ? items : null;
}

/** Without braces around the whole. */
export function unwrapped(text: string): string {
  let result = text.trim();
  while (result.startsWith('{') && result.endsWith('}') && isEnclosed(result)) result = result.slice(1, -1).trim();
  return result;
}

/** Whether the bracket that opens the text is closed by the one that ends it. */
export function isEnclosed(text: string): boolean {
  let depth = 0;
  let at = 0;
  while (at < text.length) {
    const rest = text.slice(at, at + 40);
    const opened = openers.exec(rest);
    const closed = opened ? null : closers.exec(rest);
    if (opened) depth += 1;
    if (closed) depth -= 1;
    at += (opened ?? closed)?.[0].length ?? commandLength(rest);
    if (depth <= 0) return depth === 0 && at === text.length;
  }
  return false;
}

function commandLength(rest: string): number {
  return /^\\(?:[a-zA-Z]+|.)/.exec(rest)?.[0].length ?? 1;
}
