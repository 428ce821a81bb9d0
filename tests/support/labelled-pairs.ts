/** Reads labelled answer pairs: `gold ≡ answer` or `gold ≢ answer` a line, `[tolerance 0.1]` at its end where there is one. */
import { readFileSync } from 'node:fs';

export interface LabelledPair {
  gold: string;
  answer: string;
  equal: boolean;
  tolerance?: number;
  /** As it stands in the file, for messages. */
  line: string;
}

/** Throws on a line that is neither a pair, a heading nor empty. */
export function readPairs(path: string): LabelledPair[] {
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.filter((line) => line.trim() !== '' && !line.startsWith('#')).map(parsePair);
}

function parsePair(line: string): LabelledPair {
  const match = /^(.*?) ([≡≢]) (.*?)(?: \[tolerance ([\d.]+)\])?$/.exec(line);
  if (!match) throw new Error(`no labelled pair: ${line}`);
  const tolerance = match[4] === undefined ? {} : { tolerance: Number(match[4]) };
  return { gold: match[1]!, answer: match[3]!, equal: match[2] === '≡', line, ...tolerance };
}
