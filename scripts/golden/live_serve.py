#!/usr/bin/env python3
"""live_serve - gm-steer serve, asked by the programs that it is made for.

    live_serve.py BUILD     BUILD: a build folder with gm-steer

openai-python asks for log-probabilities of given tokens, for greedy texts and for answers in a chat, whole and as streams, unsteered and
under a plan: those of transformers with the same plan by notebooks-data/apply_plan.py. The page is used in a browser. lm-evaluation-harness
scores a task of choices and one of whole texts, once by our server (local-completions), once by transformers (hf): the same log-likelihoods
and scores. Tiny checkpoint, f32. Exit 77 when a program is absent, 3 when a bound does not hold.
"""

import contextlib
import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from golden import common  # noqa: E402
from golden.live_plan import load, make_plans  # noqa: E402
from golden.live_tokenizer import program  # noqa: E402

MODEL = "olmoe-tiny"
LOG_P = 1e-4
DOCUMENTS, TOKENS, NEW = 12, 40, 8
WORDS = "water salt stone light house river north table green seven music paper winter copper".split()


@contextlib.contextmanager
def server(gm_steer, *words):
    process = subprocess.Popen([gm_steer, "serve", "--port", "0", "--quiet", *map(str, words)], stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().split()[-1]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate()


def their_log_p(torch, model, ids):
    with torch.no_grad():
        return torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1).numpy()


def check_openai(gm_steer, folder, work):
    import openai
    import torch

    apply_plan, config = load(common.REPO / "notebooks-data" / "apply_plan.py"), json.loads((folder / "config.json").read_text())
    model = common.transformers_model(folder)
    rows = np.random.default_rng(5).integers(3, config["vocab_size"], (DOCUMENTS, TOKENS)).tolist()
    _, plan, _ = next(make_plans(gm_steer, folder, config, work))
    good = True
    with server(gm_steer, "--model", folder, "--plan", plan, "--numerics", "f32", "--ignore-eos") as where:
        client = openai.OpenAI(base_url=where + "v1", api_key="none")
        for what, steer in (("unsteered", None), ("under a plan", {"plan": "0-" + str(config["num_hidden_layers"] - 1)})):
            hooks = apply_plan.steer(model, plan) if steer else []
            ask = dict(model="x", extra_body={"steer": steer}, temperature=0)
            read = client.completions.create(prompt=rows, max_tokens=0, echo=True, logprobs=5, **ask)
            worst, ranks = 0.0, 0
            for row, choice in zip(rows, read.choices):
                want = their_log_p(torch, model, row)
                ours = np.array(choice.logprobs.token_logprobs[1:])
                worst = float(np.maximum(worst, np.abs(ours - want[np.arange(TOKENS - 1), row[1:]]).max()))  # NaN stays
                for t, top in enumerate(choice.logprobs.top_logprobs[1:]):
                    ranks += not abs(max(top.values()) - want[t].max()) <= LOG_P
            wrote = client.completions.create(prompt=rows, max_tokens=NEW, logprobs=1, **ask)
            differ = 0
            for row, choice in zip(rows, wrote.choices):
                ids = list(row)
                for _ in range(NEW):
                    ids.append(int(their_log_p(torch, model, ids)[-1].argmax()))
                differ += ids[TOKENS:] != choice.logprobs.token_ids
            stream = list(client.completions.create(prompt=rows[0], max_tokens=NEW, logprobs=1, stream=True, **ask))
            pieces = "".join(piece.choices[0].text for piece in stream)
            same = pieces == wrote.choices[0].text and stream[-1].choices[0].logprobs == wrote.choices[0].logprobs
            for hook in hooks:
                hook.remove()
            good = good and worst <= LOG_P and ranks == 0 and differ == 0 and same
            print(f"openai {openai.__version__}, {what}: log-probabilities of {DOCUMENTS * (TOKENS - 1)} tokens {worst:.2g} (bound {LOG_P:g}), "
                  f"likeliest that differ {ranks}, greedy texts that differ {differ} of {DOCUMENTS}, stream "
                  f"{'the same' if same else 'OTHER'}")
    return good


def with_template(folder, work):
    """The model with a chat template, and the files by which transformers finds the tokenizer."""
    copy = work / "model"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).symlink_to(file)
    (copy / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>",
        "chat_template": "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"}))
    return copy


