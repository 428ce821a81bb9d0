/** The verifiers there are, by the name a protocol records. */
import { RoundoffError } from '#contract/errors.ts';
import { choice1 } from './choice/choice-1.ts';
import { code1 } from './code/code-1.ts';
import { maths2 } from './maths/maths-2.ts';
import type { Verifier } from './verifier.ts';
import { maths1 } from './verify.ts';

const verifiers: ReadonlyMap<string, Verifier> = new Map([maths1, maths2, choice1, code1].map((verifier) => [verifier.name, verifier]));
export const verifierNames = [...verifiers.keys()];

/** The verifier a protocol names. Throws `bad-input` for an unknown one. */
export function getVerifier(name: string): Verifier {
  const verifier = verifiers.get(name);
  if (verifier) return verifier;
  throw new RoundoffError('bad-input', `There is no verifier "${name}".`, `Use one of: ${verifierNames.join(', ')}.`);
}
