/**
 * From a problem to the tokens a model sees: the protocol's prompt template, its system prompt, and the model's chat template where
 * it has one. All prompts are made and checked before anything is generated, and every one that does not fit is named.
 */
import { RoundoffError } from '#contract/errors.ts';
import type { EvaluationProtocol } from '#contract/protocol.ts';
import type { ChatMessage } from '../model/chat-template.ts';
import type { ModelTokenizer } from '../model/tokenizer.ts';
import type { Problem } from './problem.ts';

export interface Prompt {
  /** As the model sees it, chat template included. */
  text: string;
  ids: number[];
}

type PromptProtocol = Pick<EvaluationProtocol, 'systemPrompt' | 'promptTemplate'>;

/**
 * Without a chat template the system prompt, if any, stands above the question. Throws `bad-input` for characters the tokenizer
 * cannot express.
 */
export function renderPrompt(problem: Problem, protocol: PromptProtocol, tokenizer: ModelTokenizer): Prompt {
  const question = protocol.promptTemplate.replaceAll('{question}', () => problem.question);
  if (!tokenizer.chatTemplate) {
    const text = protocol.systemPrompt === null ? question : `${protocol.systemPrompt}\n\n${question}`;
    return { text, ids: tokenizer.encode(text) };
  }
  const messages: ChatMessage[] = [{ role: 'user', content: question }];
  if (protocol.systemPrompt !== null) messages.unshift({ role: 'system', content: protocol.systemPrompt });
  const text = tokenizer.chatTemplate.render(messages);
  return { text, ids: tokenizer.encode(text, { addSpecialTokens: false }) };
}

/** Prompts of a whole benchmark, in order. Throws `bad-input`, listing every problem whose prompt cannot be made or does not fit. */
export function renderPrompts(
  benchmark: { name: string; problems: readonly Problem[] },
  protocol: PromptProtocol & Pick<EvaluationProtocol, 'maxNewTokens'>,
  tokenizer: ModelTokenizer,
  contextLength: number,
): Prompt[] {
  const failures: RoundoffError[] = [];
  const prompts = benchmark.problems.flatMap((problem) => {
    try {
      const prompt = renderPrompt(problem, protocol, tokenizer);
      checkFit(prompt, protocol.maxNewTokens, contextLength);
      return [prompt];
    } catch (error) {
      if (!(error instanceof RoundoffError)) throw error;
      failures.push(
        new RoundoffError(error.code, `${benchmark.name}, problem ${problem.id}: ${error.message}`, error.hint, { cause: error }),
      );
      return [];
    }
  });
  const first = failures[0];
  if (!first) return prompts;
  const more = failures.length > 1 ? ` (and ${failures.length - 1} more problems)` : '';
  throw new RoundoffError(first.code, `${first.message}${more}`, first.hint, { problems: failures.map((failure) => failure.message) });
}

function checkFit(prompt: Prompt, maxNewTokens: number, contextLength: number): void {
  const needed = prompt.ids.length + maxNewTokens;
  if (needed <= contextLength) return;
  throw new RoundoffError(
    'bad-input',
    `its prompt of ${prompt.ids.length} tokens and ${maxNewTokens} new ones exceed the model's context of ${contextLength}.`,
    `Set the protocol's token limit to ${Math.max(1, contextLength - prompt.ids.length)} or less, or leave such problems out.`,
  );
}
