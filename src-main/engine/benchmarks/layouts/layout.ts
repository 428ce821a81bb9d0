/** What a reader of one publisher's layout is. */
import type { ProblemKind } from '#contract/benchmarks.ts';
import type { Problem, Row } from '../problem.ts';

export interface Layout {
  /** As people know it. */
  title: string;
  kind: ProblemKind;
  /** Columns a file in this layout has. */
  columns: readonly string[];
  /** What else tells it from others with these columns. */
  fits?(row: Row): boolean;
  /** One row. `place` names file and line for errors. Throws `dataset-invalid`. */
  parse(row: Row, place: string): Omit<Problem, 'id'>;
}
