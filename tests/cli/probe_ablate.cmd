# gm-probe ablate: experts taken out one by one; the same as by a plan, collect and stats; how it goes on; what is refused.
# label: slow
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
make_atlas
TEXTS="--model $TINY --corpus c.jsonl --min-tokens 20 --doc-tokens 100"
ablate() { gm-probe ablate $TEXTS --quiet "$@"; }

echo "-- by hand it is the same, to the last digit:"
gm-probe collect $TEXTS --nll --quiet -o plain.h5 > /dev/null
for out in "2:1" "2:1 2:4" "1:3"; do
    # shellcheck disable=SC2046,SC2086
    gm-steer plan --model "$TINY" $(printf -- '--expert %s=-inf ' $out) -o out.plan.safetensors --force > /dev/null
    gm-probe collect $TEXTS --nll --plan out.plan.safetensors --quiet -o out.h5 --force > /dev/null
    gm-probe stats plain.h5 --against out.h5 --json --quiet > stats.json
    ablate --experts "${out// /+}" --json > ablate.json
    python3 - <<'PYTHON'
import json

said, rows = json.load(open("stats.json"))["loss"], json.load(open("ablate.json"))["rows"]
want = {None: said, **{s["subset"]: s for s in said["subsets"]}}
pairs = {"nll_without": "nll_against", **{key: key for key in ("documents", "tokens", "nll", "change", "change_low", "change_high", "p")}}
same = {row["group"] for row in rows} == want.keys() and all(row[a] == want[row["group"]][b] for row in rows for a, b in pairs.items())
print(rows[0]["experts"], len(rows), "rows:", "same" if same and any(row["change"] != 0 for row in rows) else "differ")
PYTHON
done

echo "-- a table, the same for other threads and steps, streamed, and from a list of experts:"
ablate --layer 2 -o t.csv --figure t.png --top 2
head -n 2 t.csv | tr -d '\r' | sed 's/[0-9]*\.[0-9]\{3,\}/N/g'
ls t.png t.csv.begun |& sed 's/.*: \(.*\): /\1: /'
ablate --layer 2 -o s.csv --threads 1 --step-tokens 64 --stream > /dev/null
same t.csv s.csv streamed
ablate --experts t.csv -o s.csv --force > /dev/null
same t.csv s.csv listed

echo "-- documents that name no subset are in no group:"
sed '1,30s/, "meta".*/}/' c.jsonl > some.jsonl
gm-probe ablate --model "$TINY" --corpus some.jsonl --min-tokens 20 --quiet --experts 2:1 -o some.csv > /dev/null
tail -n +2 some.csv | cut -d , -f 5,6

echo "-- by cluster:"
ablate --experts 2:1,3:4 --atlas a.h5 -o c.csv
ablate --experts 2:1 --atlas a.h5 --json | grep -o '"group":"[0-9a-z]*","keywords":"[a-z]*' | sort -u
head -n 30 c.jsonl > more.jsonl
make_corpus 7 >> more.jsonl
gm-probe ablate --model "$TINY" --corpus more.jsonl --min-tokens 20 --doc-tokens 100 --quiet --experts 2:1 --atlas a.h5 --top 1 |
    grep -c ' 2:1 '
make_corpus 7 > other.jsonl
gm-probe ablate --model "$TINY" --corpus other.jsonl --min-tokens 20 --quiet --experts 2:1 --atlas a.h5
gm-probe ablate --model "$SRC/tests/golden/models/olmoe-tiny" --corpus c.jsonl --limit 4 --min-tokens 20 --quiet \
    --experts 1:1 --atlas a.h5 > /dev/null

echo "-- a run that was stopped goes on, and ends with the same bytes:"
head -n 17 t.csv > r.csv.begun
run ablate --layer 2 -o r.csv
run ablate --layer 1 -o r.csv --resume
run ablate --layer 2 -o r.csv --resume --mode select
run ablate --layer 2 -o r.csv --resume --per-subset 10
ablate --layer 2 -o r.csv --resume > /dev/null
same t.csv r.csv resumed
run gm-probe ablate $TEXTS --layer 2 -o r.csv --resume
head -n 18 t.csv > r.csv.begun
run ablate --layer 2 -o r.csv --resume --force | tail -n 1
same t.csv r.csv again

echo "-- what is wrong:"
run ablate --experts 2:12
run ablate --experts 0:1
run ablate --experts 2:1,x
run ablate --experts 2:1,2:1
run ablate --experts 2:0+2:1+2:2+2:3+2:4+2:5+2:6+2:7+2:8+2:9
ablate --experts 2:0+2:1+2:2+2:3+2:4+2:5+2:6+2:7+2:8+2:9 --mode gate --top 1 | grep -c '^all'
run ablate --layer 7
run ablate --layer two
run ablate --layer 2 --experts all
run ablate --resume
run ablate --layer 2 -o t.csv
run ablate --experts none.csv
run ablate --experts 2:1 --atlas none.h5 --cache write --cache-dir packed
ls packed 2>/dev/null # no weights were loaded
run ablate --experts 2:1 --figure picture.gif
run gm-probe ablate --corpus c.jsonl
