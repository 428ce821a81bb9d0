/** Finds the boxes of a completion (`\boxed{…}`, `\fbox{…}`), in one pass whose cost is proportional to its length. */

export interface Box {
  /** Of the command, and behind the closing brace. */
  start: number;
  end: number;
  content: string;
}

interface Open {
  /** Of the command where it is a box. */
  start: number;
  inner: number;
  boxed: boolean;
  /** Something other than white space and braces stands in it. */
  ink: boolean;
  /** A box that counts stands in it. */
  holdsBox: boolean;
}

const backslash = 92;
const openBrace = 123;
const closeBrace = 125;
const command = /\\(?:boxed|fbox)\s{0,4}\{/y;
const kept = 32;

/** The last innermost boxes that close and are not blank, in order of their start; not more than the last 32. */
export function lastBoxes(text: string): Box[] {
  const open: Open[] = [];
  const boxes: { start: number; inner: number; end: number }[] = [];
  let at = 0;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === backslash) {
      const inner = innerOf(text, at);
      const top = open.at(-1);
      if (inner > 0) open.push({ start: at, inner, boxed: true, ink: false, holdsBox: false });
      else if (top) top.ink = true;
      at = inner > 0 ? inner : at + 2;
      continue;
    }
    if (code === openBrace) open.push({ start: at, inner: at + 1, boxed: false, ink: false, holdsBox: false });
    else if (code === closeBrace) {
      const box = close(open);
      if (box) boxes.push({ ...box, end: at + 1 });
    } else if (code > 32 && open.length > 0) open.at(-1)!.ink = true;
    at += 1;
  }
  boxes.sort((a, b) => a.start - b.start);
  return boxes.slice(-kept).map(({ start, inner, end }) => ({ start, end, content: text.slice(inner, end - 1).trim() }));
}

/** Takes the innermost open brace away; the box it ends, if that counts. */
function close(open: Open[]): { start: number; inner: number } | null {
  const closed = open.pop();
  if (!closed) return null;
  const counts = closed.boxed && closed.ink && !closed.holdsBox;
  const parent = open.at(-1);
  if (parent) {
    parent.ink ||= closed.ink;
    parent.holdsBox ||= counts || closed.holdsBox;
  }
  return counts ? { start: closed.start, inner: closed.inner } : null;
}

/** Behind the brace that opens the box starting at `at`, or 0. */
function innerOf(text: string, at: number): number {
  const next = text.charCodeAt(at + 1);
  if (next !== 98 && next !== 102) return 0;
  command.lastIndex = at;
  return command.test(text) ? command.lastIndex : 0;
}
