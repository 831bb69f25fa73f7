# gm-probe contrast --against-trace: the same texts in two traces; its table as a plan; what is wrong.
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
make_trace
collect() { gm-probe collect --model "$TINY" --min-tokens 20 --quiet --record counts "$@" > /dev/null; }
tac c.jsonl | head -n 50 > later.jsonl # the last fifty, in another order, and one twice
tail -n 1 later.jsonl >> later.jsonl
echo '{"text": "this text about rigging, deck and compass, salt, broth and butter is in the second trace alone"}' >> later.jsonl

echo "-- under a plan, and other documents:"
gm-steer plan --model "$TINY" --expert 2:3=2 --expert 3:7=-inf -o p.plan.safetensors > /dev/null
collect --corpus later.jsonl --plan p.plan.safetensors --doc-tokens 100 -o p.h5
gm-probe contrast p.h5 --against-trace t.h5 --top 3 -o p.csv
gm-probe contrast p.h5 --against-trace t.h5 --top 1 --subset soup --permutations 0
gm-probe contrast t.h5 --against-trace p.h5 --top 1 | head -n 2

echo "-- fewer tokens of each text, counts alone:"
collect --corpus c.jsonl --doc-tokens 30 -o short.h5
gm-probe contrast short.h5 --against-trace t.h5 --top 1
gm-probe contrast short.h5 --against-trace t.h5 --json > one.json
gm-probe contrast short.h5 --against-trace t.h5 --json > two.json
same one.json two.json "one seed twice"
sed 's/"experts".*/"experts"/' one.json | grep -o '"[a-z_]*":[^,[]*' | tr -s ' \n' ' '; echo

echo "-- against itself:"
gm-probe contrast t.h5 --against-trace t.h5 --top 1

echo "-- the change as a plan:"
gm-steer plan --model "$TINY" --import p.csv -o change.plan.safetensors | head -n 5

echo "-- another model of the same shape; few pairs:"
copy_model other
for file in other/*-of-*; do tail -c 2048 "$file" | head -c 1024 | dd of="$file" bs=1 conv=notrunc seek=$(($(wc -c < "$file") - 1024)) 2> /dev/null; done
head -n 3 c.jsonl > three.jsonl
gm-probe collect --model other --corpus three.jsonl --min-tokens 20 --doc-tokens 100 --quiet -o other.h5 > /dev/null
gm-probe contrast other.h5 --against-trace t.h5 --top 0 | head -n 3

echo "-- what is wrong:"
make_corpus 7 > else.jsonl
collect --corpus else.jsonl -o else.h5
run gm-probe contrast else.h5 --against-trace t.h5
run gm-probe contrast t.h5 --against-trace else.h5 --subset soup
gm-probe collect --model "$SRC/tests/golden/models/olmoe-tiny" --corpus c.jsonl --min-tokens 20 --quiet -o olmoe.h5 > /dev/null
run gm-probe contrast t.h5 --against-trace olmoe.h5
run gm-probe contrast t.h5 --against-trace absent.h5
run gm-probe contrast t.h5 --against-trace t.h5 --subset soup --against ships
run gm-probe contrast t.h5 --against-trace t.h5 --subset soup --paired next

echo "-- a trace that does not say which model it is of:"
gm-probe export olmoe.h5 --gates --texts -o olmoe.jsonl --quiet > /dev/null
gm-probe import olmoe.jsonl --experts 16 -o unsaid.h5 --quiet > /dev/null
gm-probe contrast olmoe.h5 --against-trace unsaid.h5 --json | grep -o '"models_differ":[a-z]*'
gm-probe contrast unsaid.h5 --against-trace unsaid.h5 --top 0 --permutations 0 | head -n 1
