/**
 * The header of a safetensors file, read with suspicion: every claim is checked against the file's size before a byte of data is used.
 * Format: 8-byte little-endian header length, JSON header, tensor bytes without gaps (huggingface/safetensors README).
 */
import type { FileHandle } from 'node:fs/promises';
import { open, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { fileError, isJsonObject, type JsonObject } from '../data/json-file.ts';
import type { ProblemList } from './problems.ts';

export const dtypeBytes = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
} as const;
export type TensorDtype = keyof typeof dtypeBytes;

export interface TensorEntry {
  name: string;
  dtype: TensorDtype;
  shape: number[];
  /** Absolute path of the file that holds the tensor. */
  path: string;
  /** First byte of the data, from the start of the file. */
  offset: number;
  sizeBytes: number;
}

export interface SafetensorsHeader {
  tensors: TensorEntry[];
  metadata: Record<string, string>;
  sizeBytes: number;
}

const maxHeaderBytes = 100_000_000;
const download = 'Download or copy the file again.';

/** Reads and validates the header of `path`. Findings go to `problems`; tensors that passed are returned. Throws when the file cannot be opened. */
export async function readSafetensorsHeader(path: string, problems: ProblemList): Promise<SafetensorsHeader> {
  const file = basename(path);
  let handle: FileHandle;
  let sizeBytes: number;
  try {
    sizeBytes = (await stat(path)).size;
    handle = await open(path, 'r');
  } catch (error) {
    throw fileError(path, error);
  }
  try {
    const json = await readHeaderJson(handle, file, sizeBytes, problems);
    if (!json) return { tensors: [], metadata: {}, sizeBytes };
    const tensors = validateTensors(json.header, path, json.dataStart, sizeBytes, problems);
    return { tensors, metadata: readMetadata(json.header, file, problems), sizeBytes };
  } finally {
    await handle.close();
  }
}

async function readHeaderJson(
  handle: FileHandle,
  file: string,
  sizeBytes: number,
  problems: ProblemList,
): Promise<{ header: JsonObject; dataStart: number } | null> {
  if (sizeBytes < 8) {
    problems.error(file, `the file has ${sizeBytes} bytes; a safetensors file starts with an 8-byte header length.`, download);
    return null;
  }
  const prefix = new DataView(new ArrayBuffer(8));
  await handle.read(new Uint8Array(prefix.buffer), 0, 8, 0);
  const length = Number(prefix.getBigUint64(0, true));
  if (length > maxHeaderBytes) {
    problems.error(
      file,
      `bytes 0–7 announce a header of ${length} bytes, above the format's limit of ${maxHeaderBytes}; this is not a safetensors file.`,
      download,
    );
    return null;
  }
  if (length > sizeBytes - 8) {
    problems.error(file, `the header is truncated: ${length} bytes announced, ${sizeBytes - 8} in the file.`, download);
    return null;
  }
  const bytes = new Uint8Array(length);
  await handle.read(bytes, 0, length, 8);
  try {
    const header: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    if (isJsonObject(header)) return { header, dataStart: 8 + length };
    problems.error(file, 'the header is not a JSON object.', download);
  } catch (error) {
    problems.error(file, `the header is not valid JSON: ${(error as Error).message}`, download);
  }
  return null;
}

function readMetadata(header: JsonObject, file: string, problems: ProblemList): Record<string, string> {
  const metadata = header.__metadata__ ?? {};
  if (isJsonObject(metadata) && Object.values(metadata).every((value) => typeof value === 'string'))
    return metadata as Record<string, string>;
  problems.error(file, 'the header field __metadata__ is not a map from text to text.', download);
  return {};
}

function validateTensors(header: JsonObject, path: string, dataStart: number, sizeBytes: number, problems: ProblemList): TensorEntry[] {
  const file = basename(path);
  const available = sizeBytes - dataStart;
  const tensors: TensorEntry[] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const where = `${file}, tensor ${name}`;
    const claim = readClaim(value, where, problems);
    if (!claim) continue;
    if (claim.end > available) {
      problems.error(
        where,
        `its data ends at byte ${claim.end} of the data section, which has ${available}; the file is truncated or its header is wrong.`,
        download,
      );
      continue;
    }
    tensors.push({
      name,
      dtype: claim.dtype,
      shape: claim.shape,
      path,
      offset: dataStart + claim.begin,
      sizeBytes: claim.end - claim.begin,
    });
  }
  if (!problems.hasErrors) checkLayout(tensors, file, dataStart, sizeBytes, problems);
  return tensors;
}

interface Claim {
  dtype: TensorDtype;
  shape: number[];
  begin: number;
  end: number;
}

function readClaim(value: unknown, where: string, problems: ProblemList): Claim | null {
  const { dtype, shape, data_offsets: offsets } = isJsonObject(value) ? value : ({} as JsonObject);
  if (typeof dtype !== 'string' || !Object.hasOwn(dtypeBytes, dtype)) {
    problems.error(where, `unknown data type ${JSON.stringify(dtype ?? null)}.`, 'Store the model as F32, F16 or BF16 safetensors.');
    return null;
  }
  if (!isCountList(shape) || !isCountList(offsets) || offsets.length !== 2) {
    problems.error(where, 'its shape or data_offsets in the header are not lists of whole numbers.', download);
    return null;
  }
  const [begin, end] = offsets as [number, number];
  const expected = shape.reduce((size, length) => size * length, dtypeBytes[dtype as TensorDtype]);
  if (end - begin !== expected) {
    problems.error(
      where,
      `its header gives ${end - begin} bytes of data, but ${dtype} of shape [${shape.join(', ')}] takes ${expected}.`,
      download,
    );
    return null;
  }
  return { dtype: dtype as TensorDtype, shape, begin, end };
}

function isCountList(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}

/** Tensors must cover the data section without gaps or overlaps. */
function checkLayout(tensors: TensorEntry[], file: string, dataStart: number, sizeBytes: number, problems: ProblemList): void {
  let end = dataStart;
  let previous = 'the header';
  for (const tensor of [...tensors].sort((a, b) => a.offset - b.offset || a.sizeBytes - b.sizeBytes)) {
    if (tensor.offset < end)
      problems.error(`${file}, tensor ${tensor.name}`, `its data overlaps ${previous} by ${end - tensor.offset} bytes.`, download);
    if (tensor.offset > end)
      problems.error(
        `${file}, tensor ${tensor.name}`,
        `${tensor.offset - end} bytes between ${previous} and its data belong to no tensor.`,
        download,
      );
    end = Math.max(end, tensor.offset + tensor.sizeBytes);
    previous = `tensor ${tensor.name}`;
  }
  if (end < sizeBytes) problems.error(file, `${sizeBytes - end} bytes after the last tensor belong to no tensor.`, download);
}
