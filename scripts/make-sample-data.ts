// Writes the sample's benchmarks, calibration texts, training data and tokenizer under resources/sample. Running it again changes nothing.
import { mkdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { writeWholeFile } from '../src-main/engine/formats/atomic-file.ts';
import { abacusFiles, sampleDataFiles, sampleModels } from '../src-main/engine/sample/index.ts';

const sampleDir = resolve(import.meta.dirname, '../resources/sample');
const files = sampleDataFiles();
for (const [folder, { config }] of Object.entries(sampleModels))
  for (const [name, content] of Object.entries(abacusFiles(config))) files.set(`${folder}/${name}`, content);
for (const [name, content] of files) {
  const path = join(sampleDir, name);
  await mkdir(dirname(path), { recursive: true });
  const { sizeBytes } = await writeWholeFile(path, content);
  console.log(`${name}  ${sizeBytes} bytes`);
}
