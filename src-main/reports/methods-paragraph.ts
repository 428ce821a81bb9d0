/** A study's methods as the paragraph that a paper would have: what was compared, how completions were made and judged, what the figures are. */
import type { StudyComparison } from '#contract/comparison.ts';
import type { EvaluationProtocol } from '#contract/protocol.ts';
import { count, methodLabel } from './format.ts';
import { calibrationNotes, trainingNotes } from './methods-text.ts';

export function methodsParagraph(comparison: StudyComparison): string {
  return [
    compared(comparison),
    ...(comparison.benchmarks.length > 0 ? [measured(comparison), sampling(comparison.protocol)] : []),
    ...(comparison.texts.length > 0 ? [texts(comparison)] : []),
    ...calibrationNotes(comparison.rows),
    ...trainingNotes(comparison.rows),
    ...(comparison.benchmarks.length > 0 ? [statistics] : []),
    made(comparison),
  ].join(' ');
}

const statistics =
  'Accuracies are given with 95 % intervals: Wilson score intervals with Student’s t on an effective number of samples, from a variance that is robust to completions of one problem being alike. ' +
  'Differences from the unquantized model are paired by problem and seed; they are tested by McNemar’s test over whole problems (two-sided), and differences of averages are corrected for the number of variants of a model by Holm’s method.';

function compared({ rows, models }: StudyComparison): string {
  const variants = rows.filter(({ isBaseline }) => !isBaseline);
  const methods = [...new Set(variants.map(({ method }) => methodLabel(method)))];
  const named = models.map(({ name, parameters }) => `${name} (${count(parameters)} parameters)`);
  const how = methods.length > 0 ? `, made with ${listed(methods)},` : '';
  return `${plural(variants.length, 'variant')} of ${listed(named)}${how} were compared with the unquantized ${models.length === 1 ? 'model' : 'models'}.`;
}

function measured({ benchmarks }: StudyComparison): string {
  return `The benchmarks are ${listed(benchmarks.map(({ name, problems }) => `${name} (${plural(problems, 'problem')})`))}.`;
}

function sampling(protocol: EvaluationProtocol): string {
  const { temperature, topP, topK, seeds, maxNewTokens, verifier } = protocol;
  const limits = [...(topP < 1 ? [`top-p ${topP}`] : []), ...(topK > 0 ? [`top-k ${topK}`] : [])];
  const drawn = temperature === 0 ? 'decoded greedily' : `sampled at ${listed([`temperature ${temperature}`, ...limits])}`;
  const number = seeds.length === 1 ? `seed ${seeds[0]}` : `${seeds.length} per problem with the seeds ${listed(seeds.map(String))}`;
  return `Completions of at most ${plural(maxNewTokens, 'token')} were ${drawn}, ${number}, and their answers judged by the rules “${verifier}”.`;
}

function texts({ texts: all, protocol }: StudyComparison): string {
  const windows = protocol.perplexity
    ? ` in windows of ${count(protocol.perplexity.window)} tokens, each beginning ${count(protocol.perplexity.stride)} after the one before`
    : '';
  return `Perplexity was measured on ${listed(all.map(({ name }) => name))}${windows}.`;
}

function made({ environment, rows, protocolHash }: StudyComparison): string {
  const version = environment.Roundoff ? ` ${environment.Roundoff}` : '';
  const devices = [...new Set(rows.flatMap(({ backend, device }) => (backend ? [device ? `${backend} (${device})` : backend] : [])))];
  const where = devices.length > 0 ? ` on ${listed(devices)}` : '';
  return `Everything was computed with Roundoff${version}${where}, under the protocol ${protocolHash.slice(0, 12)}.`;
}

/** `a`, `a and b`, `a, b and c` */
function listed(items: readonly string[]): string {
  return items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`;
}

function plural(number: number, noun: string): string {
  return `${count(number)} ${noun}${number === 1 ? '' : 's'}`;
}
