# gm-cluster export: an atlas for other programs.
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
make_atlas
gm-cluster recut a.h5 --selection leaf --name '0=Soup, "hot" <&>' -o n.h5 --quality none --quiet > /dev/null
gm-cluster show n.h5 --json > shown.json
echo "-- CSV:"
run gm-cluster export n.h5 -o d.csv
head -1 d.csv | tr -d '\r'
wc -l < d.csv
cut -d, -f1-3 d.csv | sed -n 2p
grep -c '"Soup, ""hot"" <&>"' d.csv
echo "-- experts:"
run gm-cluster export n.h5 --experts -o e.csv
head -1 e.csv | tr -d '\r'
python3 -c "
import collections, csv, json
rows = list(csv.DictReader(open('e.csv')))
clusters = json.load(open('shown.json'))['clusters']
sums = collections.Counter()
for r in rows: sums[r['kind'], r['group']] += float(r['usage'])
print(len(rows) == 36 * len(sums), all(abs(s - 1) < 1e-5 for s in sums.values()), [g for k, g in sums if k == 'subset'])
best = max((r for r in rows if r['group'] == '0' and r['important'] == '1'), key=lambda r: float(r['lift']))
shown = clusters[0]['experts'][0]
print((int(best['layer']), int(best['expert'])) == (shown['layer'], shown['expert']), abs(float(best['lift']) - shown['lift']) < 1e-6)
print(all(min(float(r['lift_even']), float(r['lift_odd'])) >= 1.25 for r in rows if r['important'] == '1'))
print({r['group']: r['documents'] for r in rows if r['kind'] == 'subset'})"
echo "-- JSON:"
run gm-cluster export n.h5 -o d.json
python3 -c "
import json; a = json.load(open('d.json'))
print(len(a['documents']), len(a['clusters']) == 1 + max(d['cluster'] for d in a['documents']), a['clusters'][0]['name'])"
echo "-- GraphML:"
run gm-cluster export n.h5 -o d.graphml
python3 -c "
import xml.etree.ElementTree as tree
x = '{http://graphml.graphdrawing.org/xmlns}'
graph = tree.parse('d.graphml').getroot().find(x + 'graph')
nodes = [{d.get('key'): d.text for d in n} for n in graph.iter(x + 'node')]
edges = list(graph.iter(x + 'edge'))
print(nodes[0]['size'], len(edges) == len(nodes) - 1, [n['name'] for n in nodes if n['cluster'] == '0'], all(n['keywords'] for n in nodes))"
echo "-- AnnData:"
run gm-cluster export n.h5 -o d.h5ad
run gm-cluster export n.h5 -o x.h5ad --usage
echo "-- languages as the corpus names them:"
make_corpus | awk '{ sub(/"meta": {/, "&\"lang\": \"" (NR % 3 ? "la" : "") "\", "); print }' > l.jsonl
gm-probe collect --model "$TINY" --corpus l.jsonl --language-field meta.lang --no-text --no-spelling \
    --min-tokens 20 --doc-tokens 100 -o l.h5 --quiet > /dev/null
gm-cluster fit l.h5 -o l.a.h5 --min-cluster-size 5 --quality none --quiet > /dev/null
gm-cluster export l.a.h5 -o l.csv > /dev/null
tr -d '\r' < l.csv | awk -F, 'NR > 1 { print $NF }' | sort | uniq -c | sed 's/^ *//'
gm-cluster show l.a.h5 --json | grep -o '"noise_by_language":[^.]*"name":"la","documents":[0-9]*'
gm-cluster show l.a.h5 --json | grep -o '"languages_from":"[a-z]*"'
echo "-- what a cluster's documents have in common, beside all:"
gm-cluster show l.a.h5 --json > l.json
gm-cluster show l.a.h5 --cluster 0 > l.txt
python3 -c "
import collections, csv, json, re, statistics
rows = list(csv.DictReader(open('l.csv')))
for c in json.load(open('l.json'))['clusters']:
    own = [r for r in rows if r['cluster'] == str(c['id'])]
    assert c['median_tokens'] == statistics.median(int(r['n_tokens']) for r in own)
    for key, column in ('subsets', 'subset'), ('languages', 'language'):
        count = collections.Counter(r[column] for r in own)
        assert {x['name']: x['documents'] for x in c[key]} == count, (c[key], count)
shown = re.search(r'median (\\d+), over all documents (\\d+)', open('l.txt').read()).groups()
print(int(shown[1]) == round(statistics.median(int(r['n_tokens']) for r in rows)))
print(re.search(r'la +(\\d+).*of all documents (.*) %', open('l.txt').read())[2])"
echo "-- its subsets and languages, the largest first:"
awk 'NR % 3 != 1 || NR < 30' l.jsonl | sed '1,9s/"la"/"eo"/' > m.jsonl
gm-probe collect --model "$TINY" --corpus m.jsonl --language-field meta.lang --no-text --no-spelling \
    --min-tokens 20 --doc-tokens 100 -o m.h5 --quiet > /dev/null
gm-cluster fit m.h5 -o m.a.h5 --min-cluster-size 40 --allow-single-cluster --quality none --quiet > /dev/null 2>&1
gm-cluster show m.a.h5 --cluster 0 > m.txt
for what in subsets languages; do
    sed -n "/^$what:/,/^[^ ]/s/^  \([a-z]*\) *\([0-9]*\) .*/\2 \1/p" m.txt > parts
    sort -c -k1,1rn parts && tail -1 parts | cut -d' ' -f2
done
gm-cluster show m.a.h5 | grep -c '| -$' # no expert tells it from the whole
echo "-- refused:"
run gm-cluster export n.h5 -o d.csv
run gm-cluster export n.h5 -o d.h5ad
run gm-cluster export n.h5 -o d.txt
run gm-cluster export n.h5 -o x.json --experts
run gm-cluster export n.h5 -o x.csv --experts --usage
run gm-cluster export n.h5 -o x.csv --usage
run gm-cluster export n.h5 -o absent/d.csv
run gm-cluster export t.h5 -o t.csv
run gm-cluster export n.h5 -o y.h5ad --usage --trace absent.h5
mv t.h5 moved.h5
run gm-cluster export n.h5 -o y.h5ad --usage
mv moved.h5 t.h5
run gm-cluster export "$SRC/tests/golden/atlas/schema1.atlas.h5" -o s.graphml
ls x.csv y.h5ad s.graphml 2> /dev/null
