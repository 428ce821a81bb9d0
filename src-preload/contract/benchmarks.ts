/**
 * References to benchmark files, as a study holds them: where the file is, which part of it, and, for files that follow no publisher's layout,
 * which column is what. Part of the frozen study. Pure.
 */
import { z } from 'zod';
import { RoundoffError } from './errors.ts';

/** What is asked and how it is scored: a written answer, a letter, a program, the likelier of given endings, or how likely a text is. */
export const problemKinds = ['maths', 'choice', 'code', 'likelihood', 'text'] as const;
export type ProblemKind = (typeof problemKinds)[number];

/** What a column can be. */
export const columnFields = [
  'question',
  'answer',
  'choices',
  'context',
  'solution',
  'id',
  'tolerance',
  'level',
  'subject',
  'starterCode',
  'tests',
] as const;
export type ColumnField = (typeof columnFields)[number];

/** Field → column. For `choices` either one column that holds a list, or one column per choice, joined by `+`. */
export const columnMappingSchema = z.partialRecord(z.enum(columnFields), z.string().min(1));
export type ColumnMapping = z.infer<typeof columnMappingSchema>;

/** A benchmark file or folder. `sample:` paths lie in the bundled sample folder. */
export const benchmarkReferenceSchema = z.strictObject({
  name: z.string().min(1),
  path: z.string().min(1),
  /** Of a folder: `test`, or several joined by `+`. */
  split: z.string().min(1).optional(),
  /** For files in no publisher's layout. */
  columns: columnMappingSchema.optional(),
  /** How mapped rows are asked and scored; otherwise the layout says so. */
  kind: z.enum(problemKinds).optional(),
  /** Only rows whose column has one of these values, `A|B`, or a whole number within `3..5`. */
  where: z.record(z.string().min(1), z.string().min(1)).optional(),
  /** Where solved examples for the prompt are taken from, when the protocol asks for some. */
  examples: z.string().min(1).optional(),
});
export type BenchmarkReference = z.infer<typeof benchmarkReferenceSchema>;

/** Equal for references to the same problems, whatever they are called. */
export function benchmarkKey({ path, split, columns, kind, where }: BenchmarkReference): string {
  const parts = [split, columns && sorted(columns), kind, where && sorted(where)];
  return parts.every((part) => part === undefined) ? path : JSON.stringify([path, ...parts.map((part) => part ?? null)]);
}

/** A text whose perplexity is measured, rather than problems. */
export function isText({ path, kind }: Pick<BenchmarkReference, 'path' | 'kind'>): boolean {
  return kind === 'text' || (kind === undefined && /\.txt$/i.test(path));
}

/** How often a problem of a kind is answered: what is scored by likelihood depends on no seed. */
export function answersPerProblem(kind: ProblemKind, seeds: number): number {
  return kind === 'likelihood' ? 1 : kind === 'text' ? 0 : seeds;
}

const scores: Record<ProblemKind, string> = {
  maths: 'accuracy of written answers',
  choice: 'accuracy of letters',
  code: 'programs that pass every test',
  likelihood: 'accuracy of the likeliest ending',
  text: 'perplexity, lower is better',
};

/** What is measured of a benchmark; with the share that always giving the same letter reaches, which is no skill. */
export function measureText({ kind = 'maths', floor = null }: { kind?: ProblemKind; floor?: number | null }): string {
  return floor === null ? scores[kind] : `${scores[kind]}; one letter throughout scores ${(100 * floor).toFixed(1)} %`;
}

/** Reads `question=prompt,answer=target`. Throws `bad-input` for unknown fields and for text that maps nothing. */
export function parseColumnMapping(text: string): ColumnMapping {
  const mapping: ColumnMapping = {};
  for (const part of text.split(',')) {
    const at = part.indexOf('=');
    const field = part.slice(0, Math.max(0, at)).trim() as ColumnField;
    const column = part.slice(at + 1).trim();
    if (at < 1 || column === '' || !columnFields.includes(field))
      throw new RoundoffError(
        'bad-input',
        `"${part}" maps no column.`,
        `Write FIELD=COLUMN, separated by commas; fields are ${columnFields.join(', ')}.`,
      );
    mapping[field] = column;
  }
  return mapping;
}

/** Of a mapped row: choices make it multiple choice, tests make it code. */
export function mappedKind(columns: ColumnMapping): ProblemKind {
  return columns.choices !== undefined ? 'choice' : columns.tests !== undefined ? 'code' : 'maths';
}

function sorted(record: Record<string, string>): [string, string][] {
  return Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));
}
