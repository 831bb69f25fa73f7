# gm-bench on a tiny model: every figure is there and is a positive number (greedy: a temperature of 0); what it refuses.
# label: slow
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
small="--context 1 --context 40 --step 64 --document 32 --repeats 1 --pairs 2 --tokens 2 --memory 4"
run gm-bench speed --model "$TINY" $small
gm-bench speed --model "$TINY" $small --json > speed.json
gm-bench speed --model "$TINY" $small --numerics int8 --json > int8.json
gm-bench speed --model "$TINY" $small --noise --json > noise.json
gm-bench serve --model "$TINY" --requests 5 --at-once 2 --prompt 6 --output 4 --json > serve.json
gm-bench ceilings --rows 16 --outputs 64 --inputs 64 --memory 4 --json > ceilings.json
python3 - speed.json int8.json noise.json serve.json ceilings.json <<'CHECK'
import json, sys
for name in sys.argv[1:]:
    def numbers(at, key):
        if isinstance(at, dict):
            for k, v in at.items():
                yield from numbers(v, k)
        elif isinstance(at, list):
            for v in at:
                yield from numbers(v, key)
        elif not isinstance(at, str):
            yield key, at
    found = list(numbers(json.load(open(name)), None))
    bad = [k for k, v in found if not (v is None and k.startswith("prefill") or v is not None and v > 0)]
    print(name, len(found), "numbers, not positive:", bad)
CHECK
# Twice the document: in the full layer 10 positions more a token, of a window of 20 five in each of two.
operations() { gm-bench speed --model "$SRC/tests/golden/models/$1" --document "$2" --step 64 --repeats 0 \
    --context 1 --pairs 1 --tokens 1 --memory 4 --json | grep -o '"gflop_per_token":[^,]*' | cut -d: -f2; }
echo "$(operations gptoss-tiny 40) $(operations gptoss-tiny 20)" |
    awk '{ printf "attention to 20 tokens more: %.0f operations a token, expected %d\n", ($1 - $2) * 1e9, 4 * 6 * 12 * (10 + 2 * 5) }'
# Here one layer of three attends; the others have states, as large for every document.
echo "$(operations qwen3-next-tiny 40) $(operations qwen3-next-tiny 20)" |
    awk '{ printf "beside states: %.0f, expected %d\n", ($1 - $2) * 1e9, 4 * 4 * 12 * 10 }'
run gm-bench speed
run gm-bench speed --model "$TINY" 4
run gm-bench serve --model "$TINY" 4
run gm-bench ceilings 4
run gm-bench speed --shape olmoe
run gm-bench speed --model "$TINY" --layers 3
run gm-bench speed --shape olmoe-1b-7b --map
run gm-bench serve --shape olmoe-1b-7b --cache write
run gm-bench speed --model "$TINY" --context 5 --context 3
run gm-bench speed --model "$TINY" --document 9 --step 8
run gm-bench speed --model "$TINY" --top-p 0.9
run gm-bench speed --model "$TINY" --device cpu --costs --json
run gm-bench serve --model nowhere
run gm-bench serve --model "$TINY" --requests 1 --prompt 100000 --json
# Of one prompt token and one or two more: the time between tokens is that of the requests with two.
gm-bench serve --model "$TINY" --requests 400 --prompt 1 --output 1 --json > short.json
python3 -c 'import json; r = json.load(open("short.json"))
two = r["output_tokens"] - r["requests"]  # requests of two tokens
left = r["seconds"] - r["requests"] * r["first_token_s"]
print("all of the rest is between tokens:", 0.7 < r["next_token_s"] * two / left <= 1)'
run gm-bench ceilings --kernels fast