def check_chats(gm_steer, folder, work):
    import openai
    import torch
    from transformers import PreTrainedTokenizerFast

    apply_plan, config = load(common.REPO / "notebooks-data" / "apply_plan.py"), json.loads((folder / "config.json").read_text())
    model, tokenizer = common.transformers_model(folder), PreTrainedTokenizerFast.from_pretrained(folder)
    _, plan, _ = next(make_plans(gm_steer, folder, config, work))
    good, top = True, 5
    with server(gm_steer, "--model", folder, "--plan", plan, "--numerics", "f32", "--ignore-eos") as where:
        client = openai.OpenAI(base_url=where + "v1", api_key="none")
        for what, steer in (("unsteered", None), ("under a plan", {"plan": "0-" + str(config["num_hidden_layers"] - 1)})):
            hooks, worst, others, n = apply_plan.steer(model, plan) if steer else [], 0.0, 0, 0
            for seed, word in enumerate(WORDS):
                ask = dict(model="x", messages=[{"role": "user", "content": f"What is {word}?"}], logprobs=True, top_logprobs=top, temperature=1,
                           seed=seed, max_tokens=NEW, extra_body={"steer": steer})
                reply = client.chat.completions.create(**ask).choices[0]
                before = tokenizer.apply_chat_template(ask["messages"], add_generation_prompt=True, return_dict=False)
                want = their_log_p(torch, model, before + reply.logprobs.token_ids)[len(before) - 1:]
                for token, chosen, row in zip(reply.logprobs.content, reply.logprobs.token_ids, want):
                    likeliest = np.sort(row)[::-1][:top]
                    ours = [token.logprob, *(t.logprob for t in token.top_logprobs)]
                    worst = float(np.maximum(worst, np.abs(np.array(ours) - [row[chosen], *likeliest]).max()))  # NaN stays
                    n += 1
                pieces = [piece.choices[0] for piece in client.chat.completions.create(**ask, stream=True)]
                others += pieces[0].delta.role != "assistant" or "".join(piece.delta.content or "" for piece in pieces) != reply.message.content \
                    or pieces[-1].logprobs.model_dump() != reply.logprobs.model_dump()
                others += b"".join(bytes(t.bytes) for t in reply.logprobs.content).decode(errors="replace") != reply.message.content
            for hook in hooks:
                hook.remove()
            good = good and worst <= LOG_P and others == 0 and n == len(WORDS) * NEW
            print(f"chats, {what}: {n} tokens and the {top} likeliest in place of each {worst:.2g} (bound {LOG_P:g}), "
                  f"streams or texts that differ {others} of {2 * len(WORDS)}")
    return good


def check_page(gm_steer, folder, work):
    """The page in a browser: it writes, keeps its texts when something is refused, says when the server has gone; axe finds nothing."""
    try:
        from axe_playwright_python.sync_playwright import Axe
        from playwright.sync_api import sync_playwright
    except ImportError:
        print("the page: skipped, playwright or axe is missing")
        return True
    plans = [plan for _, plan, _ in itertools.islice(make_plans(gm_steer, folder, json.loads((folder / "config.json").read_text()), work), 2)]
    with sync_playwright() as playwright, contextlib.ExitStack() as stack:
        page = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"]).new_context(bypass_csp=True).new_page()
        wrong = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        state, texts = page.locator("#state"), page.locator(".text")

        def write(expected):
            page.click("#go")
            state.filter(has_text=expected).wait_for(timeout=60000)
            return texts.all_inner_texts()

        page.goto(stack.enter_context(server(gm_steer, "--model", folder, "--plan", plans[0], "--plan", plans[1], "--max-tokens", 12)))
        page.locator("#list button").last.wait_for()
        page.fill("#seed", "2")  # of its two texts none ends early
        first = write("24 tokens in")
        page.fill(".weight input[type=number]", "1e9")
        kept = write("expected -1000000 to 1000000") == first
        wrong += Axe().run(page).response["violations"]
        page.fill(".weight input[type=number]", "-3")
        changed = write("24 tokens in")
        page.focus("#find")
        page.keyboard.press("Tab")  # one stop for the whole list, whose button stays when it is pressed
        page.keyboard.press("Space")
        page.keyboard.press("Space")
        on_list = page.evaluate("[document.activeElement.parentNode.parentNode.id, document.activeElement.ariaPressed]")
        page.keyboard.press("Tab")
        keys = on_list == ["list", "true"] and page.evaluate("document.activeElement.tagName") == "SUMMARY"
        page.locator(".remove").focus()
        page.keyboard.press("Enter")
        keys = keys and page.evaluate("document.activeElement.className") == "text"
        page.emulate_media(media="print")
        keys = keys and not page.locator("#choose").is_visible() and page.locator(".text").is_visible()
        page.emulate_media(media="screen")
        alone = len(write("12 tokens in")) == 1
        stack.close()
        kept = kept and write("the server does not answer") == changed[:1]
    good = not wrong and kept and alone and keys and first[0] == changed[0] != first[1] != changed[1]
    print(f"the page: {'as it should be' if good else 'WRONG'} {wrong or ''}")
    return good


