/**
 * How much memory the CPU decode engine may expand weights into: its native sessions hold every linear as float32, whatever its stored form.
 * A model that needs more is generated with by tensor operations, whose linears stay packed.
 */
import type { ModelConfig } from '../../model/config.ts';
import { decoderLinears, linearShape } from '../../model/parameters.ts';
import { usableMemoryBytes } from '../../usable-memory.ts';

const share = 1 / 4;

/** A quarter of the memory this process may use. */
export function defaultWeightBudget(): number {
  return share * usableMemoryBytes();
}

/** Bytes of all decoder linears and the output head as float32. */
export function expandedWeightBytes(config: ModelConfig): number {
  const linears = decoderLinears(config).map((module) => linearShape(config, module));
  return [...linears, [config.vocabSize, config.hiddenSize] as const].reduce((bytes, [rows, columns]) => bytes + 4 * rows * columns, 0);
}

/** Why the weights may not be expanded, or null. */
export function overBudgetReason(config: ModelConfig, budgetBytes: number): string | null {
  const bytes = expandedWeightBytes(config);
  if (bytes <= budgetBytes) return null;
  return `its weights take ${gibibytes(bytes)} as float32, more than the ${gibibytes(budgetBytes)} allowed for them`;
}

function gibibytes(bytes: number): string {
  return `${Number((bytes / 2 ** 30).toPrecision(3))} GiB`;
}
