#!/usr/bin/env python3
"""live_chat - gm-probe tokenize --chat against transformers' apply_chat_template: ids of questions inside chat templates.

    live_chat.py BUILD [FOLDER...]     BUILD: a build folder with the programs

FOLDER: an instruct checkpoint as Hugging Face ships it; its weights are not needed. Without one, the templates of chat.py with
tokenizers of the shared folder (GM_SHARED or ../shared), whose special tokens they name. Exit 77 when that folder or the
program is absent, 3 when an id differs or a FOLDER's template is not known.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from golden import chat, common, live_tokenizer, nasty, tokenizer as goldens  # noqa: E402

TOKENIZER = {"chatml after a token": "mixtral", "gigachat": "gigachat-instruct", "chatml": "qwen2", "tulu": "olmoe", "mistral": "mixtral", "granite": "granite",
             "deepseek": "deepseek-v3.1"}
DOCUMENTS = 300


def ours(binary, folder, system, lines):
    with tempfile.TemporaryDirectory() as scratch:
        corpus = pathlib.Path(scratch) / "corpus.jsonl"
        corpus.write_text("".join(json.dumps({"text": t}) + "\n" for t in lines))
        command = [binary, "tokenize", "--model", folder, "--chat", corpus] + (["--system", system] if system is not None else [])
        result = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    return [json.loads(line) for line in result.stdout.splitlines()], result.stderr.strip()


def compare(name, binary, folder, lines):
    """True when every id is the same; prints what was compared."""
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(folder)
    wrong = tokens = 0
    for system in chat.MESSAGES:
        got, message = ours(binary, folder, system, lines)
        if not got and system is not None and "no place for a system message" in message:
            continue
        if len(got) != len(lines):
            print(f"{name}: {message}")
            return False
        for line, ids in zip(lines, got):
            want = chat.render(theirs, None, theirs.bos_token, system, line, tokenize=True, return_dict=False)
            wrong += ids != want
            tokens += len(want)
    print(f"{name}: {len(lines)} questions, {tokens} tokens, {wrong} questions differ")
    return wrong == 0


def made_folders(folder, shared):
    """(name, folder) of each template of chat.py beside the tokenizer of its family."""
    for name, (template, bos) in chat.TEMPLATES.items():
        family = next(f for f in TOKENIZER if name.startswith(f))
        place = folder / name.replace(" ", "-")
        place.mkdir()
        text = goldens.unzstd(shared / "tokenizers" / f"{goldens.REAL[TOKENIZER[family]][0]}.json.zst").decode("utf-8")
        config = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": template, "bos_token": bos}
        (place / "tokenizer.json").write_text(text)
        (place / "tokenizer_config.json").write_text(json.dumps(config))
        yield name, place


def main():
    shared, binary = common.shared_dir(), live_tokenizer.program(sys.argv[1], "gm-probe")
    if shared is None or binary is None:
        print("live_chat: skipped,", "no shared folder" if shared is None else "gm-probe is not built")
        return 77
    corpus = goldens.unzstd(shared / "minipile" / "test.jsonl.zst").decode("utf-8").splitlines()[:DOCUMENTS]
    lines = [json.loads(line)["text"] for line in corpus] + [text for _, text in nasty.texts()]
    with tempfile.TemporaryDirectory() as scratch:
        folders = [(f, f) for f in sys.argv[2:]] or made_folders(pathlib.Path(scratch), shared)
        same = [compare(name, binary, folder, lines) for name, folder in folders]
    return 0 if all(same) else 3


if __name__ == "__main__":
    sys.exit(main())
