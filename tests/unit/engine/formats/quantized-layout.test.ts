import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { selectBackend } from '../../../../src-main/engine/backends/select.ts';
import type { JsonObject } from '../../../../src-main/engine/data/json-file.ts';
import { RandomStream } from '../../../../src-main/engine/data/random-stream.ts';
import { type Nf4Linear, nf4BlockCount } from '../../../../src-main/engine/formats/nf4.ts';
import { restoreAbsmax } from '../../../../src-main/engine/formats/nf4-dynamic.ts';
import { groupCount, type PackedLinear, roundScales } from '../../../../src-main/engine/formats/packed-linear.ts';
import { ProblemList } from '../../../../src-main/engine/formats/problems.ts';
import {
  packedShapes,
  packedTensors,
  parseQuantizationConfig,
  quantizationConfig,
  readStoredLinear,
} from '../../../../src-main/engine/formats/quantized-layout.ts';
import { openCheckpoint, type TensorToWrite, weightsFile, writeSafetensors } from '../../../../src-main/engine/formats/safetensors.ts';
import { dequantizeStored, type StoredLinear, storedLinearBytes } from '../../../../src-main/engine/formats/stored-linear.ts';
import { temporaryFolder } from '../model-folder.ts';

beforeAll(async () => {
  await selectBackend('wasm');
});

const module = 'model.layers.0.mlp.up_proj';

function integerLinear(change: Partial<PackedLinear> = {}): PackedLinear {
  const { bits = 4, symmetric = false, outFeatures = 5, inFeatures = 36, groupSize = 16, scaleType } = change;
  const stream = new RandomStream(bits, 'linear');
  const groups = outFeatures * groupCount(inFeatures, groupSize);
  const scales = stream.normals(groups).map((value) => Math.abs(value) + 0.01);
  return {
    bits,
    symmetric,
    outFeatures,
    inFeatures,
    groupSize,
    codes: Uint8Array.from({ length: outFeatures * inFeatures }, () => stream.integer(0, 2 ** bits - 1)),
    scales: scaleType === 'float32' ? scales : roundScales(scales),
    zeros: Uint8Array.from({ length: groups }, () => (symmetric ? 2 ** (bits - 1) : stream.integer(0, 2 ** bits - 1))),
    groupIndex: null,
    ...change,
  };
}

function nf4Linear(isNested: boolean, outFeatures = 7, inFeatures = 30): Nf4Linear {
  const stream = new RandomStream(5, 'nf4');
  const blocks = nf4BlockCount(outFeatures, inFeatures);
  const codes = Uint8Array.from({ length: outFeatures * inFeatures }, () => stream.integer(0, 15));
  if (!isNested)
    return { coding: 'nf4', bits: 4, outFeatures, inFeatures, codes, absmax: stream.normals(blocks).map(Math.abs), nested: null };
  const nested = {
    codes: Uint8Array.from({ length: blocks }, () => stream.integer(0, 255)),
    absmax: stream.normals(Math.ceil(blocks / 256)).map(Math.abs),
    offset: Math.fround(0.3),
  };
  const absmax = restoreAbsmax(nested.codes, nested.absmax, nested.offset, 256);
  return { coding: 'nf4', bits: 4, outFeatures, inFeatures, codes, absmax, nested };
}

const forms: [string, StoredLinear][] = [
  ...([2, 3, 4, 5, 6, 7, 8] as const).map((bits): [string, StoredLinear] => [`${bits} bits`, integerLinear({ bits })]),
  ['a symmetric grid', integerLinear({ symmetric: true, bits: 3 })],
  ['one scale per row', integerLinear({ groupSize: 36, bits: 5 })],
  ['scattered groups', integerLinear({ groupIndex: Int32Array.from({ length: 36 }, (_, i) => i % 3) })],
  ['float32 scales', integerLinear({ bits: 8, symmetric: true, groupSize: 36, scaleType: 'float32' })],
  ['NF4', nf4Linear(false)],
  ['NF4, doubly quantized', nf4Linear(true)],
  ['NF4, doubly quantized, in more than one second-level block', nf4Linear(true, 300, 64)],
];

