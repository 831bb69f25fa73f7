# gm-probe stats: what a trace says of its experts, at every recording level; what is wrong.
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
make_trace

echo "-- tables:"
gm-probe stats t.h5 --top 1

echo "-- fewer tables, another seed:"
gm-probe stats t.h5 --top 0 --permutations 0 | head -n 2
gm-probe stats t.h5 --json > one.json
gm-probe stats t.h5 --json > two.json
gm-probe stats t.h5 --json --seed 2 > other.json
same one.json two.json "one seed twice"
same one.json other.json "two seeds"

echo "-- members:"
grep -o '"[a-z_0-9]*":' one.json | sort -u | tr -d '\n'; echo

echo "-- counts alone, one subset:"
gm-probe collect --model "$TINY" --corpus c.jsonl --min-tokens 20 --doc-tokens 100 --quiet \
    --record counts --subset-field none -o counts.h5 > /dev/null
gm-probe stats counts.h5

echo "-- what is wrong:"
run gm-probe stats
run gm-probe stats t.h5 counts.h5
run gm-probe stats absent.h5
run gm-probe stats c.jsonl
run gm-probe stats t.h5 --permutations -1
