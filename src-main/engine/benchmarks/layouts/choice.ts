/**
 * Multiple choice: GPQA (right and wrong answers in columns of their own; where the right one stands is drawn from the seed), and any rows
 * with a question, a list of choices and the right one as a letter, a number counted from 0, or its text.
 */
import { choiceLetter, invalid, type Row, requiredText, textList, textOf } from '../problem.ts';
import type { Layout } from './layout.ts';
import { detailsOf } from './maths.ts';

const gpqaColumns = ['Question', 'Correct Answer', 'Incorrect Answer 1', 'Incorrect Answer 2', 'Incorrect Answer 3'];
const maxChoices = 10;

export const gpqa: Layout = {
  title: 'GPQA',
  kind: 'choice',
  columns: gpqaColumns,
  parse: (row, place) => {
    const [question, ...choices] = gpqaColumns.map((column) => requiredText(row, column, place));
    return { question: question!, gold: 'A', choices, seededOrder: true, ...detailsOf(row, place) };
  },
};

export const multipleChoice: Layout = {
  title: 'multiple choice',
  kind: 'choice',
  columns: ['question', 'choices', 'answer'],
  parse: (row, place) => {
    const choices = choicesOf(row, place);
    const context = textOf(row, ['context']);
    const question = requiredText(row, 'question', place);
    return {
      question: context === '' ? question : `${context}\n\n${question}`,
      choices,
      gold: choiceLetter(rightChoice(row.answer, choices, place)),
      ...detailsOf(row, place),
    };
  },
};

/** `{text: […], label: […]}`, as ARC has it, or a list. */
function choicesOf(row: Row, place: string): string[] {
  const { choices } = row;
  const choiceTexts = textList(choices) ?? textList((choices as { text?: unknown } | null)?.text);
  if (choiceTexts && choiceTexts.length >= 2 && choiceTexts.length <= maxChoices && choiceTexts.every((text) => text !== ''))
    return choiceTexts;
  throw invalid(place, `"choices" is no list of 2 to ${maxChoices} texts`, 'Give the choices as a list, or one column per choice.');
}

/** A number counts from 0. Text is the choice's own, its letter, or such a number; where two of these differ nobody can tell which is meant. */
function rightChoice(answer: unknown, choices: readonly string[], place: string): number {
  const text = typeof answer === 'string' || typeof answer === 'number' ? String(answer).trim() : '';
  const byText = typeof answer === 'number' ? -1 : choices.indexOf(text);
  const named = /^[A-J]$/i.test(text) ? text.toUpperCase().charCodeAt(0) - 65 : /^\d$/.test(text) ? Number(text) : -1;
  const byName = named < choices.length ? named : -1;
  const hint = 'Give the right choice as its letter, as its number counted from 0, or word for word.';
  if (byText >= 0 && byName >= 0 && byText !== byName)
    throw invalid(place, `the answer "${text}" is one choice word for word and another by its letter or number`, hint);
  const index = Math.max(byText, byName);
  if (index >= 0) return index;
  throw invalid(place, `the answer ${JSON.stringify(answer ?? null)} is none of the ${choices.length} choices`, hint);
}
