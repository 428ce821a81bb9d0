/**
 * The headline findings of a study, computed from its comparison: what a reader wants to know first. Each is a plain sentence
 * with its numbers; none is stated unless the intervals support it.
 */
import { type ComparisonRow, type StudyComparison, seriesName } from '#contract/comparison.ts';
import { canonicalJson } from '#contract/protocol.ts';
import { bytes, negated, percent, percentInterval, pointsInterval } from './format.ts';

export interface Finding {
  title: string;
  text: string;
}

type MeasuredRow = ComparisonRow & { average: NonNullable<ComparisonRow['average']> };
type ComparedRow = MeasuredRow & { drop: NonNullable<ComparisonRow['drop']> };

/** In reading order. Several models are treated one after the other. */
export function findings(comparison: StudyComparison): Finding[] {
  const result: Finding[] = [];
  const modelIds = [...new Set(comparison.rows.map((row) => row.modelId))];
  for (const modelId of modelIds) {
    const rows = comparison.rows.filter((row) => row.modelId === modelId);
    const prefix = modelIds.length > 1 ? `${rows[0]!.model}: ` : '';
    for (const finding of modelFindings(rows)) result.push({ ...finding, title: prefix + finding.title });
  }
  const unfinished = comparison.rows.filter((row) => row.status !== 'finished');
  if (unfinished.length > 0) {
    const names = unfinished.map((row) => `${row.name} (${row.status})`).join(', ');
    result.push({ title: 'Not every run has finished', text: `Their numbers are missing or cover only part of the problems: ${names}.` });
  }
  return result;
}

function modelFindings(rows: ComparisonRow[]): Finding[] {
  const measured = rows.filter((row): row is ComparedRow => row.drop !== null && row.average !== null);
  const compared = measured.filter((row) => row.scheme !== 'none');
  const candidates = [
    baselineFinding(rows),
    smallestFinding(compared),
    methodFinding(compared),
    trainingFinding(measured),
    lossFinding(compared),
    lengthFinding(rows),
  ];
  return candidates.filter((finding) => finding !== null);
}

function baselineFinding(rows: ComparisonRow[]): Finding | null {
  const baseline = rows.find((row) => row.isBaseline);
  if (!baseline?.average) return null;
  const size = baseline.sizeBytes === null ? '' : ` at ${bytes(baseline.sizeBytes)}`;
  return {
    title: `The unquantized model solves ${percent(baseline.average.value)} %`,
    text: `${baseline.model} averages ${percentInterval(baseline.average)} % over ${baseline.benchmarks.length} benchmarks${size}.`,
  };
}

function smallestFinding(compared: ComparedRow[]): Finding | null {
  const sized = compared.filter((row) => row.sizeBytes !== null).sort((a, b) => a.sizeBytes! - b.sizeBytes!);
  const smallest = sized.find((row) => row.drop.verdict !== 'worse');
  if (sized.length === 0) return null;
  if (smallest) {
    const smaller = sized.filter((row) => row.sizeBytes! < smallest.sizeBytes!).length;
    const below = smaller > 0 ? ` ${smaller === 1 ? 'The one smaller run is' : `All ${smaller} smaller runs are`} measurably worse.` : '';
    return {
      title: `${describe(smallest)} is the smallest not distinguishable from the baseline`,
      text: `${bytes(smallest.sizeBytes!)}${bits(smallest)}, averaging ${percentInterval(smallest.average)} %; its change against the baseline is ${change(smallest)} points.${below}`,
    };
  }
  const closest = compared.reduce((best, row) => (row.drop.value < best.drop.value ? row : best));
  return {
    title: 'Every quantized run is measurably worse than the baseline',
    text: `The closest is ${describe(closest)} with a change of ${change(closest)} points.`,
  };
}

/** The scheme where two methods differ most, if their intervals do not overlap. */
function methodFinding(compared: ComparedRow[]): Finding | null {
  let best: { over: ComparedRow; under: ComparedRow; gap: number } | null = null;
  let pairs = 0;
  for (const over of compared) {
    for (const under of compared) {
      const comparable = over.method !== under.method && over.seed === under.seed && differInMethodAlone(over, under);
      if (!comparable) continue;
      pairs += 1;
      const gap = over.average.value - under.average.value;
      if (over.average.low > under.average.high && gap > (best?.gap ?? 0)) best = { over, under, gap };
    }
  }
  if (pairs === 0) return null;
  if (!best) return { title: 'The methods do not part', text: 'At every scheme that several methods share, their 95 % intervals overlap.' };
  const [over, under] = [seriesName(best.over), seriesName(best.under)];
  return {
    title: `The method matters most at ${best.over.scheme}`,
    text: `${over} keeps ${percentInterval(best.over.average)} %, ${under} ${percentInterval(best.under.average)} %: ${percent(best.gap)} points apart, and their intervals do not overlap.`,
  };
}

