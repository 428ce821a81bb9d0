/**
 * The evaluation protocol in full, as label and value pairs.
 */
import { precisionText } from '#contract/early-stop.ts';
import type { EvaluationProtocol } from '#contract/protocol.ts';
import { protocolExtras } from '#contract/protocol-text.ts';

export function protocolEntries(protocol: EvaluationProtocol, hash: string): [label: string, value: string][] {
  return [
    ['temperature', protocol.temperature === 0 ? '0 (greedy)' : String(protocol.temperature)],
    ['top-p', String(protocol.topP)],
    ['top-k', protocol.topK === 0 ? 'no limit' : String(protocol.topK)],
    ['token limit per completion', String(protocol.maxNewTokens)],
    ['seeds', protocol.seeds.join(', ')],
    ['problems per benchmark', protocol.problemsPerBenchmark === null ? 'all' : `first ${protocol.problemsPerBenchmark}`],
    ...(protocol.precision ? [['early stop', precisionText(protocol.precision)] as [string, string]] : []),
    ['system prompt', protocol.systemPrompt ?? 'none'],
    ['prompt template', protocol.promptTemplate],
    ['verifier', protocol.verifier],
    ...protocolExtras(protocol),
    ['protocol hash', hash],
  ];
}
