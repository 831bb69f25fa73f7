# gm-probe lens: what experts write; scores recomputed from the array and the weights; the same bytes always; what is refused.
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
make_corpus > c.jsonl
TEXTS="--corpus c.jsonl --min-tokens 20 --doc-tokens 100"
lens() { gm-probe lens --model "$TINY" $TEXTS --quiet "$@"; }

echo "-- a few experts:"
lens --experts 2:1,3:3
echo "-- all of them, the same for other threads and steps, streamed, and beside fewer:"
lens -o all.csv --vectors all.npy --json > all.json
head -n 1 all.csv
wc -l < all.csv
ls ./*.part |& sed 's/.*: \(.*\): /\1: /'
lens -o s.csv --vectors s.npy --threads 1 --step-tokens 64 --stream > /dev/null
same all.csv s.csv table
same all.npy s.npy array
lens --layer 2 -o s.csv --force > /dev/null
{ head -n 1 all.csv; grep ^2, all.csv; } | cmp - s.csv && echo "layer 2: same"

echo "-- by hand:"
cat > by_hand.py <<'PYTHON'
import ast, json, os, struct, sys

folder = os.environ["SRC"] + "/tests/golden/models/deepseek-tiny/"

def tensor(name):  # f16
    file = open(folder + json.load(open(folder + "model.safetensors.index.json"))["weight_map"][name], "rb").read()
    n = struct.unpack("<Q", file[:8])[0]
    about = json.loads(file[8 : 8 + n])[name]
    first, end = about["data_offsets"]
    values = struct.unpack(f"<{(end - first) // 2}e", file[8 + n + first : 8 + n + end])
    return [values[i : i + about["shape"][-1]] for i in range(0, len(values), about["shape"][-1])]

array = open("all.npy", "rb").read()
front = 10 + struct.unpack("<H", array[8:10])[0]
L, E, D = ast.literal_eval(array[10:front].decode())["shape"]
c = struct.unpack(f"<{L * E * D}f", array[front:])
said, every = json.load(open(sys.argv[1])), sys.argv[2:] == ["every"]
head, (weight,) = tensor("lm_head.weight"), tensor("model.norm.weight")
tokenizer = json.load(open(folder + "tokenizer.json"))
spelt = {*tokenizer["model"]["vocab"].values(), *(t["id"] for t in tokenizer["added_tokens"])}
seen = {id for line in open("ids") for id in json.loads(line)[1:]}  # without <s>
dot = lambda a, b: sum(x * y for x, y in zip(a, b))
worst = 0
for l in range(L):
    experts = said["experts"][l * E : (l + 1) * E]
    mean = [c[(l * E + e) * D : (l * E + e + 1) * D] for e in range(E)]
    n = [x["tokens"] for x in experts]
    assert sum(n) == 3 * said["tokens"] and said["bad"] == 0
    middle = [0 if said["plain"] else sum(n[e] * mean[e][i] for e in range(E) if n[e]) / sum(n) for i in range(D)]
    v = [[mean[e][i] - middle[i] for i in range(D)] if n[e] else None for e in range(E)]
    for e, x in enumerate(experts):
        if n[e] == 0:
            assert x["promotes"] == [] and x["nearest"] is None
            continue
        scores = {u: dot(head[u], [w * y for w, y in zip(weight, v[e])]) / said["sigma"] for u in sorted(spelt if every else seen)}
        scores = {u: s - sum(scores.values()) / len(scores) for u, s in scores.items()}
        for key, sign in (("promotes", 1), ("suppresses", -1)):
            best = sorted((sign * s for s in scores.values()), reverse=True)
            for place, token in enumerate(x[key]):
                worst = max(worst, abs(token["nats"] - scores[token["id"]]), abs(sign * token["nats"] - best[place]))
        near = max(dot(v[e], v[i]) / (dot(v[e], v[e]) * dot(v[i], v[i])) ** 0.5 for i in range(E) if i != e and n[i])
        worst = max(worst, abs(near - x["nearest_cosine"]))
largest = max(abs(t["nats"]) for x in said["experts"] for t in x["promotes"])
print(len(said["experts"]), "experts", "same" if worst <= 1e-5 * max(1, largest) and largest > 0.01 else f"differ by {worst}")
PYTHON
gm-probe tokenize --model "$TINY" c.jsonl > ids
lens --numerics f32 --vectors all.npy --json --force > all.json && python3 by_hand.py all.json
lens --numerics f32 --plain --all-tokens --json > plain.json && python3 by_hand.py plain.json every

echo "-- one document is one half:"
head -n 1 c.jsonl > one.jsonl
gm-probe lens --model "$TINY" --corpus one.jsonl --min-tokens 20 --quiet --experts 2:3 -o one.csv | sed -n '5,6p'
sed -n 2p one.csv | cut -d , -f 1-3,9,10

echo "-- a run that is stopped leaves nothing:"
for _ in {1..100}; do cat c.jsonl; done > long.jsonl
gm-probe lens --model "$TINY" --corpus long.jsonl --min-tokens 20 --quiet -o stopped.csv &
until [ -e stopped.csv.part ]; do sleep 0.02; done
kill -INT $!
wait $!
echo "exit $?"
ls stopped.csv* |& sed 's/.*: \(.*\): /\1: /'

echo "-- what is wrong:"
run lens --experts 2:12
run lens --experts 2:1+2:3
run lens --layer 7
run lens --layer two
run lens --layer 2 --experts all
run lens -o all.csv
run lens -o same --vectors same
run lens --vectors none/a.npy
run gm-probe lens --model "$SRC/tests/golden/models/gemma4-tiny" $TEXTS --quiet -o wrong.csv
ls wrong.csv wrong.csv.part |& sed 's/.*: \(.*\): /\1: /'
run gm-probe lens --corpus c.jsonl
