/**
 * Findings about files that are collected rather than thrown one at a time, so that a user sees everything wrong at once.
 */
import { type ErrorCode, RoundoffError } from '#contract/errors.ts';
import type { InspectionProblem } from '#contract/records.ts';

/** Collects findings. `codes` holds, in order, the error code each finding of severity `error` deserves. */
export class ProblemList {
  readonly items: InspectionProblem[] = [];
  private readonly codes: ErrorCode[] = [];

  error(where: string, message: string, hint: string, code: ErrorCode = 'model-invalid'): void {
    this.items.push({ severity: 'error', where, message, hint });
    this.codes.push(code);
  }

  warning(where: string, message: string, hint: string): void {
    this.items.push({ severity: 'warning', where, message, hint });
  }

  /** Records a thrown expected error as a finding; rethrows defects. */
  caught(where: string, error: unknown): void {
    if (!(error instanceof RoundoffError)) throw error;
    if (error.problems.length === 0) this.error(where, error.message, error.hint, error.code);
    for (const problem of error.problems) this.error(where, problem, error.hint, error.code);
  }

  append(other: ProblemList): void {
    this.items.push(...other.items);
    this.codes.push(...other.codes);
  }

  get hasErrors(): boolean {
    return this.codes.length > 0;
  }

  /** Throws one error that lists every finding of severity `error`; returns when there is none. */
  throwErrors(subject: string): void {
    const errors = this.items.filter((item) => item.severity === 'error');
    const first = errors[0];
    if (!first) return;
    const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : '';
    throw new RoundoffError(this.codes[0]!, `${subject}: ${first.where}: ${first.message}${more}`, first.hint, {
      problems: errors.map((item) => `${item.where}: ${item.message} ${item.hint}`),
    });
  }
}
