/** How the command line says what a protocol is: prompts, thinking, solved examples, windows of texts. */
import { type Command, InvalidArgumentError } from 'commander';
import { RoundoffError } from '#contract/errors.ts';
import { neededPlaceholders, promptTemplates, standardVerifiers, standardWindows, type TemplateSlot } from '#contract/prompt-templates.ts';
import { type EvaluationProtocol, type Precision, precisionSchema } from '#contract/protocol.ts';
import { type CompletionOptions, collect, decimal, positiveWholeNumber, wholeNumber } from './options.ts';

export interface ProtocolOptions extends CompletionOptions {
  seeds: number;
  firstSeed: number;
  problems?: number;
  precision?: number;
  template: string;
  verifier: string;
  kindTemplate?: string[];
  thinking?: boolean;
  fewShot?: number;
  fewShotSeed: number;
  window?: number;
  stride?: number;
}

const kindSlots = ['choice', 'codeStdin', 'codeStarter'] as const satisfies readonly TemplateSlot[];
const idsOf = (slots: readonly TemplateSlot[]) => promptTemplates.filter(({ slot }) => slots.includes(slot)).map(({ id }) => id);

export function addProtocolOptions(command: Command): Command {
  return command
    .option('--seeds <n>', 'completions per problem', positiveWholeNumber, 3)
    .option('--first-seed <n>', 'the seeds count up from this', wholeNumber, 42)
    .option('--problems <n>', 'first N problems of each benchmark', positiveWholeNumber)
    .option('--precision <points>', 'end a benchmark once its accuracy is known to ± this many points', decimal)
    .option('--template <text>', `prompt with {question} in it, or one of ${idsOf(['maths']).join(', ')}`, '{question}')
    .option('--kind-template <slot=text>', `of ${kindSlots.join(', ')}: text, or one of ${idsOf(kindSlots).join(', ')}`, collect)
    .option('--verifier <name>', 'judges written answers: maths-2, or maths-1 as in earlier studies', standardVerifiers.maths)
    .option('--thinking <on|off>', 'for chat templates that know both; otherwise left to the template', onOrOff)
    .option('--few-shot <n>', 'solved examples before each question, from the --examples of its benchmark', positiveWholeNumber)
    .option('--few-shot-seed <n>', 'which examples are drawn', wholeNumber, 42)
    .option('--examples <file[#split]>', 'where solved examples are taken from', collect)
    .option(
      '--window <n>',
      `tokens a text is read in at once for its perplexity (the smaller of ${standardWindows.window} and the context)`,
      positiveWholeNumber,
    )
    .option('--stride <n>', 'by how many tokens the next window begins later (the window)', positiveWholeNumber);
}

/** Throws `bad-input` for templates that leave out what they must ask. `contextLength` is the model's. */
export function protocolFrom(
  options: ProtocolOptions,
  { contextLength, texts }: { contextLength: number; texts: boolean },
): EvaluationProtocol {
  const { temperature, topP, topK, maxNewTokens, thinking, fewShot, fewShotSeed } = options;
  const templates = (options.kindTemplate ?? []).map(parseKindTemplate);
  const window = options.window ?? Math.min(standardWindows.window, contextLength);
  return {
    temperature,
    topP,
    topK,
    maxNewTokens,
    seeds: Array.from({ length: options.seeds }, (_, index) => options.firstSeed + index),
    systemPrompt: options.system ?? null,
    promptTemplate: templateOf('maths', options.template),
    verifier: options.verifier,
    problemsPerBenchmark: options.problems ?? null,
    ...(options.precision === undefined ? {} : { precision: parsePrecision(options.precision) }),
    ...(templates.length === 0 ? {} : { templates: Object.fromEntries(templates) }),
    ...(thinking === undefined ? {} : { thinking }),
    ...(fewShot === undefined ? {} : { fewShot: { examples: fewShot, seed: fewShotSeed } }),
    ...(texts ? { perplexity: { window, stride: strideOf(options.stride, window) } } : {}),
  };
}

function parsePrecision(points: number): Precision {
  const parsed = precisionSchema.safeParse({ points });
  if (parsed.success) return parsed.data;
  throw new RoundoffError('bad-input', `A precision of ±${points} points cannot be asked for.`, 'Give a number above 0 and at most 50.');
}

function strideOf(stride: number | undefined, window: number): number {
  if (stride === undefined || stride <= window) return stride ?? window;
  throw new RoundoffError(
    'bad-input',
    `A stride of ${stride} leaves gaps between windows of ${window} tokens.`,
    'Give a stride of at most the window.',
  );
}

/** A template by its name, or the text itself. */
function templateOf(slot: TemplateSlot, text: string): string {
  const known = promptTemplates.find((template) => template.slot === slot && template.id === text)?.text;
  const template = known ?? text;
  const missing = neededPlaceholders[slot].find((placeholder) => !template.includes(placeholder));
  if (missing === undefined) return template;
  throw new RoundoffError(
    'bad-input',
    slot === 'maths' ? `The template has no ${missing} in it.` : `The template for ${slot} has no ${missing} in it.`,
    `Write for example "${promptTemplates.find((each) => each.slot === slot)!.text.slice(0, 60)}…", or name one of: ${idsOf([slot]).join(', ')}.`,
  );
}

function parseKindTemplate(text: string): [slot: TemplateSlot, template: string] {
  const at = text.indexOf('=');
  const slot = kindSlots.find((each) => each === text.slice(0, Math.max(0, at)));
  if (slot) return [slot, templateOf(slot, text.slice(at + 1))];
  throw new RoundoffError('bad-input', `"${text}" names no template.`, `Write SLOT=TEXT with a slot of: ${kindSlots.join(', ')}.`);
}

function onOrOff(text: string): boolean {
  if (text === 'on' || text === 'off') return text === 'on';
  throw new InvalidArgumentError('Give on or off.');
}
