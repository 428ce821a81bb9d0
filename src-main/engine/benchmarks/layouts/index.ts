/** Which layout a file has, by its columns. */
import type { BenchmarkReference, ProblemKind } from '#contract/benchmarks.ts';
import { mappedKind } from '#contract/benchmarks.ts';
import { RoundoffError } from '#contract/errors.ts';
import type { Row } from '../problem.ts';
import { gpqa, multipleChoice } from './choice.ts';
import { liveCodeBench, mappedCode } from './code.ts';
import type { Layout } from './layout.ts';
import { hellaSwag, winoGrande } from './likelihood.ts';
import { gsm8k, math, maths, minerva, olympiadBench } from './maths.ts';

export type { Layout } from './layout.ts';

/** The first whose columns are all there; a row with a question and an answer fits the last. */
const layouts: readonly Layout[] = [gpqa, liveCodeBench, winoGrande, hellaSwag, multipleChoice, olympiadBench, math, minerva, gsm8k, maths];

const mapped: Partial<Record<ProblemKind, Layout>> = {
  maths: { ...maths, title: 'mapped columns' },
  choice: { ...multipleChoice, title: 'mapped columns, multiple choice' },
  code: mappedCode,
};

/** The layout of a file that begins with `row`. Throws `bad-input` for a kind that rows cannot be mapped to. */
export function layoutOf(row: Row, { columns, kind }: Pick<BenchmarkReference, 'columns' | 'kind'>): Layout {
  if (!columns) {
    const found = layouts.find((layout) => layout.columns.every((column) => Object.hasOwn(row, column)) && (layout.fits?.(row) ?? true))!;
    if (kind === undefined || kind === found.kind) return found;
    throw new RoundoffError(
      'bad-input',
      `The file is in the layout "${found.title}", which is not of the kind "${kind}".`,
      'Leave the kind out, or map the columns.',
    );
  }
  const wanted = kind ?? mappedKind(columns);
  const layout = mapped[wanted];
  if (layout) return layout;
  throw new RoundoffError('bad-input', `Columns cannot be mapped to the kind "${wanted}".`, `Use ${Object.keys(mapped).join(' or ')}.`);
}
