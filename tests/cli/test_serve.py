#!/usr/bin/env python3
"""gm-steer serve: its texts are gm-steer generate's, whole and as a stream, steered or not; what is
wrong is refused with a sentence; who leaves is not waited for; a signal ends it."""
import contextlib
import http.client
import json
import math
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ["GM_BIN"])
TINY = SOURCE / "tests/golden/models/deepseek-tiny"
CHATML = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}" \
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
COMPLETIONS, CHATS = "/v1/completions", "/v1/chat/completions"


def make_atlas():
    script = f'. "{SOURCE}/tests/cli/tiny.sh"; rm -f t.h5 a.h5; make_atlas'
    subprocess.run(["bash", "-euc", script], check=True,
                   env=dict(os.environ, SRC=str(SOURCE), PATH=f"{BIN}:{os.environ['PATH']}"))


@contextlib.contextmanager
def server(*words, model=TINY):
    process = subprocess.Popen([BIN / "gm-steer", "serve", "--model", model, "--port", "0", "--threads", "2", *words],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    where = process.stdout.readline()
    assert where.startswith("listening at http://127.0.0."), (where, process.communicate())
    try:
        yield int(where.rstrip("/\n").rsplit(":", 1)[1]), process
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGINT)
        _, process.said = process.communicate(timeout=60)
        assert process.returncode == 0, process.said


def send(port, path, body=None, method=None, host="127.0.0.1", **headers):
    """Status, body."""
    connection = http.client.HTTPConnection(host, port, timeout=120)
    if body is not None:
        headers = {"Content-Type": "application/json", **headers}
        body = body if isinstance(body, bytes) else json.dumps(body)
    connection.request(method or ("GET" if body is None else "POST"), path, body, headers)
    reply = connection.getresponse()
    return reply.status, reply.read()


def ask(port, path=COMPLETIONS, **body):
    status, reply = send(port, path, body)
    assert status == 200, reply
    return json.loads(reply)


def events(port, path=COMPLETIONS, **body):
    status, reply = send(port, path, {"stream": True, **body})
    assert status == 200, reply
    *pieces, done, rest = (event for event in reply.decode().split("\n\n") if event != ":")  # said while it rests
    assert done == "data: [DONE]" and rest == "", reply
    return [json.loads(p.removeprefix("data: ")) for p in pieces]


def generate(*words):
    out = subprocess.run([BIN / "gm-steer", "generate", "--model", TINY, "--quiet", "--json", "--max-tokens", "12", *words],
                         check=True, capture_output=True).stdout
    return json.loads(out)["results"]