const configOf = (linear: StoredLinear): JsonObject =>
  JSON.parse(JSON.stringify({ quantization_config: quantizationConfig(new Map([[module, linear]])) }));

function parse(config: JsonObject) {
  const problems = new ProblemList();
  const schemes = parseQuantizationConfig(config, new Set([module]), problems);
  return { schemes, problems: problems.items.map(({ where, message }) => `${where}: ${message}`) };
}

async function stored(tensors: TensorToWrite[]) {
  const dir = await temporaryFolder();
  await writeSafetensors(join(dir, weightsFile), tensors, {});
  return openCheckpoint(dir);
}

/** Writes the tensors of a linear, some replaced, and reads it back by its own configuration. */
async function readBack(linear: StoredLinear, replace: (tensors: TensorToWrite[]) => TensorToWrite[] = (tensors) => tensors) {
  const scheme = parse(configOf(linear)).schemes.get(module)!;
  const checkpoint = await stored(replace(packedTensors(module, linear)));
  const problems = new ProblemList();
  try {
    const shape: [number, number] = [linear.outFeatures, linear.inFeatures];
    return {
      read: await readStoredLinear(checkpoint, module, shape, scheme, problems),
      problems: problems.items,
      checkpoint,
      scheme,
      shape,
    };
  } finally {
    await checkpoint.close();
  }
}

describe.each(forms)('a linear stored as %s', (_, linear) => {
  it('comes back as it was, in the announced tensors and bytes', async () => {
    const { read, problems, checkpoint, scheme, shape } = await readBack(linear);
    expect(problems).toEqual([]);
    expect(read).toEqual(linear);
    expect(dequantizeStored(read!)).toEqual(dequantizeStored(linear));
    const written = [...checkpoint.tensors.values()];
    const announced = packedShapes(module, shape, scheme);
    expect(new Set(announced.keys())).toEqual(new Set(written.map(({ name }) => name)));
    for (const { name, shape: size, dtype } of written) {
      expect(announced.get(name)!.shape, name).toEqual(size);
      expect(announced.get(name)!.dtypes, name).toContain(dtype);
    }
    expect(written.reduce((sum, tensor) => sum + tensor.sizeBytes, 0)).toBe(storedLinearBytes(linear));
  });
});

describe('quantization_config', () => {
  it('of version 1 is still read: grids with 16-bit scales', () => {
    const config = configOf(integerLinear());
    const { modules } = config.quantization_config as JsonObject;
    const { schemes, problems } = parse({ quantization_config: { quant_method: 'roundoff', format_version: 1, modules: modules! } });
    expect(problems).toEqual([]);
    expect(schemes.get(module)).toEqual({
      ...{ coding: 'integer', bits: 4, symmetric: false, groupSize: 16, hasGroupIndex: false, scaleType: 'float16' },
    });
  });

  it('is written as version 2 without layers where activations are plain', () => {
    const section = quantizationConfig(new Map([[module, nf4Linear(true)]]), [null, null]);
    expect(section).toEqual({
      quant_method: 'roundoff',
      format_version: 2,
      modules: { [module]: { coding: 'nf4', double_quantization: true } },
    });
  });

  it.each([[undefined], [null], ['roundoff'], [[]], [{}], [{ quant_method: 'awq' }]])('%j is none of ours', (section) => {
    expect(parse({ quantization_config: section } as JsonObject)).toEqual({ schemes: new Map(), problems: [] });
  });

  const good = { bits: 4, symmetric: false, group_size: 16, group_index: false };
  it.each<[string, unknown]>([
    ['nothing', null],
    ['text', 'W4'],
    ['a list', [4]],
    ['no fields', {}],
    ['half a bit', { ...good, bits: 4.5 }],
    ['1 bit', { ...good, bits: 1 }],
    ['16 bits', { ...good, bits: 16 }],
    ['bits as text', { ...good, bits: '4' }],
    ['no symmetry', { ...good, symmetric: undefined }],
    ['a group of 0', { ...good, group_size: 0 }],
    ['a negative group', { ...good, group_size: -1 }],
    ['a group of 1e999', { ...good, group_size: JSON.parse('1e999') }],
    ['a group of half an input', { ...good, group_size: 0.5 }],
    ['a group index as number', { ...good, group_index: 1 }],
    ['scales of 64 bits', { ...good, scale_type: 'float64' }],
    ['NF4 without its kind', { coding: 'nf4' }],
    ['NF4 with a wrong kind', { coding: 'nf4', double_quantization: 'yes' }],
  ])('with %s for a module reports it', (_, value) => {
    const { schemes, problems } = parse({
      quantization_config: { quant_method: 'roundoff', format_version: 2, modules: { [module]: value } },
    } as JsonObject);
    expect(schemes.size).toBe(0);
    expect(problems).toEqual([
      expect.stringMatching(/^config\.json, quantization_config, model\.layers\.0\.mlp\.up_proj: .* is not a scheme\.$/),
    ]);
  });

  it.each([
    ['an unknown version', { format_version: 3 }, /format version 3 is unknown/],
    ['a version as text', { format_version: '2' }, /format version "2" is unknown/],
    ['no version', { format_version: undefined }, /is unknown/],
    ['no modules', { modules: undefined }, /names no quantized module/],
    ['modules as a list', { modules: [good] }, /names no quantized module/],
    ['a module that is none', { modules: { lm_head: good } }, /lm_head: it is not a decoder linear/],
    [
      'a module called like an object’s own',
      { modules: JSON.parse('{"__proto__": {"bits": 4}}') },
      /__proto__: it is not a decoder linear/,
    ],
  ])('with %s reports it', (_, change, message) => {
    const section = { quant_method: 'roundoff', format_version: 2, modules: { [module]: good }, ...change };
    const { schemes, problems } = parse({ quantization_config: section } as unknown as JsonObject);
    expect(schemes.size).toBe(0);
    expect(problems).toEqual([expect.stringMatching(message)]);
  });
});

