/**
 * Prompt templates as data: how each kind of problem is put to a model. The ones named after a paper or harness are theirs to the character,
 * because a prompt is part of a measurement. `{question}`, `{choices}` (one lettered line each), `{letters}` and `{starterCode}` are replaced.
 * Pure.
 */
import { z } from 'zod';
import type { ProblemKind } from './benchmarks.ts';
import type { EvaluationProtocol } from './protocol.ts';

/** What a template is for: `codeStdin` where the program reads its input, `codeStarter` where it completes given code. */
export const templateSlots = ['maths', 'choice', 'codeStdin', 'codeStarter'] as const;
export type TemplateSlot = (typeof templateSlots)[number];

export interface PromptTemplate {
  id: string;
  slot: TemplateSlot;
  title: string;
  text: string;
}

const lightevalCode =
  'You will be given a question (problem specification) and will generate a correct Python program that matches the specification and passes all tests.\n\nQuestion: {question}\n\n';

export const promptTemplates: readonly PromptTemplate[] = [
  { id: 'plain', slot: 'maths', title: 'The question alone', text: '{question}' },
  {
    id: 'qrm-maths',
    slot: 'maths',
    title: 'Step by step, boxed (Quantized Reasoning Models, Reasoning-QAT)',
    text: '{question}\n\nPlease reason step by step, and put your final answer within \\boxed{}.',
  },
  {
    id: 'simple-evals-choice',
    slot: 'choice',
    title: 'Letter on the last line (simple-evals, Reasoning-QAT)',
    text: "Answer the following multiple choice question. The last line of your response should be of the following format: 'Answer: $LETTER' (without quotes) where LETTER is one of {letters}. Think step by step before answering.\n\n{question}\n\n{choices}",
  },
  {
    id: 'lighteval-stdin',
    slot: 'codeStdin',
    title: 'Program from standard input (lighteval’s LiveCodeBench)',
    text: `${lightevalCode}Read the inputs from stdin solve the problem and write the answer to stdout (do not directly test on the sample inputs). Enclose your code within delimiters as follows. Ensure that when the python program runs, it reads the inputs, runs the algorithm and writes output to STDOUT.\n\`\`\`python\n# YOUR CODE HERE\n\`\`\`\n\n`,
  },
  {
    id: 'lighteval-starter',
    slot: 'codeStarter',
    title: 'Completing given code (lighteval’s LiveCodeBench)',
    text: `${lightevalCode}You will use the following starter code to write the solution to the problem and enclose your code within delimiters.\n\`\`\`python\n{starterCode}\n\`\`\`\n\n`,
  },
];

/** What a template must contain to ask the whole problem. */
export const neededPlaceholders: Record<TemplateSlot, readonly string[]> = {
  maths: ['{question}'],
  choice: ['{question}', '{choices}'],
  codeStdin: ['{question}'],
  codeStarter: ['{question}', '{starterCode}'],
};

const templateText = (slot: TemplateSlot) =>
  z
    .string()
    .refine(
      (text) => neededPlaceholders[slot].every((placeholder) => text.includes(placeholder)),
      `must contain ${neededPlaceholders[slot].join(' and ')}`,
    );

/** Templates of the kinds that are not asked by `promptTemplate`. */
export const kindTemplatesSchema = z.strictObject({
  choice: templateText('choice').optional(),
  codeStdin: templateText('codeStdin').optional(),
  codeStarter: templateText('codeStarter').optional(),
});
export type KindTemplates = z.infer<typeof kindTemplatesSchema>;

const standard = (slot: TemplateSlot) => promptTemplates.find((template) => template.slot === slot)!.text;
/** The verifiers that new protocols name: of written answers, multiple choice and code. */
export const standardVerifiers = { maths: 'maths-2', choice: 'choice-1', code: 'code-1' } as const;

/** The verifiers of written answers to choose from, with what tells them apart. */
export const mathsVerifiers = [
  { name: 'maths-2', title: 'maths-2: exact numbers, symbolic equality, sets, intervals, matrices' },
  { name: 'maths-1', title: 'maths-1: exact numbers, everything else as text; for comparison with earlier studies' },
] as const;

/** Text for the perplexity of a text: read in windows of this many tokens, each beginning this many after the one before. */
export const standardWindows = { window: 2048, stride: 2048 };

/**
 * The protocol with everything said that its benchmarks' kinds leave open: templates, verifiers, windows. Of written answers alone it is the
 * protocol itself, so that its hash stays what it was. Only this form is measured by and hashed.
 */
export function completeProtocol(protocol: EvaluationProtocol, kinds: Iterable<ProblemKind>): EvaluationProtocol {
  const present = new Set(kinds);
  const complete = { ...protocol };
  if (present.has('choice')) complete.templates = { choice: standard('choice'), ...complete.templates };
  if (present.has('code'))
    complete.templates = { codeStdin: standard('codeStdin'), codeStarter: standard('codeStarter'), ...complete.templates };
  for (const kind of ['choice', 'code'] as const)
    if (present.has(kind)) complete.verifiers = { [kind]: standardVerifiers[kind], ...complete.verifiers };
  if (present.has('text')) complete.perplexity = { ...standardWindows, ...complete.perplexity };
  return complete;
}
