"""Makes the golden fixtures of tokenizer and chat template: two small tokenizers and what Hugging Face's own library makes of texts.

Run from the repository root with transformers and tokenizers installed:

    python tests/golden/make-tokenizer-fixtures.py

`byte-level` is built like Qwen's (byte-level BPE, NFC, Qwen's split pattern), `metaspace` like Llama 2's (BPE with byte fallback, a
beginning-of-text token). Each folder holds tokenizer.json, tokenizer_config.json and expected.json.
"""

import json
import shutil
from pathlib import Path

import tokenizers
import transformers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

FIXTURES = Path(__file__).parent / "fixtures" / "tokenizers"
QWEN_PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CORPUS = ["The answer is 42, because 6 times 7 is 42.", "Let's add the numbers: 12 + 34 = 46.", "We're done; they've finished, I'll check.",
          "So the answer is \\boxed{42}.", "A train leaves at 3 and arrives at 5, so the trip takes 2 hours.", "thinking about the problem step by step"] * 20
TEXTS = ["The answer is 42.", "Let's see: 12 + 34 = 46", "  two  spaces\n\nand\tlines ", "\\boxed{\\frac{1}{2}}", "naïve café 数学 🙂", "e\u0301 composed",
         "I'LL don'T we've", "<|im_start|>user\nhi<|im_end|>", "1234567890", "x", "trailing space ", "...!?"]
MESSAGES = [[{"role": "user", "content": "What is 6 × 7?"}],
            [{"role": "system", "content": "Be brief."}, {"role": "user", "content": " 1+1? "}, {"role": "assistant", "content": "2"}, {"role": "user", "content": "And 2+2?"}]]
CHATML = """{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content | trim + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""
WITH_BOS = "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}<<{{ m['content'] }}>>{% elif m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]{% else %} {{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWEN_PATTERN), "isolated"),
                                                       pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=360, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.add_tokens([AddedToken("<think>", normalized=False), AddedToken("</think>", normalized=False)])
    return tokenizer, dict(eos_token="<|im_end|>", pad_token="<|endoftext|>"), CHATML


def metaspace():
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = [token for token in data["added_tokens"] if not token["content"].startswith("<0x")]
    tokenizer = Tokenizer.from_str(json.dumps(data))
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer, dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>"), WITH_BOS


def make(name, tokenizer, special, template):
    folder = FIXTURES / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, "chat_template": template, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    loaded = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), **special)
    loaded.chat_template = template
    texts = []
    for text in TEXTS:
        ids = tokenizer.encode(text).ids
        texts.append({"text": text, "ids": ids, "idsWithoutSpecial": tokenizer.encode(text, add_special_tokens=False).ids,
                      "decoded": tokenizer.decode(ids, skip_special_tokens=False), "decodedWithoutSpecial": tokenizer.decode(ids)})
    chats = [{"messages": messages, "enableThinking": thinking, "addGenerationPrompt": prompt,
              "text": loaded.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt, **({} if thinking is None else {"enable_thinking": thinking}))}
             for messages in MESSAGES for thinking in (None, True, False) for prompt in (True, False)]
    expected = {"transformers": transformers.__version__, "tokenizers": tokenizers.__version__, "size": tokenizer.get_vocab_size(), "texts": texts, "chats": chats}
    (folder / "expected.json").write_text(json.dumps(expected, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    make("byte-level", *byte_level())
    make("metaspace", *metaspace())