/** Same codes for the same modules, the same training, and the same calibration text where both have one. */
function differInMethodAlone(a: ComparedRow, b: ComparedRow): boolean {
  const sameText = !a.calibration || !b.calibration || canonicalJson(a.calibration) === canonicalJson(b.calibration);
  return sameCodes(a, b) && canonicalJson(a.training) === canonicalJson(b.training) && sameText;
}

function sameCodes(a: ComparedRow, b: ComparedRow): boolean {
  return a.scheme === b.scheme && canonicalJson(a.overrides) === canonicalJson(b.overrides);
}

/** The last step of training that gains most over the same variant without it, if their intervals do not overlap. */
function trainingFinding(measured: ComparedRow[]): Finding | null {
  let best: { row: ComparedRow; without: ComparedRow; gain: number } | null = null;
  let pairs = 0;
  for (const row of measured.filter(({ training }) => training.length > 0)) {
    for (const without of measured) {
      if (without.seed !== row.seed || !sameCodes(row, without) || !isWithoutLast(without, row)) continue;
      pairs += 1;
      const gain = row.average.value - without.average.value;
      if (row.average.low > without.average.high && gain > (best?.gain ?? 0)) best = { row, without, gain };
    }
  }
  if (pairs === 0) return null;
  if (!best) return { title: 'Training gains nothing that shows', text: 'Beside the same variant without it, all 95 % intervals overlap.' };
  const { title, domain, steps } = best.row.training.at(-1)!;
  return {
    title: `${title} gains most: ${describe(best.row)}`,
    text: `${steps} steps on ${domain} take it from ${percentInterval(best.without.average)} % (${describe(best.without)}) to ${percentInterval(best.row.average)} %: ${percent(best.gain)} points, and their intervals do not overlap.`,
  };
}

function isWithoutLast(without: ComparedRow, row: ComparedRow): boolean {
  const isShorter = row.method.startsWith(`${without.method} → `) && without.training.length === row.training.length - 1;
  const plan = ({ training }: ComparedRow) => canonicalJson(training.slice(0, row.training.length - 1));
  return isShorter && plan(without) === plan(row) && canonicalJson(without.calibration) === canonicalJson(row.calibration);
}

function lossFinding(compared: ComparedRow[]): Finding | null {
  const worse = compared.filter((row) => row.drop.verdict === 'worse');
  if (worse.length === 0) return null;
  const worst = worse.reduce((low, row) => (row.drop.value > low.drop.value ? row : low));
  const recovery = worst.recovery === null ? '' : `, which leaves ${percent(worst.recovery)} % of the baseline’s accuracy`;
  return {
    title: `${describe(worst)} loses the most`,
    text: `Its average changes by ${change(worst)} points${recovery}. ${worse.length} of ${compared.length} quantized runs are measurably worse.`,
  };
}

/** Runs that hit the token limit far more often than the baseline: a reasoning model that no longer finishes its thought. */
function lengthFinding(rows: ComparisonRow[]): Finding | null {
  const baseline = rows.find((row) => row.isBaseline);
  if (!baseline || baseline.benchmarks.length === 0) return null;
  const usual = truncatedShare(baseline);
  const worst = rows
    .filter((row) => row.benchmarks.length > 0)
    .reduce((most, row) => (truncatedShare(row) > truncatedShare(most) ? row : most));
  if (worst.isBaseline || truncatedShare(worst) < usual + 0.1) return null;
  return {
    title: `${describe(worst)} often does not come to an end`,
    text: `${percent(truncatedShare(worst))} % of its completions reach the token limit without an answer, against ${percent(usual)} % of the baseline’s.`,
  };
}

function truncatedShare(row: ComparisonRow): number {
  const total = row.benchmarks.reduce((sum, { verdicts }) => sum + Object.values(verdicts).reduce((a, b) => a + b, 0), 0);
  return total === 0 ? 0 : row.benchmarks.reduce((sum, { verdicts }) => sum + verdicts.truncated, 0) / total;
}

const describe = (row: ComparisonRow) => row.name;
const change = (row: ComparedRow) => pointsInterval(negated(row.drop));
const bits = (row: ComparisonRow) => (row.bitsPerWeight === null ? '' : ` (${row.bitsPerWeight.toFixed(2)} bits per weight)`);
