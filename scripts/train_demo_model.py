#!/usr/bin/env python3
"""train_demo_model.py - trains the demo model (GigaChat's architecture at 13 M parameters) and exports it.

Needs torch, tokenizers, safetensors, numpy (PyPI), and scikit-learn for --evaluate. Runs on a CPU or a
CUDA GPU. Checkpoints are atomic; --resume continues from the last one. See notebooks-data/demo-model.

    train_demo_model.py --train pile-train.jsonl.zst --demo demo.jsonl.zst --work DIR --out DIR --minutes 90
"""
import argparse
import datetime
import os
import sys
import time

MEMORY = {"MALLOC_MMAP_THRESHOLD_": "4000000000", "MALLOC_TRIM_THRESHOLD_": "16000000000",
          "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1", "OMP_WAIT_POLICY": "passive"}


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--train", action="append", default=[], metavar="FILE", help="training texts, Pile form")
    p.add_argument("--heldout", action="append", default=[], metavar="FILE", help="held-out texts")
    p.add_argument("--demo", metavar="FILE", help="the demo corpus (--split all): its train half is trained "
                   "on, its test half held out")
    p.add_argument("--work", required=True, metavar="DIR", help="folder for tokens, tokenizer, checkpoint and log")
    p.add_argument("--out", metavar="DIR", help="where the finished model goes")
    p.add_argument("--early", metavar="DIR", help="where a loadable model is written at every checkpoint")
    p.add_argument("--minutes", type=float, help="budget in wall time")
    p.add_argument("--until", metavar="HH:MM", help="budget: finish by this time (UTC)")
    p.add_argument("--tokens", type=float, help="budget in tokens")
    p.add_argument("--device", default="cpu")
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--batch", type=int, default=8192, help="tokens per step")
    p.add_argument("--vocab", type=int, default=6144)
    p.add_argument("--checkpoint-minutes", type=float, default=4)
    p.add_argument("--resume", action="store_true")
    p.add_argument("--no-compile", action="store_true")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--evaluate", metavar="DIR", help="evaluate a model folder, print the numbers and stop")
    p.add_argument("--json", metavar="FILE", help="with --evaluate: also write the numbers to this file")
    p.add_argument("--steer", type=float, nargs="+", metavar="WEIGHT", help="with --evaluate: also try "
                   "steering towards the demo domains at these weights")
    return p.parse_args()


def prepare(args, data):
    """Tokenizer and token arrays in the work folder; made once."""
    from tokenizers import Tokenizer
    tok_path = os.path.join(args.work, "tokenizer.json")
    paths = [os.path.join(args.work, n + ".npz") for n in ("train", "test")]
    if not all(map(os.path.exists, [tok_path, *paths])):
        docs = data.load_split(args.train)
        docs.update(data.load_split([args.demo] if args.demo else [], "train"))
        held = data.load_split(args.heldout)
        held.update(data.load_split([args.demo] if args.demo else [], "test"))
        if not os.path.exists(tok_path):
            data.train_tokenizer(docs, args.vocab, tok_path)
        tok = Tokenizer.from_file(tok_path)
        data.save_tokens(paths[0], data.encode(tok, docs))
        data.save_tokens(paths[1], data.encode(tok, held))
    favoured = set(data.load_split([args.demo], "train")) if args.demo else set()
    return Tokenizer.from_file(tok_path), data.load_tokens(paths[0]), data.load_tokens(paths[1]), favoured