def texts_are_those_of_generate(port):
    steered = ["--atlas", "a.h5", "--cluster", "1", "--filter", "none", "--weight", "4"]
    drawn = ["--temperature", "0.9", "--seed", "5", "--top-k", "40"]
    prompts = ["--prompt", "salt onion", "--prompt", "a comet"]
    expected = [generate(*drawn, *prompts), generate(*steered, *drawn, *prompts)]
    steer = {"cluster": 1, "filter": "none", "weight": 4}
    body = dict(prompt=["salt onion", "a comet"], max_tokens=12, temperature=.9, seed=5, top_k=40, steer=[None, steer, {"plan": "p"}])
    choices = ask(port, **body)["choices"]
    assert [c["index"] for c in choices] == list(range(6))
    for choice in choices:
        want = expected[min(choice["index"] % 3, 1)][choice["index"] // 3]
        assert choice["text"] == want["text"] and choice["plan"] == choice["index"] % 3, (choice, want)
        assert choice["finish_reason"] == {"length": "length"}.get(want["end"], "stop")
        assert choice["plan"] == 0 or choice["important_share"] == want["important_share"]
    assert expected[0][0]["text"] != expected[1][0]["text"]
    whole = {i: "" for i in range(6)}
    *pieces, last = events(port, **body)
    for piece in pieces:
        whole[piece["choices"][0]["index"]] += piece["choices"][0]["text"]
    assert list(whole.values()) == [c["text"] for c in choices]
    assert [c["finish_reason"] for c in last["choices"]] == [c["finish_reason"] for c in choices]
    used = last["usage"]
    assert used["total_tokens"] == used["prompt_tokens"] + used["completion_tokens"] and used["completion_tokens"] <= 72


def draws_differ_and_stops_stop(port):
    choices = ask(port, prompt="salt", n=3, temperature=1.5, seed=1, max_tokens=12)["choices"]
    assert len({c["text"] for c in choices}) == 3
    word = choices[0]["text"][3:5]
    short = ask(port, prompt="salt", temperature=1.5, seed=1, max_tokens=12, stop=word)["choices"][0]
    assert short["text"] == choices[0]["text"].split(word)[0] and short["finish_reason"] == "stop"


def log_probabilities_are_those_of_the_text(port):
    """Greedy tokens are the likeliest; what was written reads the same when it is given."""
    body = dict(prompt=[5, 16, 27, 38], temperature=0, logprobs=3, steer={"cluster": 2, "filter": "none"})
    written = ask(port, max_tokens=6, **body)["choices"][0]["logprobs"]
    assert len(written["tokens"]) == len(written["token_ids"]) == 6
    for log_p, top in zip(written["token_logprobs"], written["top_logprobs"]):
        assert log_p == max(top.values()) and len(top) <= 4 and sum(map(math.exp, top.values())) < 1.000001
    body["prompt"] += written["token_ids"]
    for most in (0, 1):  # nothing more, and as lm-evaluation-harness asks
        read = ask(port, max_tokens=most, echo=True, **body)["choices"][0]["logprobs"]
        assert read["token_logprobs"][0] is None and read["top_logprobs"][0] is None
        assert read["token_logprobs"][4:10] == written["token_logprobs"], (read, written)
        assert read["token_ids"][:10] == body["prompt"] and len(read["tokens"]) == 10 + most
    nul = ask(port, prompt="a\0", max_tokens=0, echo=True, logprobs=0)["choices"][0]["logprobs"]
    assert list(nul["top_logprobs"][-1]) == nul["tokens"][-1:] == ["bytes:\\x00"], nul
    said = ask(port, prompt="salt", echo=True, max_tokens=3)["choices"][0]
    assert said["text"].startswith("salt") and said["logprobs"] is None
    body = dict(prompt=["salt", "a comet"], temperature=1, seed=3, logprobs=2, max_tokens=6, steer=[None, {"cluster": 1}])
    *pieces, last = events(port, **body)
    assert [c["logprobs"] for c in last["choices"]] == [c["logprobs"] for c in ask(port, **body)["choices"]]
    assert all("logprobs" not in piece["choices"][0] for piece in pieces)


def what_is_wrong_is_refused(port):
    for body, code, part in (
            (b"{", 400, "request"), (b"\xff", 400, "request"), ({}, 400, "'prompt' is missing"),
            ({"prompt": "a", "steer": {"cluster": 99}}, 400, "99"), ({"prompt": "a", "steer": {"plan": "x"}}, 400, "no plan 'x'"),
            ({"prompt": "a", "steer": {"subset": "x"}}, 400, "'x'"), ({"prompt": "a " * 300}, 400, "shorten the prompt or generate fewer"),
            ({"prompt": "a", "steer": {"expert": "9:1=1"}}, 400, "9"), ({"prompt": "a", "tools": []}, 400, "'tools'"),
            ({"prompt": "a", "steer": {"plan": "../p"}}, 400, "no plan"), (b" " * (17 << 20), 413, "16 MiB")):
        status, reply = send(port, COMPLETIONS, body)
        assert status == code and part in json.loads(reply)["error"]["message"], (body, status, reply)
    question = {"messages": [{"role": "user", "content": "a"}]}
    status, reply = send(port, CHATS, question)
    assert status == 400 and b"template" in reply, reply  # this model has none
    assert send(port, "/x")[0] == 404 and send(port, "/about", Host="evil.example:80")[0] == 403
    for path, method, allowed in ((COMPLETIONS, "GET", "POST"), (CHATS, "OPTIONS", "POST"), ("/", "POST", "GET, HEAD"), ("/about", "PUT", "GET, HEAD")):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        connection.request(method, path, b"{}" if method == "POST" else None)
        reply = connection.getresponse()
        assert reply.status == 405 and reply.headers["Allow"] == allowed, (path, method, reply.headers.items())
        assert allowed in json.loads(reply.read())["error"]["message"]
    assert send(port, COMPLETIONS, b'{"prompt": "a"}', **{"Content-Type": "text/plain"})[0] == 415
    assert send(port, "/about", Host="localhost:1")[0] == 200
    assert send(port, "/", method="HEAD") == (200, b"")


def the_page_and_what_it_asks(port):
    for path, kind in (("/", b"<!doctype html>"), ("/serve.css", b"/* every_page.css"), ("/serve.js", b"(() => {")):
        status, text = send(port, path)
        assert status == 200 and text.startswith(kind), path
    about = json.loads(send(port, "/about")[1])
    assert about["experts"] == 12 and about["plans"] == ["p"] and len(about["clusters"]) >= 2
    assert about["clusters"][0]["keywords"] and sorted(about["subsets"]) == ["ships", "soup", "stars"]
    assert about["plan_files"] == ["p.plan.safetensors"] and about["options"] == {}
    assert json.loads(send(port, "/v1/models")[1])["data"][0]["id"] == "deepseek-tiny"


def what_is_too_long_is_found_before_it_is_copied(port, process):
    """1,024 times 200,000 ids would be 800 MB."""
    def most_mb():
        said = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        return int(said.split("VmHWM:")[1].split()[0]) / 1000

    before = most_mb()
    status, reply = send(port, COMPLETIONS, {"prompt": [5] * 200000, "n": 1024, "max_tokens": 1})
    assert status == 400 and b"prompt 1 has 200000 tokens" in reply and most_mb() < before + 400, (reply, before, most_mb())


def who_leaves_is_not_waited_for(port):
    """Many long texts, and nobody who reads them: the next request does not wait for their end."""
    body = json.dumps({"prompt": ["salt"] * 500, "max_tokens": 240, "stream": True}).encode()
    gone = socket.create_connection(("127.0.0.1", port))
    gone.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                 b"Content-Length: %d\r\n\r\n" % len(body) + body)
    gone.recv(1)
    gone.close()
    assert ask(port, prompt="salt", max_tokens=2)["usage"]["completion_tokens"] == 2


