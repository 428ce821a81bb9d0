/**
 * Where the float weights come from that a quantized model is trained on: those GPTQ compensated or an earlier train stage left beside the
 * codes, else those of the base model if the codes are its own rounded to nearest, else the dequantized codes.
 */
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { RoundoffError } from '#contract/errors.ts';
import { dequantizeLinear, groupCount, type PackedLinear } from '../../formats/packed-linear.ts';
import { ProblemList } from '../../formats/problems.ts';
import { latentsFile } from '../../formats/quantized-checkpoint.ts';
import { type Checkpoint, openCheckpoint, openFiles } from '../../formats/safetensors.ts';
import { encodeWeight } from '../../observers/grid.ts';

export interface LatentSource {
  modelDir: string;
  baseDir: string;
}

/** Reads the latents of one linear after the other; close it when done. */
export class LatentReader {
  /** How many linears each source served, in words, for the notes. */
  readonly counts = { latents: 0, base: 0, dequantized: 0 };
  private readonly latents: Checkpoint | null;
  private readonly base: Checkpoint | null;

  private constructor(latents: Checkpoint | null, base: Checkpoint | null) {
    this.latents = latents;
    this.base = base;
  }

  static async open({ modelDir, baseDir }: LatentSource): Promise<LatentReader> {
    const latents = (await exists(join(modelDir, latentsFile))) ? await openLatents(modelDir) : null;
    const model = await openCheckpoint(modelDir);
    const isRounded = model.metadata.method === 'rtn';
    await model.close();
    return new LatentReader(latents, isRounded ? await openCheckpoint(baseDir) : null);
  }

  /** [out, in]. Throws `bad-input` when saved latents do not round to the stored codes on the stored grid, where they must. */
  async read(module: string, stored: PackedLinear, mustRoundToCodes: boolean): Promise<Float32Array> {
    const name = `${module}.weight`;
    const shape = `${stored.outFeatures},${stored.inFeatures}`;
    if (this.latents?.tensors.get(name)?.shape.join() === shape) {
      const values = await this.latents.readFloats(name);
      if (mustRoundToCodes && !roundsToCodes(values, stored)) throw foreignLatents(module);
      this.counts.latents++;
      return values;
    }
    if (this.base?.tensors.get(name)?.shape.join() === shape) {
      const values = await this.base.readFloats(name);
      if (roundsToCodes(values, stored)) {
        this.counts.base++;
        return values;
      }
    }
    this.counts.dequantized++;
    return dequantizeLinear(stored);
  }

  /** What deserves to be recorded. */
  notes(): string[] {
    const { latents, base, dequantized } = this.counts;
    const linears = (count: number) => `${count} ${count === 1 ? 'linear' : 'linears'}`;
    return [
      ...(latents > 0 ? [`Latent weights of ${linears(latents)}: those saved beside the codes (${latentsFile})`] : []),
      ...(base > 0 ? [`Latent weights of ${linears(base)}: those of the base model, which the codes are rounded from`] : []),
      ...(dequantized > 0
        ? [`Latent weights of ${linears(dequantized)}: the dequantized codes, because the model folder keeps no others`]
        : []),
    ];
  }

  async close(): Promise<void> {
    await this.latents?.close();
    await this.base?.close();
  }
}

async function openLatents(dir: string): Promise<Checkpoint> {
  const problems = new ProblemList();
  const checkpoint = await openFiles(dir, [latentsFile], problems);
  problems.throwErrors(dir);
  return checkpoint;
}

/** Whether rounding `values` on the stored grid gives the stored codes. */
export function roundsToCodes(
  values: Float32Array,
  { bits, inFeatures, groupSize, groupIndex, scales, zeros, codes }: PackedLinear,
): boolean {
  const groups = groupCount(inFeatures, groupSize);
  const maxCode = 2 ** bits - 1;
  for (let i = 0; i < values.length; i++) {
    const input = i % inFeatures;
    const group = Math.floor(i / inFeatures) * groups + (groupIndex?.[input] ?? Math.floor(input / groupSize));
    if (encodeWeight(values[i]!, scales[group]!, zeros[group]!, maxCode) !== codes[i]) return false;
  }
  return true;
}

function foreignLatents(module: string): RoundoffError {
  return new RoundoffError(
    'bad-input',
    `${module}: the weights in ${latentsFile} do not round to the stored codes, so training with frozen scales would not start from this model.`,
    `Train with scales "live", or delete ${latentsFile} to start from the dequantized codes.`,
  );
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
