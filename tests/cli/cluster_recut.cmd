# gm-cluster recut: other clusters from an atlas's tree.
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
make_atlas
recut() { run gm-cluster recut "$@" --quiet; }
echo "-- as it is, and the same from fit and from recut:"
gm-cluster recut a.h5 --quiet | head -1
gm-cluster fit t.h5 -o eight.h5 --min-cluster-size 8 --min-samples 5 --quality none --quiet > /dev/null
gm-cluster recut a.h5 --min-cluster-size 8 -o again.h5 --quality none --quiet > /dev/null
labels() { gm-cluster show "$1" | sed -n '/^ *id/,/^$/p' | grep -v '^$'; }
labels eight.h5 > eight
labels again.h5 > again
same eight again "fit and recut"
echo "-- merged and named:"
gm-cluster recut a.h5 --selection leaf --min-cluster-size 3 -o leaf.h5 --quality none --quiet > /dev/null
recut leaf.h5 --merge 1=0 --name 0=Both | sed -n '1s/;.*//p;4p' > merged
grep -c Both merged
gm-cluster recut leaf.h5 --merge 1=0 --name 0=Both -o both.h5 --quality none --quiet > /dev/null
gm-cluster show both.h5 --json | grep -o '"name":"Both"'
gm-cluster recut both.h5 --quiet | grep -c Both
gm-cluster recut a.h5 --merge 1=0 --merge 2=0 -o all.h5 --quality none --quiet > /dev/null
gm-cluster show all.h5 --cluster 0 | grep -A 2 '^important'
echo "-- named alone, what is said of the clusters stays:"
gm-cluster fit t.h5 -o q.h5 --min-cluster-size 8 --min-samples 5 --quiet > /dev/null
gm-cluster recut q.h5 --name 0=Soup -o soup.h5 --quiet > /dev/null
for a in q soup; do gm-cluster show $a.h5 --json | grep -o '"quality":{.*"verdict"' > $a.quality; done
same q.quality soup.quality "fit and recut"
echo "-- as many as wanted:"
gm-cluster recut a.h5 --target-clusters 3 --quiet | sed -n '1s/;.*//p'
gm-cluster recut a.h5 --target-clusters 9 --quiet 2>&1 | head -1
gm-cluster fit t.h5 -o three.h5 --target-clusters 9 --min-samples 5 --quality none --quiet | cut -d, -f2
echo "-- refused:"
recut a.h5 --merge 9=0
recut a.h5 --merge 0=
recut a.h5 --merge 0=1 --merge 1=0
recut a.h5 --merge 1=0 --merge 1=1
recut a.h5 --name "0=$(printf '%064d' 7)"
recut a.h5 --name "0=$(printf '\377')"
recut a.h5 --name 99=X
recut a.h5 --name Ships
recut a.h5 --min-cluster-size 1
recut a.h5 --min-cluster-size 5 --target-clusters 3
recut a.h5 -o a.h5
recut t.h5
recut "$SRC/tests/golden/atlas/schema1.atlas.h5"
make_corpus 7 > d.jsonl
gm-probe collect --model "$TINY" --corpus d.jsonl --min-tokens 20 --doc-tokens 100 -o other.h5 --quiet > /dev/null
recut a.h5 --trace other.h5 -o b.h5
recut a.h5 --trace absent.h5 -o b.h5
ls b.h5 2> /dev/null
