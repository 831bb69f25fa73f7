# clusters found in more dimensions than the map has: every command goes on from there; densMAP.
# label: slow
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
make_trace
fit() { gm-cluster fit t.h5 --min-cluster-size 8 --min-samples 5 --epochs 100 --quality none --quiet "$@"; }
echo "-- the map is the same, clusters are found in five dimensions:"
fit -o two.h5 > /dev/null
for n in 1 2; do OMP_NUM_THREADS=$n fit -o five$n.h5 --cluster-dimensions 5; done > out
grep -c "^clusters of 5 dimensions against the map's own" out
sed -n '1p' out | grep -o 'digest.*' > one
sed -n '3p' out | grep -o 'digest.*' > two
same one two "one thread and two"
for a in two five1; do gm-cluster export $a.h5 -o $a.csv > /dev/null && cut -d, -f1,6,7 $a.csv > $a.places; done
same two.places five1.places "places on the map"
gm-cluster show five1.h5 --json | grep -o '"cluster_dimensions":[0-9]*'
echo "-- its own documents belong where they belonged:"
run gm-cluster assign five1.h5 t.h5 -o own.csv --quiet
cut -d, -f1,8,10 five1.csv | tr -d '\r' | tail -n +2 > before
cut -d, -f1,5,7 own.csv | tail -n +2 > after
same before after "clusters, probabilities"
make_corpus 7 > e.jsonl
gm-probe collect --model "$TINY" --corpus e.jsonl --min-tokens 20 --doc-tokens 100 -o e.h5 --quiet > /dev/null
run gm-cluster assign five1.h5 e.h5 -o new.csv --quiet
echo "-- cut again as fit cuts:"
gm-cluster fit t.h5 -o six.h5 --min-cluster-size 6 --min-samples 5 --epochs 100 --cluster-dimensions 5 --quality none --quiet > /dev/null
gm-cluster recut five1.h5 --min-cluster-size 6 -o again.h5 --quality none --quiet > /dev/null
labels() { gm-cluster show "$1" | sed -n '/^ *id/,/^$/p' | grep -v '^$'; }
labels six.h5 > six
labels again.h5 > again
same six again "fit and recut"
echo "-- the page and scanpy's file:"
gm-cluster report five1.h5 -o page.html --trace t.h5 > /dev/null && grep -o 'dimensions.noise_alike' page.html
gm-cluster export five1.h5 -o a.h5ad > /dev/null && echo "a.h5ad written"
echo "-- densMAP:"
fit -o dense.h5 --densmap > /dev/null
gm-cluster show dense.h5 --json | grep -o '"dens_lambda":[0-9]*'
gm-cluster recut dense.h5 --min-cluster-size 6 -o dense6.h5 --quality none --quiet > /dev/null
gm-cluster show dense6.h5 --json | grep -o '"densmap":[a-z]*'
echo "-- refused:"
run gm-cluster fit t.h5 -o x.h5 --cluster-dimensions 11
run gm-cluster fit t.h5 -o x.h5 --cluster-dimensions 1
run gm-cluster fit t.h5 -o x.h5 --densmap --dens-frac 2
ls x.h5 2> /dev/null
