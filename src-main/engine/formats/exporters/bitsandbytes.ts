/**
 * 4-bit NF4 checkpoints of bitsandbytes, with or without double quantization: nibbles, block scales, both tables, and the settings of each
 * module as JSON in a byte tensor. Everything else keeps its type, and computing happens in the model's.
 */
import type { ExportSource } from '../export-source.ts';
import { type Nf4Linear, nestedBlockSize, nf4BlockSize, nf4Levels } from '../nf4.ts';
import { dynamicTable } from '../nf4-dynamic.ts';
import { packNibbles } from '../packing.ts';
import { quantStateName } from '../readers/bitsandbytes.ts';
import type { TensorDtype, TensorToWrite } from '../safetensors.ts';
import { denseTensors, type Exporter, lazyTensors, modelDtype, writeModelFolder } from './exporter.ts';
import { floatLinears, schemeProblems } from './limits.ts';

export const bitsandbytesExporter: Exporter = {
  problems: (source) => schemeProblems(source, 'bitsandbytes'),
  async write(source, dir, options) {
    const dtype = modelDtype(source);
    const tensors = denseTensors(source);
    for (const module of source.modules)
      tensors.push(...(await lazyTensors(source, module, (linear) => nf4Tensors(module, linear as Nf4Linear, dtype))));
    return writeModelFolder(source, dir, { tensors, changes: { quantization_config: section(source, dtype) } }, options);
  },
};

function section(source: ExportSource, dtype: string) {
  return {
    quant_method: 'bitsandbytes',
    load_in_4bit: true,
    load_in_8bit: false,
    bnb_4bit_quant_type: 'nf4',
    bnb_4bit_use_double_quant: source.modules.some((module) => isNested(source, module)),
    bnb_4bit_compute_dtype: dtype,
    bnb_4bit_quant_storage: 'uint8',
    llm_int8_threshold: floatText('6.0'),
    llm_int8_skip_modules: ['lm_head', ...floatLinears(source)],
    llm_int8_enable_fp32_cpu_offload: false,
    llm_int8_has_fp16_weight: false,
  };
}

/** transformers wants a decimal point where its configuration expects a float, and JSON.stringify writes none. */
function floatText(text: string): unknown {
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(text);
}

function isNested(source: ExportSource, module: string): boolean {
  const form = source.form(module);
  return form.coding === 'nf4' && form.isNested;
}

function nf4Tensors(module: string, linear: Nf4Linear, dtype: string): TensorToWrite[] {
  const { outFeatures, inFeatures, codes, absmax, nested } = linear;
  const weight = `${module}.weight`;
  const state = {
    quant_type: 'nf4',
    blocksize: nf4BlockSize,
    dtype,
    shape: [outFeatures, inFeatures],
    ...(nested ? { nested_blocksize: nestedBlockSize, nested_dtype: 'float32', nested_offset: nested.offset } : {}),
  };
  const json = new TextEncoder().encode(JSON.stringify(state));
  const tensor = (name: string, type: TensorDtype, values: Uint8Array | Float32Array): TensorToWrite => ({
    name,
    dtype: type,
    shape: [values.length],
    values,
  });
  const bytes = packNibbles(codes);
  return [
    { name: weight, dtype: 'U8', shape: [bytes.length, 1], values: bytes },
    nested ? tensor(`${weight}.absmax`, 'U8', nested.codes) : tensor(`${weight}.absmax`, 'F32', absmax),
    tensor(`${weight}.quant_map`, 'F32', nf4Levels),
    ...(nested ? [tensor(`${weight}.nested_absmax`, 'F32', nested.absmax), tensor(`${weight}.nested_quant_map`, 'F32', dynamicTable)] : []),
    tensor(`${module}.${quantStateName}`, 'U8', json),
  ];
}