def write_tasks(work):
    """A task of choices and one of whole texts, from a handful of words."""
    rng = np.random.default_rng(2)
    lines = [{"question": " ".join(rng.choice(WORDS, 6)), "choices": [str(w) for w in rng.choice(WORDS, 4, replace=False)], "gold": int(rng.integers(4))}
             for _ in range(40)]
    (work / "choices.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (work / "choices.yaml").write_text(f"""task: gm_choices
dataset_path: json
dataset_kwargs: {{data_files: {{validation: {work}/choices.jsonl}}}}
output_type: multiple_choice
validation_split: validation
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{gold}}}}"
metric_list: [{{metric: acc}}, {{metric: acc_norm}}]
""")
    (work / "texts.yaml").write_text(f"""task: gm_texts
dataset_path: json
dataset_kwargs: {{data_files: {{validation: {work}/choices.jsonl}}}}
output_type: loglikelihood_rolling
validation_split: validation
doc_to_text: ""
doc_to_target: "{{{{question}}}}"
metric_list: [{{metric: word_perplexity}}, {{metric: bits_per_byte}}]
""")


def scores(results):
    """Log-likelihoods of every request and the tasks' scores."""
    seen, figures = [], {}
    for task in ("gm_choices", "gm_texts"):
        for sample in sorted(results["samples"][task], key=lambda s: s["doc_id"]):
            seen += [float(np.ravel(part)[0]) for part in sample["filtered_resps"]]
        figures |= {key.split(",")[0]: value for key, value in results["results"][task].items()
                    if isinstance(value, float) and "stderr" not in key}
    return np.array(seen), figures


def check_harness(gm_steer, folder, work):
    os.environ["HF_HOME"] = str(work / "hf")
    import lm_eval
    import lm_eval.tasks
    from lm_eval.models.huggingface import HFLM
    from transformers import PreTrainedTokenizerFast

    write_tasks(work)
    run = dict(tasks=["gm_choices", "gm_texts"], task_manager=lm_eval.tasks.TaskManager(include_path=str(work)), log_samples=True,
               bootstrap_iters=0, batch_size=4)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    theirs = scores(lm_eval.simple_evaluate(model=HFLM(pretrained=common.transformers_model(folder), tokenizer=tokenizer, batch_size=4), **run))
    with server(gm_steer, "--model", folder, "--numerics", "f32") as where:
        ours = scores(lm_eval.simple_evaluate(
            model="local-completions", model_args=f"model=x,base_url={where}v1/completions,tokenizer={folder},num_concurrent=2", **run))
    worst = float(np.abs(ours[0] - theirs[0]).max()) if len(ours[0]) == len(theirs[0]) else float("nan")
    same = all(abs(ours[1][key] / theirs[1][key] - 1) < 1e-4 for key in theirs[1]) and ours[1].keys() == theirs[1].keys()
    print(f"lm-evaluation-harness {lm_eval.__version__}: {len(theirs[0])} log-likelihoods {worst:.2g} (bound {10 * LOG_P:g}), scores "
          f"{'the same' if same else 'OTHER'}: {', '.join(f'{key} {value:.4g}' for key, value in ours[1].items())}")
    return worst <= 10 * LOG_P and same and len(theirs[0]) == 40 * 4 + 40


def main():
    gm_steer = program(sys.argv[1], "gm-steer")
    if gm_steer is None:
        print("live_serve: skipped, gm-steer is not built", file=sys.stderr)
        return 77
    folder = common.REPO / "tests" / "golden" / "models" / MODEL
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        good = check_openai(gm_steer, folder, work)
        good = check_page(gm_steer, folder, work) and good
        folder = with_template(folder, work)
        good = check_chats(gm_steer, folder, work) and good
        return 0 if check_harness(gm_steer, folder, work) and good else 3


if __name__ == "__main__":
    sys.exit(main())
