/** A completion taken apart for reading: what the model thought, and what it answered. */
export interface CompletionParts {
  /** Inside `<think>…</think>`; null when the model did not think aloud. */
  thinking: string | null;
  /** False when generation ended inside the thinking. */
  thinkingClosed: boolean;
  answer: string;
}

/** `prompt` matters because chat templates may open `<think>` themselves. */
export function splitCompletion(prompt: string, completion: string): CompletionParts {
  const openedByPrompt = /<think>\s*$/.test(prompt);
  const open = completion.indexOf('<think>');
  const close = completion.indexOf('</think>');
  if (!openedByPrompt && open < 0 && close < 0) return { thinking: null, thinkingClosed: true, answer: completion.trim() };
  const start = open >= 0 && (close < 0 || open < close) ? open + '<think>'.length : 0;
  const before = open > 0 ? completion.slice(0, open) : '';
  if (close < 0) return { thinking: completion.slice(start).trim(), thinkingClosed: false, answer: before.trim() };
  return {
    thinking: completion.slice(start, close).trim(),
    thinkingClosed: true,
    answer: (before + completion.slice(close + '</think>'.length)).trim(),
  };
}
