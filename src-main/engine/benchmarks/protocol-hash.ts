/**
 * The hash that says two scores were measured the same way: sha256 over the protocol's canonical JSON (sorted keys).
 */
import { createHash } from 'node:crypto';
import { canonicalJson, type EvaluationProtocol } from '#contract/protocol.ts';

/** Hex sha256 of a protocol. Equal protocols hash equally whatever the order of their fields. */
export function protocolHash(protocol: EvaluationProtocol): string {
  return createHash('sha256').update(canonicalJson(protocol)).digest('hex');
}
