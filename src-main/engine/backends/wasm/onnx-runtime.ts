/**
 * ONNX Runtime's C API through koffi: synchronous, without the output copy of the npm binding, on memory we name by address.
 * Function numbers are positions in `struct OrtApi` (microsoft/onnxruntime `onnxruntime_c_api.h`); the table only ever grows at its end.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import koffi from 'koffi';
import { RoundoffError } from '#contract/errors.ts';
import { type ElementType, elementTypes } from './onnx-model.ts';

/** An address in this process. */
export type NativePointer = bigint;

const apiVersion = 17;
const logOnlyErrors = 3;
const allOptimizations = 99;

export interface OnnxRuntime {
  version: string;
  createSession(model: Uint8Array, threads: number): NativePointer;
  releaseSession(session: NativePointer): void;
  /** A tensor, of float32 unless told, over memory the caller keeps alive; it may be named by address. */
  createTensor(data: Uint8Array | NativePointer, sizeBytes: number, dims: number[], type?: ElementType): NativePointer;
  releaseTensor(tensor: NativePointer): void;
  dataAddress(tensor: NativePointer): NativePointer;
  /** Names as C strings, for `run`. They live as long as the process. */
  createNames(names: string[]): BigUint64Array;
  /** Runs synchronously, writing into the output tensor's memory. */
  run(
    session: NativePointer,
    inputNames: BigUint64Array,
    inputs: BigUint64Array,
    outputNames: BigUint64Array,
    outputs: BigUint64Array,
  ): void;
}

let loaded: OnnxRuntime | undefined;
/** Kept for the life of the process: koffi unloads a library, code and all, once its handle is collected. */
let library: ReturnType<typeof koffi.load> | undefined;

/** Loads the library once per process. @throws RoundoffError `backend-unavailable` when it is missing or unusable. */
export function onnxRuntime(): OnnxRuntime {
  loaded ??= load(libraryPath());
  return loaded;
}

function libraryPath(): string {
  const require = createRequire(import.meta.url);
  let folder: string;
  try {
    folder = join(dirname(require.resolve('onnxruntime-node/package.json')), 'bin', 'napi-v6', process.platform, process.arch);
  } catch (cause) {
    throw new RoundoffError('backend-unavailable', 'the package onnxruntime-node is not installed', 'Run `npm ci` in the project folder.', {
      cause,
    });
  }
  const names = { linux: 'libonnxruntime.so.1', darwin: 'libonnxruntime.1.30.0.dylib', win32: 'onnxruntime.dll' } as Record<string, string>;
  const path = join(folder, names[process.platform] ?? 'libonnxruntime.so.1');
  if (!existsSync(path)) {
    throw new RoundoffError(
      'backend-unavailable',
      `ONNX Runtime has no library for ${process.platform} ${process.arch} (looked for ${path})`,
      'Use 64-bit Linux, macOS or Windows, or reinstall with `npm ci`.',
    );
  }
  return path;
}

function load(path: string): OnnxRuntime {
  library = koffi.load(path);
  const base = library.func('void *OrtGetApiBase()')();
  const getApi = koffi.decode(base, 0, 'void *');
  const version = koffi.call(koffi.decode(base, 8, 'void *'), koffi.proto('const char *OrtVersionString()')) as string;
  const api = koffi.call(getApi, koffi.proto('void *OrtGetApi(uint32_t version)'), apiVersion);
  if (!api) throw new RoundoffError('backend-unavailable', `${path} does not offer API version ${apiVersion}`, 'Reinstall with `npm ci`.');

  const at = (index: number, result: string, parameters: string): ((...values: unknown[]) => unknown) =>
    koffi.decode(koffi.decode(api, index * 8, 'void *'), koffi.proto(`${result} OrtCall${index}(${parameters})`));
  const call = {
    message: at(2, 'const char *', 'void *status'),
    createEnv: at(3, 'void *', 'int level, const char *id, void *out'),
    createSession: at(8, 'void *', 'void *env, const uint8_t *bytes, size_t size, void *options, void *out'),
    run: at(
      9,
      'void *',
      'void *session, void *options, void *inputNames, void *inputs, size_t inputCount, void *outputNames, size_t outputCount, void *outputs',
    ),
    createOptions: at(10, 'void *', 'void *out'),
    setLogLevel: at(22, 'void *', 'void *options, int level'),
    setOptimization: at(23, 'void *', 'void *options, int level'),
    setThreads: at(24, 'void *', 'void *options, int threads'),
    createTensor: at(49, 'void *', 'void *memory, void *data, size_t bytes, const int64_t *dims, size_t rank, int type, void *out'),
    tensorData: at(51, 'void *', 'void *tensor, void *out'),
    cpuMemory: at(69, 'void *', 'int allocator, int type, void *out'),
    releaseStatus: at(93, 'void', 'void *status'),
    releaseSession: at(95, 'void', 'void *session'),
    releaseTensor: at(96, 'void', 'void *tensor'),
    releaseOptions: at(100, 'void', 'void *options'),
    addConfig: at(130, 'void *', 'void *options, const char *key, const char *value'),
  };
  const check = (status: unknown) => {
    if (!status) return;
    const message = call.message(status) as string;
    call.releaseStatus(status);
    throw new RoundoffError('internal', `ONNX Runtime: ${message}`, 'This is a defect in Roundoff; please report it with the log.');
  };
  const out = new BigUint64Array(1);
  const created = (status: unknown): NativePointer => {
    check(status);
    return out[0]!;
  };

  const env = created(call.createEnv(logOnlyErrors, 'roundoff', out));
  const memory = created(call.cpuMemory(1, 0, out));
  return {
    version,
    createSession(model, threads) {
      const options = created(call.createOptions(out));
      check(call.addConfig(options, 'session.intra_op.allow_spinning', '0'));
      check(call.setThreads(options, threads));
      check(call.setOptimization(options, allOptimizations));
      check(call.setLogLevel(options, logOnlyErrors));
      try {
        return created(call.createSession(env, model, model.length, options, out));
      } finally {
        call.releaseOptions(options);
      }
    },
    releaseSession: (session) => void call.releaseSession(session),
    createTensor(data, sizeBytes, dims, type = 'float32') {
      const sizes = BigInt64Array.from(dims, BigInt);
      return created(call.createTensor(memory, data, sizeBytes, sizes, dims.length, elementTypes[type], out));
    },
    releaseTensor: (tensor) => void call.releaseTensor(tensor),
    dataAddress: (tensor) => created(call.tensorData(tensor, out)),
    createNames: (names) =>
      BigUint64Array.from(names, (name) => {
        const bytes = koffi.alloc('char', name.length + 1);
        koffi.encode(bytes, 'char', name, name.length + 1);
        return koffi.address(bytes);
      }),
    run(session, inputNames, inputs, outputNames, outputs) {
      check(call.run(session, null, inputNames, inputs, inputs.length, outputNames, outputs.length, outputs));
    },
  };
}
