/**
 * From a problem to the tokens a model sees: the template of its kind, solved examples, the system prompt, and the model's chat template where
 * it has one. All prompts are made and checked before anything is generated, and every one that does not fit is named.
 */
import type { ProblemKind } from '#contract/benchmarks.ts';
import { RoundoffError } from '#contract/errors.ts';
import { completeProtocol } from '#contract/prompt-templates.ts';
import type { EvaluationProtocol } from '#contract/protocol.ts';
import type { ChatMessage } from '../model/chat-template.ts';
import type { ModelTokenizer } from '../model/tokenizer.ts';
import { choiceLetter, type Problem } from './problem.ts';

export interface Prompt {
  /** As the model sees it, chat template included. */
  text: string;
  ids: number[];
}

/** A question as it is asked and the answer to it. */
export interface SolvedExample {
  question: string;
  answer: string;
}

type PromptProtocol = Pick<EvaluationProtocol, 'systemPrompt' | 'promptTemplate' | 'templates' | 'thinking'>;

/**
 * Without a chat template the system prompt, if any, stands above the question, and examples between them. Throws `bad-input` for characters
 * the tokenizer cannot express.
 */
export function renderPrompt(
  problem: Pick<Problem, 'question' | 'choices' | 'starterCode'>,
  protocol: PromptProtocol,
  tokenizer: ModelTokenizer,
  { kind = 'maths', examples = [] }: { kind?: ProblemKind; examples?: readonly SolvedExample[] } = {},
): Prompt {
  const question = askQuestion(problem, kind, protocol);
  if (!tokenizer.chatTemplate) {
    const solved = examples.map((example) => `${example.question}\n${example.answer}`);
    const text = [...(protocol.systemPrompt === null ? [] : [protocol.systemPrompt]), ...solved, question].join('\n\n');
    return { text, ids: tokenizer.encode(text) };
  }
  const messages: ChatMessage[] = examples.flatMap((example) => [
    { role: 'user', content: example.question },
    { role: 'assistant', content: example.answer },
  ]);
  messages.push({ role: 'user', content: question });
  if (protocol.systemPrompt !== null) messages.unshift({ role: 'system', content: protocol.systemPrompt });
  const text = tokenizer.chatTemplate.render(messages, { enableThinking: protocol.thinking ?? null });
  return { text, ids: tokenizer.encode(text, { addSpecialTokens: false }) };
}

/** The question in the template of its kind. */
export function askQuestion(
  problem: Pick<Problem, 'question' | 'choices' | 'starterCode'>,
  kind: ProblemKind,
  protocol: Pick<EvaluationProtocol, 'promptTemplate' | 'templates'>,
): string {
  const { choices = [], starterCode = '' } = problem;
  const values: Record<string, string> = {
    question: problem.question,
    choices: choices.map((choice, index) => `${choiceLetter(index)}) ${choice}`).join('\n'),
    letters: choices.map((_, index) => choiceLetter(index)).join(''),
    starterCode,
  };
  const names = kind === 'maths' ? /\{(question)\}/g : /\{(question|choices|letters|starterCode)\}/g;
  return templateFor(kind, starterCode !== '', protocol).replace(names, (_, name: string) => values[name]!);
}

function templateFor(
  kind: ProblemKind,
  completesCode: boolean,
  protocol: Pick<EvaluationProtocol, 'promptTemplate' | 'templates'>,
): string {
  if (kind !== 'choice' && kind !== 'code') return protocol.promptTemplate;
  const { templates } = completeProtocol(protocol as EvaluationProtocol, [kind]);
  return templates![kind === 'choice' ? 'choice' : completesCode ? 'codeStarter' : 'codeStdin']!;
}

export interface PromptOptions {
  kind?: ProblemKind;
  /** Solved examples for a problem; none by default. */
  examplesFor?(problem: Problem): readonly SolvedExample[];
}

/** Prompts of a whole benchmark, in order. Throws `bad-input`, listing every problem whose prompt cannot be made or does not fit. */
export function renderPrompts(
  benchmark: { name: string; problems: readonly Problem[] },
  protocol: PromptProtocol & Pick<EvaluationProtocol, 'maxNewTokens'>,
  tokenizer: ModelTokenizer,
  contextLength: number,
  { kind = 'maths', examplesFor }: PromptOptions = {},
): Prompt[] {
  const failures: RoundoffError[] = [];
  const prompts = benchmark.problems.flatMap((problem) => {
    try {
      const prompt = renderPrompt(problem, protocol, tokenizer, { kind, examples: examplesFor?.(problem) ?? [] });
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
