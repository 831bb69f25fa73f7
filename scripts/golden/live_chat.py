#!/usr/bin/env python3
"""live_chat - gm-probe tokenize --chat against transformers' apply_chat_template: ids of questions inside chat templates.

    live_chat.py BUILD [FOLDER...]     BUILD: a build folder with the programs

FOLDER: an instruct checkpoint as Hugging Face ships it, its weights are not needed; or a folder of templates, NAME.jinja, as
llama.cpp keeps them in models/templates. Without one, the templates of chat.py with tokenizers of the shared folder (GM_SHARED or
../shared), whose special tokens they name. Exit 77 when that folder or the program is absent, 3 when an id differs or a template is
refused that transformers takes.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from golden import chat, common, live_tokenizer, nasty, tokenizer as goldens  # noqa: E402

TOKENIZER = {"chatml after a token": "mixtral", "gigachat": "gigachat-instruct", "chatml": "qwen2", "tulu": "olmoe", "mistral": "mixtral", "granite": "granite",
             "deepseek": "deepseek-v3.1", "harmony": "gpt-oss", "glm": "qwen2", "trimmed": "phi-moe"}
DOCUMENTS = 300
TOKENS = {"bos_token": "<|endoftext|>", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}  # beside a template alone


def ours(binary, folder, system, lines, settings):
    with tempfile.TemporaryDirectory() as scratch:
        corpus = pathlib.Path(scratch) / "corpus.jsonl"
        corpus.write_text("".join(json.dumps({"text": t}) + "\n" for t in lines))
        command = [binary, "tokenize", "--model", folder, "--chat", corpus] + (["--system", system] if system is not None else [])
        for name, value in settings.items():
            command += ["--chat-set", f"{name}={json.dumps(value)}"]
        result = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    return [json.loads(line) for line in result.stdout.splitlines()], result.stderr.strip()


def theirs(tokenizer, system, lines, settings):
    """Ids of every question; None where a template refuses them."""
    found = []
    for line in lines:
        try:
            text = chat.render(tokenizer, None, tokenizer.bos_token, system, line, tokenize=False, **settings)
        except Exception as error:  # pylint: disable=broad-exception-caught
            return None, error
        found.append(tokenizer(text, add_special_tokens=False)["input_ids"])
    return found, None


def compare(name, binary, folder, lines):
    """True when every id is the same; prints what was compared."""
    from transformers import AutoTokenizer, utils

    chat.freeze(utils.chat_template_utils)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    wrong = tokens = refused = 0
    for system in chat.MESSAGES:
        for settings in ({}, {"enable_thinking": False, "reasoning_effort": "high"}):
            want, error = theirs(tokenizer, system, lines, settings)
            got, message = ours(binary, folder, system, lines, settings)
            if want is None or "no place for a system message" in message:
                refused += 1
                if not got:
                    continue
            if want is None or len(got) != len(lines):
                print(f"{name}: here {message or 'taken'}, there {error or 'taken'}")
                return False
            wrong += sum(a != b for a, b in zip(got, want))
            tokens += sum(len(ids) for ids in want)
    print(f"{name}: {len(lines)} questions, {tokens} tokens, {wrong} questions differ"
          + (f"; {refused} of {2 * len(chat.MESSAGES)} ways refused by both" if refused else ""))
    return wrong == 0


def made_folders(folder, shared):
    """(name, folder) of each template of chat.py beside the tokenizer of its family."""
    for name, (template, bos) in chat.TEMPLATES.items():
        family = next(f for f in TOKENIZER if name.startswith(f))
        place = folder / name.replace(" ", "-")
        place.mkdir()
        text = goldens.unzstd(shared / "tokenizers" / f"{goldens.REAL[TOKENIZER[family]][0]}.json.zst").decode("utf-8")
        config = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": template, "bos_token": bos}
        if family == "gigachat":
            config["additional_special_tokens"] = chat.SPECIAL
        (place / "tokenizer.json").write_text(text)
        (place / "tokenizer_config.json").write_text(json.dumps(config))
        yield name, place


def template_folders(folder, shared, templates):
    """(name, folder) of each template of a folder beside a tokenizer."""
    text = goldens.unzstd(shared / "tokenizers" / f"{goldens.REAL['qwen2'][0]}.json.zst").decode("utf-8")
    for path in sorted(templates.glob("*.jinja")):
        place = folder / path.stem
        place.mkdir()
        (place / "tokenizer.json").write_text(text)
        (place / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"} | TOKENS))
        (place / "chat_template.jinja").write_text(path.read_text())
        yield path.stem, place


def main():
    shared, binary = common.shared_dir(), live_tokenizer.program(sys.argv[1], "gm-probe")
    if shared is None or binary is None:
        print("live_chat: skipped,", "no shared folder" if shared is None else "gm-probe is not built")
        return 77
    corpus = goldens.unzstd(shared / "minipile" / "test.jsonl.zst").decode("utf-8").splitlines()[:DOCUMENTS]
    lines = [json.loads(line)["text"] for line in corpus] + [text for _, text in nasty.texts()]
    with tempfile.TemporaryDirectory() as scratch:
        folders = []
        for path in map(pathlib.Path, sys.argv[2:]):
            alone = not (path / "tokenizer.json").exists()
            folders += template_folders(pathlib.Path(scratch), shared, path) if alone else [(path, path)]
        same = [compare(name, binary, folder, lines) for name, folder in folders or made_folders(pathlib.Path(scratch), shared)]
    return 0 if all(same) else 3


if __name__ == "__main__":
    sys.exit(main())
