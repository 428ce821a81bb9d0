/**
 * The one error shape that crosses every process boundary: a stable code, what happened and where, and what to do about it.
 */
export const errorCodes = [
  'bad-input',
  'not-found',
  'unsupported',
  'model-invalid',
  'tokenizer-invalid',
  'dataset-invalid',
  'recipe-invalid',
  'calibration-too-short',
  'project-corrupt',
  'project-newer',
  'project-foreign',
  'project-locked',
  'no-project',
  'read-only',
  'disk-full',
  'network',
  'backend-unavailable',
  'gpu-lost',
  'out-of-memory',
  'numeric',
  'sandbox-unavailable',
  'worker-crashed',
  'cancelled',
  'disconnected',
  'internal',
] as const;

export type ErrorCode = (typeof errorCodes)[number];

/** Plain data form of an error. `problems` lists every finding when several were found at once. */
export interface ErrorInfo {
  code: ErrorCode;
  message: string;
  hint: string;
  problems?: string[];
}

/** Result of every command as it crosses a process boundary. */
export type CommandResult<T> = { ok: true; value: T } | { ok: false; error: ErrorInfo };

/** An expected failure with a code and a remedy. Anything else that is thrown is a defect and is reported as `internal`. */
export class RoundoffError extends Error {
  readonly code: ErrorCode;
  readonly hint: string;
  readonly problems: string[];

  constructor(code: ErrorCode, message: string, hint: string, options: { problems?: string[]; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'RoundoffError';
    this.code = code;
    this.hint = hint;
    this.problems = options.problems ?? [];
  }

  toInfo(): ErrorInfo {
    const info: ErrorInfo = { code: this.code, message: this.message, hint: this.hint };
    return this.problems.length > 0 ? { ...info, problems: this.problems } : info;
  }
}

/** Maps anything thrown to the wire shape; file system errors get the code and remedy their errno deserves. */
export function toErrorInfo(error: unknown): ErrorInfo {
  if (error instanceof RoundoffError) return error.toInfo();
  const message = error instanceof Error ? error.message : String(error);
  const errno = (error as { code?: unknown } | null)?.code;
  if (errno === 'ENOSPC')
    return { code: 'disk-full', message, hint: 'Free some disk space, then resume the run; nothing already recorded is lost.' };
  if (errno === 'EACCES' || errno === 'EROFS' || errno === 'EPERM')
    return { code: 'read-only', message, hint: 'Choose a folder you can write to, or change its permissions.' };
  if (errno === 'ENOENT') return { code: 'not-found', message, hint: 'Check the path; it may have been moved or deleted.' };
  if (errno === 'ENOTDIR' || errno === 'EISDIR' || errno === 'EEXIST' || errno === 'ELOOP' || errno === 'ENAMETOOLONG')
    return { code: 'bad-input', message, hint: 'Give another path; something else stands in the way there.' };
  return { code: 'internal', message, hint: 'This is a defect in Roundoff. Please report it with the log of the run.' };
}

export function fromErrorInfo(info: ErrorInfo): RoundoffError {
  return new RoundoffError(info.code, info.message, info.hint, info.problems ? { problems: info.problems } : {});
}