def connections_that_ask_nothing_give_way(port):
    """As many as there may be, half of them in the middle of a head: others are closed at once, but for seconds only."""
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(256)]
    for s in idle[::2]:
        s.sendall(b"GET /about HTTP/1.1\r\n")
    began, answered = time.monotonic(), False
    while not answered and time.monotonic() - began < 20:
        with contextlib.suppress(ConnectionError):
            answered = send(port, "/about")[0] == 200
        time.sleep(.2)
    assert answered
    for s in idle:
        s.close()


def who_waits_for_long_is_answered(port):
    """Behind a stream that nobody reads, and longer than a connection may ask nothing."""
    body = json.dumps({"prompt": ["salt"] * 500, "max_tokens": 240, "stream": True}).encode()
    long = socket.create_connection(("127.0.0.1", port))
    long.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                 b"Content-Length: %d\r\n\r\n" % len(body) + body)
    long.recv(1)
    results = []
    threads = [threading.Thread(target=lambda s=s: results.append(send(port, COMPLETIONS, {"prompt": "salt", "max_tokens": 2, "stream": s})[0]))
               for s in (False, True)]
    for t in threads:
        t.start()
    time.sleep(7)
    long.close()
    for t in threads:
        t.join()
    assert results == [200, 200], results


def several_at_once(port):
    alone = [ask(port, prompt=f"salt {i}", max_tokens=8, seed=i, temperature=1)["choices"] for i in range(8)]
    together = [None] * 8

    def one(i):
        together[i] = ask(port, prompt=f"salt {i}", max_tokens=8, seed=i, temperature=1)["choices"]
    threads = [threading.Thread(target=one, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert together == alone


def as_many_as_may_wait_are_answered_or_told(port):
    """Of 100 at once some are too many: a sentence, not a connection that breaks."""
    replies = []
    threads = [threading.Thread(target=lambda: replies.append(send(port, COMPLETIONS, {"prompt": ["salt"] * 8, "max_tokens": 20})))
               for _ in range(100)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(replies) == 100 and {status for status, _ in replies} <= {200, 503}, replies
    assert all(b"64 requests are already waiting" in text for status, text in replies if status == 503)


def a_signal_ends_what_is_being_written():
    with server() as (port, process):
        result = []
        thread = threading.Thread(target=lambda: result.append(
            send(port, COMPLETIONS, {"prompt": ["salt"] * 1000, "max_tokens": 240})))
        thread.start()
        time.sleep(.3)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        thread.join()
        assert result[0][0] in (200, 503), result
        process.poll = lambda: None


def a_chat_is_the_question_in_its_template():
    folder = pathlib.Path("chat-model")
    folder.mkdir(exist_ok=True)
    for file in TINY.iterdir():
        (folder / file.name).unlink(missing_ok=True)
        (folder / file.name).symlink_to(file)
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": CHATML, "eos_token": "<|im_end|>"}))
    question = ["--model", folder, "--chat", "--prompt", "salt?"]
    messages = [{"role": "user", "content": "salt?"}]
    want = [generate(*question), generate(*question, "--system", "Be brief.")]
    assert want[0][0]["prompt_ids"] != want[1][0]["prompt_ids"]
    with server("--max-tokens", "12", model=folder) as (port, _):
        assert json.loads(send(port, "/about")[1])["chat"]
        for expected, before in zip(want, ([], [{"role": "system", "content": "Be brief."}])):
            reply = ask(port, CHATS, messages=before + messages)
            assert reply["choices"][0]["message"] == {"role": "assistant", "content": expected[0]["text"]}, (reply, expected)
            assert reply["usage"]["prompt_tokens"] == len(expected[0]["prompt_ids"]) and reply["object"] == "chat.completion"
            first, *pieces, last = events(port, CHATS, messages=before + messages)
            assert first["choices"] == [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]
            assert "".join(p["choices"][0]["delta"]["content"] for p in pieces) == expected[0]["text"]
            assert last["choices"][0]["delta"] == {} and last["object"] == "chat.completion.chunk"
        their_log_probabilities_are_those_of_completions(port, messages)
        turns = [*messages, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "More?"}]
        longer = ask(port, CHATS, messages=turns)
        assert longer["usage"]["prompt_tokens"] > len(want[0][0]["prompt_ids"]) + len("assistant"), longer
        assert send(port, CHATS, {"messages": turns[:2]})[0] == 400


def their_log_probabilities_are_those_of_completions(port, messages):
    """The same tokens as a completion of the same ids, in a chat's shape, whole and at the end of a stream."""
    asked = dict(messages=messages, logprobs=True, top_logprobs=2, temperature=1, seed=4, max_tokens=8)
    reply = ask(port, CHATS, **asked)["choices"][0]["logprobs"]
    *_, last = events(port, CHATS, **asked)
    assert last["choices"][0]["logprobs"] == reply and len(reply["content"]) == len(reply["token_ids"]) == 8
    before = generate("--model", "chat-model", "--chat", "--prompt", messages[0]["content"])[0]["prompt_ids"]
    read = ask(port, prompt=before + reply["token_ids"], echo=True, max_tokens=0, logprobs=2)["choices"][0]["logprobs"]
    for token, word, log_p, top in zip(reply["content"], *(read[key][len(before):] for key in ("tokens", "token_logprobs", "top_logprobs"))):
        assert (token["token"], token["logprob"]) == (word, log_p), (token, word, log_p)
        assert {t["token"]: t["logprob"] for t in token["top_logprobs"]}.items() <= top.items() and len(token["top_logprobs"]) == 2
        assert [t["logprob"] for t in token["top_logprobs"]] == sorted(top.values(), reverse=True)[:2]
        for said in (token, *token["top_logprobs"]):
            assert said["token"] == bytes(said["bytes"]).decode(errors="replace") or said["token"] == "bytes:" + "".join(f"\\x{b:02x}" for b in said["bytes"])
    assert ask(port, CHATS, messages=messages, logprobs=True)["choices"][0]["logprobs"]["content"][0]["top_logprobs"] == []
    assert ask(port, CHATS, messages=messages)["choices"][0]["logprobs"] is None


def the_command_line_is_for_requests_that_say_nothing():
    steered = ["--atlas", "a.h5", "--cluster", "1", "--filter", "none", "--weight", "4"]
    want = generate(*steered, "--prompt", "salt onion")[0]["text"]
    said = ["--top-k", "40", "--repetition-penalty", "1.1", "--numerics", "f32", "--ignore-eos", "--stop", "\n\n"]
    with server("--address", "127.0.0.2", *said) as (port, _):  # of this machine, and by that name
        assert send(port, "/about", host="127.0.0.2")[0] == 200 and send(port, "/about", host="127.0.0.2", Host="127.0.0.3")[0] == 403
        assert json.loads(send(port, "/about", host="127.0.0.2")[1])["options"] == {
            "numerics": "f32", "top-k": 40, "repetition-penalty": 1.1, "ignore-eos": True, "stop": ["\n\n"]}
    with server(*steered, "--max-tokens", "12", "--quiet") as (port, process):
        assert ask(port, prompt="salt onion")["choices"][0]["text"] == want
        assert ask(port, prompt="salt onion", steer=None)["choices"][0]["text"] != want
    assert process.said == ""


def what_cannot_begin_says_so():
    for words, code, part in ((["--address", "home"], 1, "not a numeric address"), (["--plan", "p.plan.safetensors", "--plan", "q/p.safetensors"], 1, "both be called 'p'"),
                              (["--port", "70000"], 2, "port"), (["--plan", "absent.safetensors"], 1, "absent")):
        done = subprocess.run([BIN / "gm-steer", "serve", "--model", TINY, *words], capture_output=True, text=True, timeout=60)
        assert done.returncode == code and part in done.stderr, (words, done)
    with server("--quiet") as (port, _):
        done = subprocess.run([BIN / "gm-steer", "serve", "--model", TINY, "--port", str(port)], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and f"port {port}" in done.stderr, done


def main():
    make_atlas()
    subprocess.run([BIN / "gm-steer", "plan", "--atlas", "a.h5", "--cluster", "1", "--filter", "none", "--weight", "4",
                    "-o", "p.plan.safetensors", "--force"], check=True, stdout=subprocess.DEVNULL)
    with server("--atlas", "a.h5", "--plan", "p.plan.safetensors") as (port, process):
        texts_are_those_of_generate(port)
        draws_differ_and_stops_stop(port)
        log_probabilities_are_those_of_the_text(port)
        what_is_wrong_is_refused(port)
        what_is_too_long_is_found_before_it_is_copied(port, process)
        the_page_and_what_it_asks(port)
        who_leaves_is_not_waited_for(port)
        connections_that_ask_nothing_give_way(port)
        who_waits_for_long_is_answered(port)
        several_at_once(port)
        as_many_as_may_wait_are_answered_or_told(port)
    assert "request 1: 6 texts" in process.said and "nobody waits" in process.said, process.said
    a_signal_ends_what_is_being_written()
    a_chat_is_the_question_in_its_template()
    the_command_line_is_for_requests_that_say_nothing()
    what_cannot_begin_says_so()


main()
