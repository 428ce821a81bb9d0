/** One task of `bench peers` or of the GPU check in a process of its own: `child.ts '<request as JSON>'`. Answers are lines of JSON on stdout. */
import { toErrorInfo } from '#contract/errors.ts';
import type { ChildRequest } from './messages.ts';

const request = JSON.parse(process.argv[2] ?? '') as ChildRequest;
const say = (value: unknown) => process.stdout.write(`${JSON.stringify(value)}\n`);
try {
  for await (const answer of perform(request)) say(answer);
  process.exit(0);
} catch (error) {
  const { message, hint } = toErrorInfo(error);
  say({ reason: `${message} ${hint}`.trim() });
  process.exit(1);
}

/** Imports only what the task needs: the stock libraries must not meet our kernels. */
async function* perform(asked: ChildRequest): AsyncGenerator<unknown> {
  switch (asked.task) {
    case 'environment':
      yield (await import('./environment.ts')).describeDevice(asked.backend);
      break;
    case 'prepare':
      yield (await import('./prepare.ts')).preparePeerFiles(asked.sizes, asked.cases, asked.gguf);
      break;
    case 'peaks': {
      const { selectBackend } = await import('../../engine/backends/select.ts');
      await selectBackend(asked.backend);
      const bytes = (asked.quick ? 32 : 1024) * 2 ** 20;
      yield (await import('../../engine/bench/peaks.ts')).measurePeaks({ bytes, repeats: asked.quick ? 2 : 5 });
      break;
    }
    case 'measure':
      yield (await import('./measure.ts')).measureOurs(asked.backend, asked.caseId, asked.sizes, asked.files);
      break;
    case 'stock-webgpu':
      yield withMemory(await (await import('./stock-webgpu.ts')).measureStockWebgpu(asked.caseId, asked.sizes));
      break;
    case 'onnxruntime':
      yield withMemory(await (await import('./onnxruntime.ts')).measureOnnxRuntime(asked.sizes));
      break;
    case 'checks':
      yield* (await import('../gpu-check/run-checks.ts')).runChecks(asked.named, asked.from);
  }
}

function withMemory(figure: { value: number; unit: string }) {
  return { ...figure, peakMemoryBytes: process.resourceUsage().maxRSS * 1024 };
}
