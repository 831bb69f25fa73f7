# Words of most documents, as the small words of a language without a stop list are, left out by --max-df; a recut keeps to it.
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
make_corpus | sed 's/\([a-z]\+\) \([a-z]\+\) /\1 und die und \2 /g' > und.jsonl
gm-probe collect --model "$TINY" --corpus und.jsonl --min-tokens 20 -o t.h5 --quiet > /dev/null
fit() { gm-cluster fit t.h5 -o "$1" --min-cluster-size 5 --quality none --quiet "${@:2}" > /dev/null; }
count() { gm-cluster show "$1" --json | grep -o '"keywords":\["[^]]*' | grep -ow 'und\|die' | wc -l; }
fit a.h5
count a.h5
fit b.h5 --max-df 0.9
count b.h5
gm-cluster recut b.h5 -o c.h5 --min-cluster-size 6 --quiet > /dev/null
count c.h5
gm-cluster show c.h5 --json | grep -o '"max_df":[0-9.]*'
gm-cluster fit t.h5 -o d.h5 --max-df 1 || echo "$?"