class Trainer:
    def __init__(self, args, torch, tokens, held, favoured):
        from demo_model import data, net, optim
        self.args, self.torch, self.optim, self.data = args, torch, optim, data
        torch.manual_seed(args.seed)
        self.cfg = net.Config(vocab=args.vocab)
        self.net = net.Net(self.cfg).to(args.device)
        self.opts = optim.make(self.net)
        self.sampler = data.Sampler(tokens, favoured, seed=args.seed)
        self.check = data.Sampler(held, favoured, seed=7).batch(128, 256)
        self.load = torch.full((self.cfg.layers - 1, self.cfg.experts), 1.0 / self.cfg.experts,
                               device=args.device)
        self.step, self.seen, self.spent = 0, 0, 0.0
        self.path = os.path.join(args.work, "checkpoint.pt")
        self.log_file = open(os.path.join(args.work, "train.log"), "a", buffering=1, encoding="utf-8")
        if args.resume and os.path.exists(self.path):
            self.restore()
        if not args.no_compile:
            self.net.compile_blocks()

    def say(self, text):
        line = f"{datetime.datetime.now(datetime.timezone.utc):%H:%M:%S} {text}"
        print(line, flush=True)
        self.log_file.write(line + "\n")

    def save(self):
        torch = self.torch
        state = dict(net=self.net.state_dict(), opts=[o.state_dict() for o in self.opts], load=self.load,
                     step=self.step, seen=self.seen, spent=self.spent, rng=self.sampler.rng,
                     queue=self.sampler.queue, torch_rng=torch.get_rng_state())
        torch.save(state, self.path + ".tmp")
        os.replace(self.path + ".tmp", self.path)

    def restore(self):
        s = self.torch.load(self.path, map_location=self.args.device, weights_only=False)
        self.net.load_state_dict(s["net"])
        for opt, state in zip(self.opts, s["opts"]):
            base = [g["base"] for g in opt.param_groups]
            opt.load_state_dict(state)
            for group, b in zip(opt.param_groups, base):
                group["base"] = b
        self.load, self.step, self.seen, self.spent = s["load"], s["step"], s["seen"], s["spent"]
        self.sampler.rng, self.sampler.queue = s["rng"], s["queue"]
        self.torch.set_rng_state(s["torch_rng"].cpu())
        self.say(f"resumed at step {self.step}, {self.seen / 1e6:.2f} M tokens")

    def pools(self, count, progress):
        """Half of the sequences, once experts have begun to form: 3 in 10 keep only their document's 8 to
        16 strongest experts, 2 in 10 are biased by their document's own log-ratio times .5 to 2.5."""
        torch = self.torch
        pool = torch.zeros(count, 2)
        if progress > 0.06:
            kind = torch.rand(count)
            pool[:, 0] = torch.where(kind < 0.3, torch.randint(8, 17, (count,)).float(), pool[:, 0])
            soft = (kind >= 0.3) & (kind < 0.5)
            pool[:, 1] = torch.where(soft, 0.5 + 2.0 * torch.rand(count), pool[:, 1])
        return pool.to(self.args.device)

    def train_step(self, progress):
        torch, cfg = self.torch, self.cfg
        length = 256 if progress < 0.6 else 512
        ids, targets, _ = self.sampler.batch(self.args.batch // length, length)
        ids = torch.from_numpy(ids).to(self.args.device)
        targets = torch.from_numpy(targets).to(self.args.device)
        warm = min(1.0, (self.step + 1) / 60)
        factor = warm * (1.0 if progress < 0.75 else max(0.02, (1 - progress) / 0.25))
        self.optim.schedule(self.opts, factor)
        balance = 1e-2 * 0.1 ** min(1.0, max(0.0, (progress - 0.15) / 0.6))
        loss, stats = self.net.loss(ids, targets, self.pools(len(ids), progress))
        total = loss
        keep = 0.75 if self.step > 4 else 0.3
        for i, (mean, load, z, _) in enumerate(stats):
            count = load.sum(0)
            self.load[i].lerp_(count / count.sum(), 1 - keep)
            total = total + balance * cfg.experts * (mean * self.load[i].clone()).sum() + 1e-4 * z
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 4.0)
        for opt in self.opts:
            opt.step()
        for p in self.net.parameters():
            p.grad = None
        self.step += 1
        self.seen += ids.numel()
        return loss.item()

    def heldout(self):
        """Free-routing loss on a fixed held-out sample, domains weighted as in training."""
        torch, total = self.torch, 0.0
        with torch.no_grad():
            for i in range(0, 128, 32):
                ids = torch.from_numpy(self.check[0][i:i + 32]).to(self.args.device)
                goal = torch.from_numpy(self.check[1][i:i + 32]).to(self.args.device)
                total += self.net.loss(ids, goal)[0].item() / 4
        return total

    def run(self, deadline, export):
        """Until the budget is used; deadline in seconds since the epoch or None."""
        args, start, before = self.args, time.time(), self.spent
        budget = before + deadline - start if deadline else None
        last, window = time.time(), []
        export()
        while True:
            self.spent = before + time.time() - start
            progress = max(self.spent / budget if budget else 0.0,
                           self.seen / args.tokens if args.tokens else 0.0)
            if progress >= 1:
                break
            window.append((time.time(), self.seen, self.train_step(progress)))
            if len(window) == 25:
                rate = (self.seen - window[0][1]) / (time.time() - window[0][0])
                mean = sum(w[2] for w in window) / 25
                peak = (self.load.max(1).values * self.cfg.experts).tolist()
                low = (self.load.min(1).values * self.cfg.experts).tolist()
                self.say(f"step {self.step} tokens {self.seen / 1e6:.2f}M {rate:.0f} tok/s loss {mean:.3f} "
                         f"progress {progress:.3f} load max {max(peak):.2f} min {min(low):.3f}")
                window = []
            if time.time() - last > args.checkpoint_minutes * 60 or self.step == 60:
                self.spent = before + time.time() - start
                self.save()
                export()
                self.say(f"checkpoint; held-out loss (free routing) {self.heldout():.4f}")
                last = time.time()
        self.save()
        self.say(f"finished: {self.seen} tokens, held-out loss {self.heldout():.4f}")


def deadline_of(args):
    if args.minutes:
        return time.time() + 60 * args.minutes
    if args.until:
        now = datetime.datetime.now(datetime.timezone.utc)
        hour, minute = map(int, args.until.split(":"))
        at = now.replace(hour=hour, minute=minute, second=0)
        return (at if at > now else at + datetime.timedelta(days=1)).timestamp()
    return None


def main():
    args = arguments()
    if os.environ.get("GLIBC_TUNABLES") != MEMORY["GLIBC_TUNABLES"]:
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **MEMORY})
    sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
    import torch
    from demo_model import data, export
    torch.set_num_threads(args.threads)
    if not args.evaluate and not (args.minutes or args.until or args.tokens):
        sys.exit("train_demo_model: give a budget: --minutes, --until or --tokens")
    os.makedirs(args.work, exist_ok=True)
    tok, tokens, held, favoured = prepare(args, data)
    if args.evaluate:
        from demo_model import evaluate
        evaluate.report(args, tok, held, favoured)
        return
    trainer = Trainer(args, torch, tokens, held, favoured)
    tok_path = os.path.join(args.work, "tokenizer.json")

    def early():
        if args.early:
            export.export(trainer.net, tok_path, args.early)

    trainer.run(deadline_of(args), early)
    early()
    if args.out:
        export.export(trainer.net, tok_path, args.out)


if __name__ == "__main__":
    main()
