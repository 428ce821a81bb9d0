import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ChatTemplate } from '../../../../src-main/engine/model/chat-template.ts';
import { loadTokenizer } from '../../../../src-main/engine/model/tokenizer.ts';
import { fixturePath } from '../../../golden/fixtures.ts';
import { patchJson, temporaryFolder } from '../model-folder.ts';

async function tokenizerFolder(name = 'byte-level'): Promise<string> {
  const dir = join(await temporaryFolder(), name);
  await cp(fixturePath('tokenizers', name), dir, { recursive: true });
  return dir;
}

describe('loadTokenizer', () => {
  it('names a missing file, broken JSON and a tokenizer that cannot be built', async () => {
    const dir = await tokenizerFolder();
    await patchJson(join(dir, 'tokenizer.json'), { model: { type: 'Telepathy' } });
    await expect(loadTokenizer(dir)).rejects.toMatchObject({
      code: 'tokenizer-invalid',
      message: expect.stringContaining('cannot be built'),
    });
    await writeFile(join(dir, 'tokenizer.json'), 'x');
    await expect(loadTokenizer(dir)).rejects.toMatchObject({
      code: 'tokenizer-invalid',
      message: expect.stringContaining('not valid JSON'),
    });
    await rm(join(dir, 'tokenizer.json'));
    await expect(loadTokenizer(dir)).rejects.toMatchObject({ code: 'tokenizer-invalid', hint: expect.stringContaining('AutoTokenizer') });
  });

  it('refuses ids beyond the embeddings', async () => {
    const dir = await tokenizerFolder();
    await expect(loadTokenizer(dir, { vocabSize: 365 })).resolves.toMatchObject({ size: 365 });
    await expect(loadTokenizer(dir, { vocabSize: 364 })).rejects.toMatchObject({
      code: 'tokenizer-invalid',
      message: expect.stringContaining('its largest id is 364 ("</think>"), but the model\'s embeddings have 364 rows'),
    });
  });

  it('refuses two tokens of one id', async () => {
    const dir = await tokenizerFolder();
    const token = (content: string) => ({
      id: 360,
      content,
      special: true,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
    });
    await patchJson(join(dir, 'tokenizer.json'), { added_tokens: [token('<a>'), token('<b>')] });
    await expect(loadTokenizer(dir)).rejects.toMatchObject({ message: expect.stringContaining('id 360 stands for more than one token') });
  });
});

describe('ModelTokenizer', () => {
  it('decodes padding ids of the embedding to nothing', async () => {
    const tokenizer = await loadTokenizer(await tokenizerFolder());
    expect(tokenizer.decode([...tokenizer.encode('hi'), 5000])).toBe('hi');
    expect(tokenizer.decode([])).toBe('');
    expect(tokenizer.encode('')).toEqual([]);
  });

  it('takes vocabularies of the size of Qwen’s', async () => {
    const dir = await tokenizerFolder();
    const { model } = JSON.parse(await readFile(join(dir, 'tokenizer.json'), 'utf8'));
    for (let id = 365; id < 200_000; id++) model.vocab[`token${id}`] = id;
    await patchJson(join(dir, 'tokenizer.json'), { model });
    const tokenizer = await loadTokenizer(dir);
    expect(tokenizer.size).toBe(200_000);
    expect(tokenizer.decode([...tokenizer.encode('a'), 199_999])).toBe('atoken199999');
  });

  it('refuses text its alphabet cannot express instead of dropping it', async () => {
    const dir = await temporaryFolder();
    const vocab = Object.fromEntries([...'0123456789+='].map((character, id) => [character, id]));
    const model = { type: 'BPE', vocab, merges: [], unk_token: null, byte_fallback: false };
    await writeFile(
      join(dir, 'tokenizer.json'),
      JSON.stringify({ model, added_tokens: [], normalizer: null, post_processor: null, pre_tokenizer: null, decoder: { type: 'Fuse' } }),
    );
    const tokenizer = await loadTokenizer(dir);
    expect(tokenizer.decode(tokenizer.encode('1+2=3'))).toBe('1+2=3');
    expect(() => tokenizer.encode('1 × 2')).toThrow(/holds " ", "×" that this model's tokenizer cannot express/);
    expect(() => tokenizer.encodeChat([{ role: 'user', content: '1' }])).toThrow(/no chat template/);
  });
});

describe('chat templates', () => {
  const messages = [{ role: 'user' as const, content: 'hi' }];

  it('are found in all three places, the own file first', async () => {
    const dir = await tokenizerFolder();
    const rendered = async () => (await loadTokenizer(dir)).chatTemplate!.render(messages);
    expect(await rendered()).toContain('<|im_start|>user\nhi<|im_end|>');
    await patchJson(join(dir, 'tokenizer_config.json'), {
      chat_template: [
        { name: 'tool_use', template: 'x' },
        { name: 'default', template: '{{ messages[0].content }}{{ eos_token }}' },
      ],
    });
    expect(await rendered()).toBe('hi<|im_end|>');
    await writeFile(join(dir, 'chat_template.json'), JSON.stringify({ chat_template: 'json {{ messages | length }}' }));
    expect(await rendered()).toBe('json 1');
    await writeFile(join(dir, 'chat_template.jinja'), 'jinja {{ add_generation_prompt }}');
    expect(await rendered()).toBe('jinja true');
  });

  it('name their file when they cannot be parsed or refuse the conversation', async () => {
    const dir = await tokenizerFolder();
    await writeFile(join(dir, 'chat_template.jinja'), '{% if %}');
    await expect(loadTokenizer(dir)).rejects.toMatchObject({
      code: 'tokenizer-invalid',
      message: expect.stringContaining('chat_template.jinja'),
    });
    const strict = new ChatTemplate("{{ raise_exception('roles must alternate') }}", {}, 'tokenizer_config.json');
    expect(() => strict.render(messages)).toThrow(
      /tokenizer_config\.json: the chat template refused the conversation: roles must alternate/,
    );
  });

  it('see special tokens given as text or as objects', async () => {
    const dir = await tokenizerFolder();
    await patchJson(join(dir, 'tokenizer_config.json'), {
      bos_token: { content: '<s>', special: true },
      chat_template: '{{ bos_token }}{{ eos_token }}',
    });
    expect((await loadTokenizer(dir)).chatTemplate!.render(messages)).toBe('<s><|im_end|>');
  });
});
