# gm-cluster find: clusters by the words of their keywords and of their texts.
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
make_atlas
echo "-- keywords, words of one stem:"
gm-cluster find a.h5 ONIONS voyages | awk 'NR > 1 { print ($5 > 0 && $5 < 1), $6 }'
gm-cluster find a.h5 "onion onions" --json | grep -o '"asked":[^]]*]'
echo "-- texts, of which the trace holds all:"
make_corpus | sed -E 's/("text": "([a-z]+ ){9}[a-z]+)[^"]*/\1/' > short.jsonl
gm-probe collect --model "$TINY" --corpus short.jsonl --min-tokens 10 -o s.h5 --quiet > /dev/null
gm-cluster fit s.h5 -o s.a.h5 --min-cluster-size 5 --quiet > /dev/null
gm-cluster find s.a.h5 salt zebra --trace s.h5 --json | grep -o '"corpus_words":[0-9.]*'
echo "by hand: $(grep -c '[ "]salt[ "]' short.jsonl) of 60"
gm-cluster find a.h5 onion comet sail --trace t.h5 | awk 'NR > 2 { print ($6 <= last || NR == 3); last = $6 }'
gm-cluster find a.h5 onion comet sail --trace t.h5 --most 1 | wc -l
gm-cluster find a.h5 zebra
gm-cluster find a.h5 zebra --trace t.h5
echo "-- refused:"
run gm-cluster find a.h5
run gm-cluster find a.h5 a b
run gm-cluster find a.h5 "$(printf '\377')"
run gm-cluster find a.h5 $(seq -f 'word%g' 65)
run gm-cluster find absent.h5 onion
run gm-cluster find a.h5 onion --trace absent.h5
make_corpus 5 > c.jsonl
gm-probe collect --model "$TINY" --corpus c.jsonl --min-tokens 20 --doc-tokens 100 -o o.h5 --quiet > /dev/null
run gm-cluster find a.h5 onion --trace o.h5
collect() { gm-probe collect --model "$TINY" --corpus c.jsonl --min-tokens 20 --doc-tokens 100 --quiet "$@" > /dev/null; }
collect --no-text --no-spelling -o none.h5
gm-cluster fit none.h5 -o none.a.h5 --min-cluster-size 5 --quality none --quiet > /dev/null
run gm-cluster find none.a.h5 onion
run gm-cluster find none.a.h5 onion --trace none.h5
run collect --no-spelling -o e.h5
echo "-- no texts, but how tokens are spelt: the same keywords, no text on the page:"
collect --no-text -o n.h5
gm-cluster fit n.h5 -o n.a.h5 --min-cluster-size 5 --quality none 2>&1 > /dev/null | grep "no texts"
gm-cluster fit o.h5 -o o.a.h5 --min-cluster-size 5 --quality none --quiet > /dev/null
for atlas in n o; do gm-cluster show $atlas.a.h5 --json | grep -o '"keywords":\[[^]]*\]' > $atlas.txt; done
wc -l < n.txt
same n.txt o.txt keywords
gm-cluster show n.a.h5 | grep "no texts"
for trace in n o; do gm-cluster find $trace.a.h5 onion comet --trace $trace.h5 > $trace.txt; done
same n.txt o.txt find
gm-cluster report n.a.h5 --trace n.h5 --snippets 40 -o n.html > /dev/null
grep -c "It has no texts\." n.html
grep -c "keywords come from its tokens" n.html
