/**
 * Where a quantization keeps the layers it has finished until all are: one folder per layer, whole or not there, so that a run killed at any
 * instant goes on after the last finished layer. A folder made for other settings is of no use and is emptied.
 */
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { LayerError } from '#contract/worker.ts';
import { isJsonObject, type JsonObject, readJsonObject, readOptionalJsonObject } from '../../data/json-file.ts';
import { activationsConfig, activationTensors } from '../../formats/activation-layout.ts';
import { writeFolderAtomically, writeWholeFile } from '../../formats/atomic-file.ts';
import { type DenseParameter, latentsFile } from '../../formats/quantized-checkpoint.ts';
import { packedTensors, quantizationConfig } from '../../formats/quantized-layout.ts';
import { type TensorToWrite, weightsFile, writeSafetensors } from '../../formats/safetensors.ts';
import { storedLinearBytes } from '../../formats/stored-linear.ts';
import type { GlobalResult, LayerResult } from '../layer-quantizer.ts';

/** What is known of a finished part besides its tensors. */
export interface PartRecord {
  /** `quantization_config.modules` of its linears, by module. */
  modules: JsonObject;
  /** `quantization_config.layers` entry. */
  activations: JsonObject | null;
  errors: LayerError[];
  notes: string[];
  /** Stored bytes and number of its quantized weights. */
  quantizedBytes: number;
  quantizedWeights: number;
  untied: boolean;
}

const recordFile = 'part.json';
const keyFile = 'work.json';

export class WorkFolder {
  readonly dir: string;

  private constructor(dir: string) {
    this.dir = dir;
  }

  /** Opens or makes the folder. `key` identifies model, stage, seed and text; a folder of another key is emptied, which `onLog` is told. */
  static async open(dir: string, key: string, onLog: (message: string) => void): Promise<WorkFolder> {
    const known = await readOptionalJsonObject(join(dir, keyFile)).catch(() => null);
    if (known?.key !== key && (await stat(dir).catch(() => null))) {
      onLog('What an earlier quantization with other settings left is removed.');
      await rm(dir, { recursive: true, force: true });
    }
    await mkdir(dir, { recursive: true });
    for (const name of await readdir(dir)) {
      if (name.endsWith('.partial') || name.startsWith('hidden-')) await rm(join(dir, name), { recursive: true, force: true });
    }
    if (known?.key !== key) await writeWholeFile(join(dir, keyFile), JSON.stringify({ key }));
    return new WorkFolder(dir);
  }

  layerDir(index: number): string {
    return join(this.dir, `layer-${String(index).padStart(5, '0')}`);
  }

  get globalsDir(): string {
    return join(this.dir, 'globals');
  }

  /** The record of a finished part, or null when it is not finished. */
  async read(dir: string): Promise<PartRecord | null> {
    if (!(await stat(dir).catch(() => null))) return null;
    const record = await readJsonObject(join(dir, recordFile));
    return isJsonObject(record.modules) ? (record as unknown as PartRecord) : null;
  }

  async writeGlobals(globals: GlobalResult): Promise<PartRecord> {
    const record: PartRecord = { ...emptyRecord(), untied: globals.untied };
    await this.write(this.globalsDir, denseTensors(globals.parameters), record, []);
    return record;
  }

  /** @param withLatents also keep the compensated weights before rounding */
  async writeLayer(index: number, result: LayerResult, notes: string[], withLatents: boolean): Promise<PartRecord> {
    const linears = new Map(result.linears.map(({ module, packed }) => [module, packed]));
    const tensors = [...linears].flatMap(([module, packed]) => packedTensors(module, packed));
    tensors.push(...denseTensors(result.parameters));
    if (result.activations) tensors.push(...activationTensors(index, result.activations));
    const latents = withLatents ? result.linears.flatMap((linear) => (linear.latents ? [linear] : [])) : [];
    const extra: [string, TensorToWrite[]][] = [];
    if (latents.length > 0) extra.push([latentsFile, latents.map(latentTensor)]);
    if (result.trained && result.trained.size > 0) extra.push(['trained.safetensors', denseTensors(result.trained)]);
    const record: PartRecord = {
      ...emptyRecord(),
      modules: quantizationConfig(linears).modules as JsonObject,
      activations: activationsConfig(result.activations),
      errors: result.linears.map(({ error }) => error),
      notes,
      quantizedBytes: [...linears.values()].reduce((sum, packed) => sum + storedLinearBytes(packed), 0),
      quantizedWeights: [...linears.values()].reduce((sum, { codes }) => sum + codes.length, 0),
    };
    await this.write(this.layerDir(index), tensors, record, extra);
    return record;
  }

  async remove(): Promise<void> {
    await rm(this.dir, { recursive: true, force: true });
  }

  private async write(dir: string, tensors: TensorToWrite[], record: PartRecord, extra: [string, TensorToWrite[]][]): Promise<void> {
    await writeFolderAtomically(
      dir,
      async (temporary) => {
        await writeSafetensors(join(temporary, weightsFile), tensors);
        for (const [name, list] of extra) await writeSafetensors(join(temporary, name), list);
        await writeWholeFile(join(temporary, recordFile), JSON.stringify(record));
      },
      { replace: true },
    );
  }
}

function emptyRecord(): PartRecord {
  return { modules: {}, activations: null, errors: [], notes: [], quantizedBytes: 0, quantizedWeights: 0, untied: false };
}

function denseTensors(parameters: ReadonlyMap<string, DenseParameter>): TensorToWrite[] {
  return [...parameters].map(([name, { values, shape }]) => ({ name, dtype: 'F32', shape, values }));
}

function latentTensor({ module, packed, latents }: LayerResult['linears'][number]): TensorToWrite {
  return { name: `${module}.weight`, dtype: 'F32', shape: [packed.outFeatures, packed.inFeatures], values: latents! };
}
