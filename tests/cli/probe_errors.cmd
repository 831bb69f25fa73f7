# What gm-probe says to bad input, and with which exit code.
M=$SRC/notebooks-data/demo-model
[ -e "$M/config.json" ] || { echo "no demo model" >&2; exit 77; }
run() { "$@"; echo "exit $?"; }
run gm-probe collect
run gm-probe collect --model "$M" a.jsonl b.jsonl -o t.h5
run gm-probe collect --model "$M" --corpus a.jsonl -o t.h5 --record most
run gm-probe collect --model "$M" --corpus a.jsonl -o t.h5 --sample 3 --per-subset 2
run gm-probe collect --model "$M" --corpus a.jsonl -o t.h5 --shard 4/4
run gm-probe collect --model absent --corpus a.jsonl -o t.h5 --quiet
: > empty.jsonl
run gm-probe collect --model "$M" --corpus empty.jsonl -o t.h5 --quiet
echo text > t.h5
run gm-probe collect --model "$M" --corpus empty.jsonl -o t.h5 --quiet
run gm-probe info t.h5
mkdir folder
run gm-probe info folder
mkdir folder/snapshots
run gm-probe info folder
run gm-probe verify absent.h5
echo '{"txt": "x"}' > fields.jsonl
run gm-probe collect --model "$M" --corpus fields.jsonl -o u.h5 --quiet
run gm-probe collect --model --corpus fields.jsonl -o u.h5
run gm-probe merge -o x.h5
run gm-probe collect --max-tokens 9
run gm-probe collect --model "$M" --corpus fields.jsonl -o u.h5 --kernels fast --quiet
