/** Takes the program out of a completion as LiveCodeBench does: the lines between the last two lines that hold a fence (three backticks). */

const fence = '```';

/** Null when no two lines hold a fence. An empty block is an empty program. */
export function extractCode(completion: string): string | null {
  const close = completion.lastIndexOf(fence);
  if (close < 0) return null;
  const closeLine = completion.lastIndexOf('\n', close) + 1;
  const open = closeLine === 0 ? -1 : completion.lastIndexOf(fence, closeLine - 1);
  if (open < 0) return null;
  const start = completion.indexOf('\n', open) + 1;
  return completion.slice(start, Math.max(start, closeLine - 1)).replaceAll('\r\n', '\n');
}

/** Whether the completion ends inside its thinking: code in there was not given as the answer. */
export function endsThinking(completion: string): boolean {
  return completion.lastIndexOf('<think>') > completion.lastIndexOf('</think>');
}
