# gm-probe read: what it says, and what it refuses. What is on the page: test_read.py.
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
make_trace

echo "-- some of every subset; named ones; of an expert:"
gm-probe read t.h5 --model "$TINY" -o page.html
gm-probe read t.h5 --subset soup --limit 3 -o soup.html
gm-probe read t.h5 --doc c.jsonl:8 --doc 3 --layer 2 -o two.html
gm-probe read t.h5 --model "$TINY" --expert 3:0 --limit 1 --passages 2 --quiet -o expert.html
grep -o '<h[12]>[^<]*' expert.html

echo "-- counts alone have no tokens:"
gm-probe collect --model "$TINY" --corpus c.jsonl --min-tokens 20 --doc-tokens 100 --quiet --record counts -o counts.h5 > /dev/null
run gm-probe read counts.h5 -o no.html

echo "-- a recorded generation:"
generate --prompt "sail" --record r.h5 > /dev/null
gm-probe read r.h5 --model "$TINY" --doc 0 -o written.html
grep -o '<em>[a-z]*' written.html

echo "-- what is wrong:"
run gm-probe read t.h5
run gm-probe read -o no.html
run gm-probe read absent.h5 -o no.html
run gm-probe read t.h5 -o page.html
run gm-probe read t.h5 --model "$SRC/tests/golden/models/olmoe-tiny" -o no.html
run gm-probe read t.h5 --model absent -o no.html
run gm-probe read t.h5 --doc c.jsonl:999 -o no.html
run gm-probe read t.h5 --doc 60 -o no.html
run gm-probe read t.h5 --subset stew -o no.html
run gm-probe read t.h5 --doc 1 --subset soup -o no.html
run gm-probe read t.h5 --layer 9 -o no.html
run gm-probe read t.h5 --layer two -o no.html
for expert in 3 0:1 3:16; do run gm-probe read t.h5 --expert "$expert" -o no.html; done
run gm-probe read t.h5 --limit 0 -o no.html
run gm-probe read t.h5 -o missing/no.html
ls no.html || true
