/** How the command line says which part of a file a benchmark is and which column is what; for one benchmark (`NAME:…`) or for all. */
import type { Command } from 'commander';
import { type BenchmarkReference, type ProblemKind, parseColumnMapping, problemKinds } from '#contract/benchmarks.ts';
import { RoundoffError } from '#contract/errors.ts';
import { collect, userPath } from './options.ts';

export interface ReferenceOptions {
  split?: string[];
  map?: string[];
  where?: string[];
  kind?: string[];
  examples?: string[];
}

export function addReferenceOptions(command: Command): Command {
  return command
    .option('--split <split>', 'of a folder: test, or several joined by "+"', collect)
    .option(
      '--map <field=column,…>',
      'which column is the question, answer, choices (several joined by "+"), context, solution, id, …',
      collect,
    )
    .option('--where <column=value>', 'only rows with this value (A|B), or a whole number within it (3..5)', collect)
    .option('--kind <kind>', `how mapped rows are asked: ${problemKinds.slice(0, 3).join(', ')}`, collect);
}

/**
 * What the options say of the benchmark `name`, one of `names`: values that begin with `NAME:` are for that one alone. Throws `bad-input`.
 */
export function referenceDetails(
  options: ReferenceOptions,
  { name, names, resourcesDir }: { name: string; names: readonly string[]; resourcesDir: string },
): Omit<BenchmarkReference, 'name' | 'path'> {
  const all = (values: readonly string[] = []) => {
    const own = values.filter((value) => value.startsWith(`${name}:`)).map((value) => value.slice(name.length + 1));
    return own.length > 0 ? own : values.filter((value) => !names.some((other) => value.startsWith(`${other}:`)));
  };
  const [split, map, kind, examples] = [options.split, options.map, options.kind, options.examples].map((values) => all(values).at(-1));
  const where = all(options.where).map(parseCondition);
  return {
    ...(split === undefined ? {} : { split }),
    ...(map === undefined ? {} : { columns: parseColumnMapping(map) }),
    ...(kind === undefined ? {} : { kind: parseKind(kind) }),
    ...(where.length === 0 ? {} : { where: Object.fromEntries(where) }),
    ...(examples === undefined ? {} : { examples: userPath(examples, resourcesDir) }),
  };
}

function parseCondition(text: string): [column: string, condition: string] {
  const at = text.indexOf('=');
  if (at < 1 || at === text.length - 1)
    throw new RoundoffError('bad-input', `"${text}" selects nothing.`, 'Write COLUMN=VALUE, or COLUMN=3..5.');
  return [text.slice(0, at), text.slice(at + 1)];
}

function parseKind(text: string): ProblemKind {
  const kind = problemKinds.find((known) => known === text);
  if (kind) return kind;
  throw new RoundoffError('bad-input', `There is no kind "${text}" of problems.`, `Use one of: ${problemKinds.join(', ')}.`);
}