describe('stored values that make no sense', () => {
  const replaced = (name: string, values: Float32Array | Int32Array) => (tensors: TensorToWrite[]) =>
    tensors.map((tensor) => (tensor.name === `${module}.${name}` ? { ...tensor, values } : tensor));
  const bad = (length: number, value: number) => Float32Array.from({ length }, (_, i) => (i === 2 ? value : 1));

  it.each<[string, StoredLinear, (tensors: TensorToWrite[]) => TensorToWrite[], string]>([
    ['a negative scale', integerLinear(), replaced('scales', bad(15, -1)), 'scales'],
    ['a scale that is no number', integerLinear(), replaced('scales', bad(15, Number.NaN)), 'scales'],
    ['an infinite scale', integerLinear(), replaced('scales', bad(15, Number.POSITIVE_INFINITY)), 'scales'],
    [
      'a group outside',
      integerLinear({ groupIndex: new Int32Array(36) }),
      replaced('group_index', new Int32Array(36).fill(3)),
      'group_index',
    ],
    [
      'a negative group',
      integerLinear({ groupIndex: new Int32Array(36) }),
      replaced('group_index', new Int32Array(36).fill(-1)),
      'group_index',
    ],
    ['an infinite block scale', nf4Linear(false), replaced('absmax', bad(4, Number.POSITIVE_INFINITY)), 'absmax'],
    ['a second level that is no number', nf4Linear(true), replaced('nested_absmax', Float32Array.of(Number.NaN)), 'absmax'],
    ['an infinite offset', nf4Linear(true), replaced('nested_offset', Float32Array.of(Number.NEGATIVE_INFINITY)), 'absmax'],
  ])('%s is reported with the tensor', async (_, linear, replace, place) => {
    const { read, problems } = await readBack(linear, replace);
    expect(read).toBeNull();
    expect(problems).toMatchObject([{ severity: 'error', where: `${module}.${place}` }]);
  });

  it('codes of another type are refused by name', async () => {
    const asFloats = (tensors: TensorToWrite[]) =>
      tensors.map((tensor) =>
        tensor.name.endsWith('.codes')
          ? { ...tensor, dtype: 'F32' as const, values: new Float32Array(tensor.shape.reduce((size, length) => size * length, 1)) }
          : tensor,
      );
    await expect(readBack(integerLinear(), asFloats)).rejects.toMatchObject({ message: expect.stringContaining(`${module}.codes`) });
  });
});
