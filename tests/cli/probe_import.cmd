# gm-probe import: what it says, and what it refuses. What is in the trace: test_import.py; lines: unit.imported.
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
line() { printf '{"token_ids":[7,9],"routed_experts":%s%s}\n' "$1" "${2:-}"; }
two='[[[1,0],[2,3]],[[3,1],[0,2]]]'
import() { gm-probe import "$@" --quiet; }

echo "-- two files, one of them compressed:"
for i in 1 2 3; do line "$two" ",\"text\":\"soup $i\",\"subset\":$i"; done > a.jsonl
line "$two" ',"text":"salt"' | zstd -q > b.jsonl.zst
run import a.jsonl b.jsonl.zst --experts 4 --name "a model" -o t.h5
gm-probe info t.h5 | grep -e '^model' -e '^gates' -e '^margins' -e '^documents' -e '^options' -e '^device'
gm-probe stats t.h5 --quiet | head -n 3

echo "-- two runs are no shards of one; they are joined as lines:"
make_trace whole.h5 && mv c.jsonl both.jsonl
head -n 25 both.jsonl > one.jsonl
tail -n +26 both.jsonl > two.jsonl
for half in one two; do
    gm-probe collect --model "$TINY" --corpus $half.jsonl --min-tokens 20 --doc-tokens 100 -o $half.h5 --quiet > /dev/null
    gm-probe export $half.h5 --gates --texts -o $half.lines.jsonl --quiet
done
run gm-probe merge one.h5 two.h5 -o no.h5
run import one.lines.jsonl two.lines.jsonl --model "$TINY" -o joined.h5
for array in counts expert_id gate margin; do
    for trace in whole joined; do gm-probe export $trace.h5 --array $array -o $trace.npy --force --quiet > /dev/null; done
    same whole.npy joined.npy $array
done

echo "-- texts in all lines or in none:"
line "$two" > c.jsonl
run import a.jsonl c.jsonl --experts 4 -o no.h5
run import c.jsonl a.jsonl --experts 4 -o none.h5
run import a.jsonl c.jsonl --experts 4 --no-text -o none.h5
run import a.jsonl c.jsonl --experts 4 --no-text --force -o none.h5

echo "-- what is wrong with the command:"
run import
run import a.jsonl --experts 4
run import a.jsonl -o no.h5
run import a.jsonl --model "$TINY" --experts 4 -o no.h5
run import a.jsonl --experts 1 -o no.h5
run import a.jsonl --experts 4 --layers 3-2 -o no.h5
run import a.jsonl --experts 4 --layers 1-3 -o no.h5
run import a.jsonl --model "$TINY" -o no.h5 |& sed "s|'[^']*/deepseek-tiny'|'TINY'|"
run import a.jsonl --experts 4 -o missing/no.h5
run import missing.jsonl --experts 4 -o no.h5
run import a.jsonl --experts 4 --record choices --subset-field none -o s.h5

echo "-- what is wrong with a line:"
echo '{"n_tokens":1,"counts":[[1,1,0,0]]}' > n.jsonl
run import n.jsonl --experts 4 --record choices -o no.h5
run import a.jsonl n.jsonl --experts 4 --no-text -o no.h5
echo '{"n_tokens":1,"counts":[[1,1,0,0],[0,0,1,1]]}' > n.jsonl
run import n.jsonl a.jsonl --experts 4 --no-text -o no.h5
run import n.jsonl a.jsonl --experts 4 --no-text --record counts -o counts.h5
line "$two" ',"topk_mass":[[1,1],[1,1]],"margin":[[1,1],[1,1]]' > m.jsonl
run import a.jsonl m.jsonl --experts 4 --no-text -o no.h5
: > empty.jsonl
run import empty.jsonl --experts 4 -o no.h5
echo '[1]' > list.jsonl
run import list.jsonl --experts 4 -o no.h5
(cat a.jsonl; echo '{"text":') > cut.jsonl
run import cut.jsonl --experts 4 -o no.h5
mkdir texts && echo soup > texts/a.txt
run import texts --experts 4 -o no.h5
printf '{"token_ids":[1],"routed_experts":[[%s[0]]]}' "$(printf '[0],%.0s' {1..10000})" > deep.jsonl
run import deep.jsonl --experts 4 -o no.h5
ls no.h5* 2>&1

echo "-- a killed import left blocks:"
mkdir -p k.h5.parts && cp t.h5 k.h5.parts/000000.h5
run import a.jsonl --experts 4 -o k.h5
ls k.h5.parts/*.h5
run import a.jsonl --experts 4 -o k.h5 --force
ls -d k.h5*
