/** What a findings study measured, by variant and model: right answers and lengths per problem, training curves, states. */
import { RoundoffError } from '#contract/errors.ts';
import type { RunRecord, StudyRecord } from '#contract/records.ts';
import type { Connection } from '../project/connection.ts';
import { listMetrics } from '../project/repositories/metrics.ts';
import { listModels } from '../project/repositories/models.ts';
import { listRuns } from '../project/repositories/runs.ts';
import { studyOutcomes } from '../project/repositories/samples.ts';
import type { Group, RunMeans } from './contrast.ts';
import type { Curve } from './curves.ts';

interface Means {
  correct: RunMeans;
  tokens: RunMeans;
}

interface Sums {
  correct: number;
  tokens: number;
  samples: number;
}

export class MeasuredStudy {
  private readonly db: Connection;
  private readonly runs: RunRecord[];
  private readonly means: Map<string, Means>;
  /** Model paths as the study writes them, by id. */
  private readonly models: Map<number, string>;

  /** Throws `bad-input` when a run of the study has not finished. */
  constructor(db: Connection, study: StudyRecord) {
    this.db = db;
    this.runs = listRuns(db, study.id);
    const unfinished = this.runs.filter((run) => run.status !== 'finished');
    if (unfinished.length > 0)
      throw new RoundoffError(
        'bad-input',
        `${unfinished.length} of ${this.runs.length} runs of "${study.name}" have not finished, such as "${unfinished[0]!.name}".`,
        'Run the same command again; it goes on where the study stopped.',
      );
    this.models = new Map(listModels(db).map(({ id, path }) => [id, path]));
    this.means = meansByRun(studyOutcomes(db, study.id));
  }

  /** Right answers of a variant's runs, in the order of the seeds. */
  accuracy(variant: string, model: string): Group {
    return this.runsOf(variant, model).map((run) => this.meansOf(run).correct);
  }

  /** Generated tokens of a variant's runs. */
  tokens(variant: string, model: string): Group {
    return this.runsOf(variant, model).map((run) => this.meansOf(run).tokens);
  }

  /** A training curve of the last train stage that has it, per seed. */
  curves(variant: string, model: string, metric: string): Curve[] {
    return this.runsOf(variant, model).map((run) => {
      const series = listMetrics(this.db, run.id).findLast(({ name }) => name === metric);
      if (!series) throw missing(`${run.name} has no curve "${metric}"`);
      return new Map(series.points.map(({ step, value }) => [step, value]));
    });
  }

  private runsOf(variant: string, model: string): RunRecord[] {
    const runs = this.runs.filter(
      (run) =>
        this.models.get(run.modelId) === model &&
        (variant === 'baseline' ? run.isBaseline : !run.isBaseline && run.recipe.name === variant),
    );
    if (runs.length === 0) throw missing(`there is no run of "${variant}" with ${model}`);
    return runs.sort((a, b) => a.seed - b.seed);
  }

  private meansOf(run: RunRecord): Means {
    const means = this.means.get(run.id);
    if (!means) throw missing(`${run.name} has no completions`);
    return means;
  }
}

function meansByRun(outcomes: ReturnType<typeof studyOutcomes>): Map<string, Means> {
  const runs = new Map<string, Map<string, Map<string, Sums>>>();
  for (const [runId, benchmark, , problemId, verdict, tokens] of outcomes) {
    const benchmarks = entry(runs, runId, () => new Map<string, Map<string, Sums>>());
    const problems = entry(benchmarks, benchmark, () => new Map<string, Sums>());
    const sums = entry(problems, problemId, () => ({ correct: 0, tokens: 0, samples: 0 }));
    sums.samples += 1;
    sums.tokens += tokens;
    if (verdict === 'correct') sums.correct += 1;
  }
  return new Map([...runs].map(([runId, sums]) => [runId, { correct: meansOf('correct', sums), tokens: meansOf('tokens', sums) }]));
}

function meansOf(key: 'correct' | 'tokens', benchmarks: ReadonlyMap<string, ReadonlyMap<string, Sums>>): RunMeans {
  const problemMeans = (problems: ReadonlyMap<string, Sums>) => new Map([...problems].map(([id, sums]) => [id, sums[key] / sums.samples]));
  return new Map([...benchmarks].map(([name, problems]) => [name, problemMeans(problems)]));
}

function entry<K, V>(map: Map<K, V>, key: K, create: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const value = create();
  map.set(key, value);
  return value;
}

function missing(message: string): RoundoffError {
  return new RoundoffError('bad-input', `The findings cannot be read: ${message}.`, 'Run the study of this command, not another one.');
}
