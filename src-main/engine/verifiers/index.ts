/**
 * Verifiers: from a completion and a gold answer to a verdict.
 */

export { lastBoxed } from './boxed.ts';
export { canonicalAnswer, numericAnswer } from './canonical.ts';
export { type ExtractedAnswer, extractAnswer } from './extract.ts';
export { getVerifier, verifierNames } from './registry.ts';
export type { Verifier, VerifyInput, VerifyResult } from './verifier.ts';
export { sameAnswer, verify } from './verify.ts';
