/**
 * Finds `\boxed{…}` in a completion. One pass with a stack of open braces, so that hostile input (thousands of nested or
 * unclosed braces) costs time proportional to its length.
 */

/**
 * Content of the last `\boxed{…}` whose braces balance and which is not blank, or null. Of nested boxes the inner one is
 * last. `\fbox`, `\boxed` without braces and unclosed boxes yield nothing. Escaped braces (`\{`) do not count as braces.
 */
export function lastBoxed(text: string): string | null {
  const open: { start: number; boxed: boolean }[] = [];
  let best: { start: number; end: number } | null = null;
  let at = 0;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === backslash) {
      const brace = boxedBrace(text, at);
      if (brace > 0) open.push({ start: brace + 1, boxed: true });
      at = brace > 0 ? brace + 1 : at + 2;
      continue;
    }
    if (code === openBrace) open.push({ start: at + 1, boxed: false });
    if (code === closeBrace) {
      const closed = open.pop();
      if (closed?.boxed && closed.start > (best?.start ?? -1) && !isBlank(text, closed.start, at)) best = { start: closed.start, end: at };
    }
    at += 1;
  }
  return best ? text.slice(best.start, best.end).trim() : null;
}

const backslash = 92;
const openBrace = 123;
const closeBrace = 125;
const command = '\\boxed';

/** Index of the brace that opens the box starting at `at`, or -1. Up to four blanks may stand before the brace. */
function boxedBrace(text: string, at: number): number {
  if (!text.startsWith(command, at)) return -1;
  let brace = at + command.length;
  while (brace < at + command.length + 4 && text.charCodeAt(brace) === 32) brace += 1;
  return text.charCodeAt(brace) === openBrace ? brace : -1;
}

/** Whether only white space lies between; stops at the first other character. Nested blank boxes are looked at only once each level. */
function isBlank(text: string, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (text.charCodeAt(at) > 32) return false;
  return true;
}
