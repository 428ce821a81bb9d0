/**
 * Benchmarks that are scored by likelihood, without generating: WinoGrande (the blank is filled with each option, and the rest of the sentence
 * is compared, as lm-evaluation-harness does) and HellaSwag (which of four endings is likeliest per character).
 */
import { choiceLetter, invalid, type Row, requiredText, textList, textOf } from '../problem.ts';
import type { Layout } from './layout.ts';

export const winoGrande: Layout = {
  title: 'WinoGrande',
  kind: 'likelihood',
  columns: ['sentence', 'option1', 'option2', 'answer'],
  parse: (row, place) => {
    const sentence = requiredText(row, 'sentence', place);
    const options = [requiredText(row, 'option1', place), requiredText(row, 'option2', place)];
    const at = sentence.indexOf('_');
    const rest = sentence.slice(at + 1).trim();
    if (at < 0 || rest === '' || sentence.indexOf('_', at + 1) >= 0)
      throw invalid(place, 'the sentence does not have exactly one blank "_" with text behind it', 'Restore the row from its source.');
    const index = numbered(row.answer, [1, 2], place, 'answer');
    const contexts = options.map((option) => `${sentence.slice(0, at)}${option}`);
    return { question: sentence, contexts, choices: options.map(() => ` ${rest}`), gold: choiceLetter(index) };
  },
};

export const hellaSwag: Layout = {
  title: 'HellaSwag',
  kind: 'likelihood',
  columns: ['endings', 'label', 'ctx'],
  parse: (row, place) => {
    const endings = textList(row.endings);
    if (!endings || endings.length < 2 || endings.some((ending) => ending === ''))
      throw invalid(place, '"endings" is no list of at least two texts', 'Restore the row from its source.');
    const places = endings.map((_, index) => index);
    const context = contextOf(row, place);
    return {
      question: context,
      contexts: endings.map(() => context),
      choices: endings.map((ending) => ` ${withoutMarks(ending)}`),
      gold: choiceLetter(numbered(row.label, places, place, 'label')),
    };
  },
};

/** `activity: ctx_a Ctx_b`; rows without its parts have the whole in `ctx`. */
function contextOf(row: Row, place: string): string {
  const activity = textOf(row, ['activity_label']);
  const [first, second] = [textOf(row, ['ctx_a']), textOf(row, ['ctx_b'])];
  const joined = first === '' ? requiredText(row, 'ctx', place) : `${first} ${capitalised(second)}`;
  return withoutMarks(activity === '' ? joined : `${activity}: ${joined}`);
}

/** The WikiHow part marks titles and leaves `[header]` and the like in the text. */
function withoutMarks(text: string): string {
  return text
    .trim()
    .replaceAll(' [title]', '. ')
    .replace(/\[.*?\]/g, '')
    .replaceAll('  ', ' ')
    .trim();
}

/** First letter large, the rest small, as the harness that made the usual numbers does. */
function capitalised(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1).toLowerCase();
}

function numbered(value: unknown, numbers: readonly number[], place: string, column: string): number {
  const text = typeof value === 'string' || typeof value === 'number' ? String(value).trim() : '';
  const index = /^\d+$/.test(text) ? numbers.indexOf(Number(text)) : -1;
  if (index >= 0) return index;
  const hint =
    text === ''
      ? 'This split has no answers, as test splits of this benchmark have none: choose the validation split.'
      : 'Restore the row from its source.';
  throw invalid(place, `"${column}" is ${JSON.stringify(value ?? null)}, not one of ${numbers.join(', ')}`, hint);
}
