/** What a protocol says beyond sampling, in words that reports and the workbench share: templates of kinds, verifiers, thinking, examples, windows. */
import type { EvaluationProtocol } from './protocol.ts';

/** Only what the protocol states. */
export function protocolExtras({
  templates,
  verifiers,
  thinking,
  fewShot,
  perplexity,
}: EvaluationProtocol): [label: string, value: string][] {
  const entries: [string, string | undefined][] = [
    ['template for multiple choice', templates?.choice],
    ['template for programs that read input', templates?.codeStdin],
    ['template for given code', templates?.codeStarter],
    ['verifier of multiple choice', verifiers?.choice],
    ['verifier of code', verifiers?.code],
    ['thinking', thinking === undefined ? undefined : thinking ? 'on' : 'off'],
    ['solved examples', fewShot && `${fewShot.examples} before each question, drawn by seed ${fewShot.seed}`],
    ['windows for perplexity', perplexity && `${perplexity.window} tokens, each beginning ${perplexity.stride} after the one before`],
  ];
  return entries.filter((entry): entry is [string, string] => entry[1] !== undefined);
}
