/** Finds the boxes of a completion (`\boxed{…}`, `\fbox{…}`), in one pass whose cost is proportional to its length. */

export interface Box {
  /** Of the command, and behind the closing brace. */
  start: number;
  end: number;
  content: string;
}

const opener = /\\(?:boxed|fbox)\s{0,4}\{|[{}]|\\[\s\S]/g;
const kept = 32;

/** The last innermost boxes that close and are not blank, in order of their start; not more than the last 32. */
export function lastBoxes(text: string): Box[] {
  const open: { start: number; inner: number; boxed: boolean; hasBox: boolean }[] = [];
  const boxes: { start: number; inner: number; end: number }[] = [];
  for (const match of text.matchAll(opener)) {
    const found = match[0];
    const after = match.index + found.length;
    if (found.length > 2) open.push({ start: match.index, inner: after, boxed: true, hasBox: false });
    else if (found === '{') open.push({ start: match.index, inner: after, boxed: false, hasBox: false });
    else if (found === '}') {
      const closed = open.pop();
      if (!closed) continue;
      const parent = open.at(-1);
      const filled = closed.boxed && !closed.hasBox && hasInk(text, closed.inner, match.index);
      if (parent && (filled || closed.hasBox)) parent.hasBox = true;
      if (filled) boxes.push({ start: closed.start, inner: closed.inner, end: after });
    }
  }
  boxes.sort((a, b) => a.start - b.start);
  return boxes.slice(-kept).map(({ start, inner, end }) => ({ start, end, content: text.slice(inner, end - 1).trim() }));
}

/** Stops at the first character that is not white space. */
function hasInk(text: string, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (text.charCodeAt(at) > 32) return true;
  return false;
}
