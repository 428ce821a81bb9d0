/**
 * What a BPE vocabulary can express. Without an unknown token or byte fallback, the tokenizer library (like Hugging Face's own) drops
 * what it does not know without a word; a prompt must not change that way, so such vocabularies are recognised here.
 */
import { isJsonObject, type JsonObject } from '../data/json-file.ts';

export interface TokenizerAlphabet {
  covers(character: string): boolean;
}

/** The alphabet of a tokenizer whose vocabulary cannot express every text; null when it can. */
export function limitedAlphabet(json: JsonObject, vocabulary: Iterable<string>): TokenizerAlphabet | null {
  const model = isJsonObject(json.model) ? json.model : {};
  const canFallBack = model.byte_fallback === true || typeof model.unk_token === 'string';
  if (model.type !== 'BPE' || canFallBack || json.normalizer) return null;
  const symbols = new Set<string>();
  for (const piece of vocabulary) for (const symbol of piece) symbols.add(symbol);
  const usesBytes = JSON.stringify([json.pre_tokenizer, json.decoder]).includes('"ByteLevel"');
  if (!usesBytes) return { covers: (character) => symbols.has(character) };
  const missing = byteSymbols.filter((symbol) => !symbols.has(symbol));
  return missing.length === 0 ? null : { covers: (character) => bytesOf(character).every((symbol) => symbols.has(symbol)) };
}

/** GPT-2's visible stand-in for each byte: printable Latin-1 stands for itself, the others follow from U+0100. */
const byteSymbols: string[] = makeByteSymbols();

function makeByteSymbols(): string[] {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const isPrintable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte !== 173);
    return String.fromCharCode(isPrintable ? byte : next++);
  });
}

function bytesOf(character: string): string[] {
  return [...new TextEncoder().encode(character)].map((byte) => byteSymbols[byte]!);
}
