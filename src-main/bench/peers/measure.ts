/** Our own part of each case, on the backend that is asked for. */
import { RoundoffError } from '#contract/errors.ts';
import type { BackendName } from '#contract/worker.ts';
import { selectBackend } from '../../engine/backends/select.ts';
import { gpu } from '../../engine/backends/webgpu/device.ts';
import { timeKernels } from '../../engine/backends/webgpu/timing.ts';
import { timeDecode } from '../../engine/bench/decode.ts';
import { timeGemm, timeHalfGemm } from '../../engine/bench/gemm.ts';
import { benchLargeGptq } from '../../engine/bench/large.ts';
import { benchLargeGrpoStep, benchSftStep } from '../../engine/bench/large-steps.ts';
import { timeActiveStep } from '../../engine/bench/toy-training-step.ts';
import { loadModel } from '../../engine/model/load.ts';
import { casesWithoutModel, type PeerCaseId, type PeerSizes } from './cases.ts';
import type { PeerFigure, PeerFiles } from './messages.ts';

type Figure = Pick<PeerFigure, 'value' | 'unit'>;
type Measure = (sizes: PeerSizes, files: PeerFiles) => Promise<Figure>;

const measures: Partial<Record<PeerCaseId, Measure>> = {
  'gemm-f32': async ({ gemm, repeats }) => ({ value: (await timeGemm(gemm, repeats)).flopsPerSecond / 1e9, unit: 'GFLOPS' }),
  'gemm-f16': async ({ gemm, repeats }) => ({ value: (await timeHalfGemm(gemm, repeats)).flopsPerSecond / 1e9, unit: 'GFLOPS' }),
  'decode-1': (sizes, { dense }) => decode(dense!, 1, sizes),
  'decode-64': (sizes, { dense }) => decode(dense!, 64, sizes),
  'decode-w4': (sizes, { w4 }) => decode(w4!, 1, sizes),
  'decode-nf4': (sizes, { nf4 }) => decode(nf4!, 1, sizes),
  'train-step': ({ train }, { dense }) => benchSftStep(dense!, train),
  'toy-step': async ({ repeats }) => ({
    value: (await timeActiveStep({ steps: 10 * repeats, warmUp: 2 })).fastestMilliseconds,
    unit: 'ms/step',
  }),
  gptq: ({ gptq }, { dense }) => benchLargeGptq(dense!, () => {}, gptq),
  'grpo-step': ({ grpo }, { dense }) => benchLargeGrpoStep(dense!, grpo),
};

/** Cases whose second run would take too long to be worth its list of kernels. */
const timedOnce: readonly PeerCaseId[] = ['gptq'];

/** @throws RoundoffError `unsupported` where the backend has no way to compute the case */
export async function measureOurs(backend: BackendName, caseId: PeerCaseId, sizes: PeerSizes, files: PeerFiles): Promise<PeerFigure> {
  const measure = measures[caseId];
  if (!measure) throw new RoundoffError('unsupported', `The backend ${backend} does not compute this case.`, '');
  if (!casesWithoutModel.includes(caseId) && files.dense === null) throw new Error('its model was not made');
  await selectBackend(backend);
  const canTime = backend === 'webgpu' && gpu().timestamps;
  let kernels: PeerFigure['kernels'];
  let figure: Figure | undefined;
  if (canTime && timedOnce.includes(caseId)) {
    kernels = await kernelsOf(async () => {
      figure = await measure(sizes, files);
    });
  } else {
    figure = await measure(sizes, files);
    const once = { ...sizes, repeats: 1, train: { ...sizes.train, steps: 2 }, grpo: { ...sizes.grpo, steps: 2 } };
    if (canTime) kernels = await kernelsOf(async () => void (await measure(once, files)));
  }
  return { ...figure!, peakMemoryBytes: process.resourceUsage().maxRSS * 1024, ...(kernels && { kernels }) };
}

async function kernelsOf(work: () => Promise<void>) {
  return (await timeKernels(work)).kernels;
}

async function decode(dir: string, batch: number, { promptTokens, newTokens, repeats }: PeerSizes): Promise<Figure> {
  const model = await loadModel(dir);
  try {
    return { value: (await timeDecode(model, { batch, promptTokens, newTokens, repeats })).tokensPerSecond, unit: 'tokens/s' };
  } finally {
    model.dispose();
  }
}
