import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadTokenizer, type ModelTokenizer } from '../../src-main/engine/model/tokenizer.ts';
import { fixturePath } from './fixtures.ts';

interface Expected {
  size: number;
  texts: { text: string; ids: number[]; idsWithoutSpecial: number[]; decoded: string; decodedWithoutSpecial: string }[];
  chats: {
    messages: { role: 'user'; content: string }[];
    enableThinking: boolean | null;
    addGenerationPrompt: boolean;
    text: string;
  }[];
}

describe.each(['byte-level', 'metaspace'])('the %s tokenizer against Hugging Face’s', (name) => {
  const dir = fixturePath('tokenizers', name);
  const expected: Expected = JSON.parse(readFileSync(`${dir}/expected.json`, 'utf8'));
  let tokenizer: ModelTokenizer;
  beforeAll(async () => {
    tokenizer = await loadTokenizer(dir);
  });

  it('knows the same vocabulary', () => {
    expect(tokenizer.size).toBe(expected.size);
  });

  it.each(expected.texts)('encodes and decodes $text', ({ text, ids, idsWithoutSpecial, decoded, decodedWithoutSpecial }) => {
    expect(tokenizer.encode(text)).toEqual(ids);
    expect(tokenizer.encode(text, { addSpecialTokens: false })).toEqual(idsWithoutSpecial);
    expect(tokenizer.decode(ids)).toBe(decoded);
    expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe(decodedWithoutSpecial);
  });

  it.each(expected.texts)('streams $text without losing or changing a character', ({ ids, decoded, decodedWithoutSpecial }) => {
    for (const skipSpecialTokens of [false, true]) {
      const stream = tokenizer.stream({ skipSpecialTokens });
      const pieces = ids.map((id) => stream.push(id));
      expect(pieces.join('') + stream.end()).toBe(skipSpecialTokens ? decodedWithoutSpecial : decoded);
      expect(pieces.join('')).not.toContain('\ufffd');
    }
  });

  it.each(expected.chats)('renders a conversation (thinking $enableThinking, prompt $addGenerationPrompt)', (chat) => {
    const { messages, enableThinking, addGenerationPrompt, text } = chat;
    expect(tokenizer.chatTemplate!.render(messages, { enableThinking, addGenerationPrompt })).toBe(text);
    expect(tokenizer.encodeChat(messages, { enableThinking, addGenerationPrompt })).toEqual(
      tokenizer.encode(text, { addSpecialTokens: false }),
    );
  });
});
