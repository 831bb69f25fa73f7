# What gm-cluster refuses.
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
make_atlas
fit() { run gm-cluster fit "$@" --quiet; }
fit absent.h5 -o b.h5
fit c.jsonl -o b.h5
fit a.h5 -o b.h5
fit t.h5
cp a.h5 before
fit t.h5 -o a.h5
cmp a.h5 before && echo untouched
fit t.h5 -o absent/b.h5
fit t.h5 -o b.h5 --device gpu
fit t.h5 -o b.h5 --n-neighbors 1000
fit t.h5 -o b.h5 --n-neighbors 1
fit t.h5 -o b.h5 --min-dist nan
fit t.h5 -o b.h5 --min-dist 2
fit t.h5 -o b.h5 --metric manhattan
head -c 20000 t.h5 > cut.h5
fit cut.h5 -o b.h5
head -3 c.jsonl > few.jsonl
gm-probe collect --model "$TINY" --corpus few.jsonl --min-tokens 20 -o few.h5 --quiet > /dev/null
fit few.h5 -o b.h5
fit t.h5 few.h5 -o b.h5
for i in {1..20}; do head -1 c.jsonl; done > same.jsonl
gm-probe collect --model "$TINY" --corpus same.jsonl --min-tokens 20 -o same.h5 --quiet > /dev/null
fit same.h5 -o b.h5
ls b.h5* 2> /dev/null
echo "-- what it can do without:"
gm-probe collect --model "$TINY" --corpus c.jsonl --min-tokens 1 --doc-tokens 1 -o one.h5 --quiet > /dev/null
fit one.h5 -o one.a.h5
fit t.h5 -o none.a.h5 --quality none --min-cluster-size 40
run gm-cluster show none.a.h5 --cluster 0
fit t.h5 -o none.a.h5 --quality none --max-cluster-size 3 --allow-single-cluster --force
fit t.h5 -o none.a.h5 --quality none --min-cluster-size 40 --allow-single-cluster --force
run gm-cluster show absent.h5
run gm-cluster show t.h5
run gm-cluster show a.h5 --cluster 99
run gm-cluster show a.h5 --cluster soup
run gm-cluster report t.h5 -o r.html
echo page > r.html
run gm-cluster report a.h5 -o r.html
run gm-cluster report a.h5
cat r.html
run gm-cluster report absent.h5 --figures made
run gm-cluster fit absent.h5 -o made.a.h5 --figures made
ls -d made |& sed 's/.*: \(.*\): /\1: /'
mkdir drawn && touch drawn/map-clusters.png # said before the work, not after it
run gm-cluster fit t.h5 -o drawn.a.h5 --figures drawn --quiet
ls -d drawn.a.h5 |& sed 's/.*: \(.*\): /\1: /'
mkdir half && touch half/cluster-00.png # which nobody could know of: the atlas stays, and this is said
run gm-cluster fit t.h5 -o half.a.h5 --figures half --quiet
ls -d half.a.h5
head -c 20000 a.h5 > cut.h5
run gm-cluster show cut.h5
