# gm-cluster assign: documents of another trace on an atlas's map.
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
make_atlas
echo "-- its own documents stand where they stood:"
run gm-cluster assign a.h5 t.h5 -o own.csv --quiet
gm-cluster export a.h5 -o d.csv > /dev/null
cut -d, -f1,6-8,10 d.csv | tr -d '\r' | tail -n +2 > before
cut -d, -f1,3-5,7 own.csv | tail -n +2 > after
same before after "places, clusters, probabilities"
head -1 own.csv | tr -d '\r'
echo "-- others:"
make_corpus 7 > e.jsonl
gm-probe collect --model "$TINY" --corpus e.jsonl --min-tokens 20 --doc-tokens 100 -o e.h5 --quiet > /dev/null
run gm-cluster assign a.h5 e.h5 -o new.json --quiet
for n in 1 2; do OMP_NUM_THREADS=$n gm-cluster assign a.h5 e.h5 -o new$n.csv --quiet > /dev/null; done
same new1.csv new2.csv "one thread and two"
python3 -c "
import csv, json
n = json.load(open('new.json'))['documents']
own = {r['id']: r for r in csv.DictReader(open('own.csv'))}
x = [float(r['x']) for r in own.values()]
print(len(n), all(min(x) <= d['x'] <= max(x) and 0 <= d['probability'] <= 1 and d['distance'] > 0 and 0 <= d['distance_quantile'] <= 1 for d in n))
print(list(n[0]) == list(next(iter(own.values()))), sorted({d['subset'] for d in n})) # as in the CSV
# mostly in the cluster of the nearest, where both are in one
pairs = [(d['cluster'], int(own[d['nearest']]['cluster'])) for d in n]
fits = [a == b for a, b in pairs if a >= 0 and b >= 0]
print(sum(fits) >= 0.8 * len(fits) > 0)"
echo "-- refused:"
run gm-cluster assign a.h5 e.h5 -o new.json
run gm-cluster assign a.h5 e.h5 -o new.txt
run gm-cluster assign a.h5 -o x.csv
run gm-cluster assign a.h5 e.h5 --trace e.h5 -o x.csv
copy_model other
shard=other/model-00001-of-00003.safetensors
printf '\001' | dd of=$shard bs=1 seek=$(($(stat -c %s $shard) - 2)) conv=notrunc 2> /dev/null
gm-probe collect --model other --corpus e.jsonl --min-tokens 20 --doc-tokens 100 -o o.h5 --quiet > /dev/null
run gm-cluster assign a.h5 o.h5 -o x.csv
copy_model config # the same weights, that compute another thing
sed 's/"rms_norm_eps": [^,]*/"rms_norm_eps": 0.002/' "$TINY/config.json" > config/config.json
gm-probe collect --model config --corpus e.jsonl --min-tokens 20 --doc-tokens 100 -o g.h5 --quiet > /dev/null
run gm-cluster assign a.h5 g.h5 -o x.csv
run gm-cluster assign "$SRC/tests/golden/atlas/schema1.atlas.h5" e.h5 -o x.csv
ls x.csv 2> /dev/null
mv t.h5 moved.h5
run gm-cluster assign a.h5 e.h5 -o x.csv
mv moved.h5 t.h5
echo "-- another checkpoint all the same:"
gm-cluster assign a.h5 o.h5 --any-model -o x.csv --quiet | cut -d' ' -f1-3
gm-cluster assign a.h5 g.h5 --any-model -o y.csv --quiet | cut -d' ' -f1-3
