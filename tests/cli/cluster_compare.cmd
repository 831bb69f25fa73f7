# gm-cluster compare: an atlas beside another of the same documents, and beside groups of a table.
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
make_atlas
echo "-- itself:"
run gm-cluster compare a.h5 a.h5 | head -15
gm-cluster compare a.h5 a.h5 | awk -F'|' '/^ *[0-9]+ +[0-9]+ \|/ { split($2, n, " "); print $3 == $4, n[3], n[4], n[5], n[6] }' | sort -u
echo "-- another seed, one thread and two:"
gm-cluster fit t.h5 -o s.h5 --seed 7 --min-cluster-size 5 --quality none --quiet > /dev/null
for n in 1 2; do OMP_NUM_THREADS=$n gm-cluster compare a.h5 s.h5 --json > $n.json; done
same 1.json 2.json "one thread and two"
python3 -c "
import json; a = json.load(open('1.json'))
print(sorted(a), a['documents_both'], [x['moved'] for x in a['layers']])
print(all(c['both'] <= min(c['size'], c['other_size']) and c['experts_both'] <= c['experts'] for c in a['clusters']))"
echo "-- the texts cut shorter are the same documents:"
gm-probe collect --model "$TINY" --corpus c.jsonl --min-tokens 20 --doc-tokens 50 --limit 40 -o short.h5 --quiet > /dev/null
gm-cluster fit short.h5 -o short.a.h5 --min-cluster-size 5 --quality none --quiet > /dev/null
gm-cluster compare a.h5 short.a.h5 | grep "documents in both"
gm-cluster compare a.h5 short.a.h5 --json | grep -o '"moved":0\.[0-9]' | wc -l
echo "-- usage of another kind is compared by document alone; gates with gates:"
gm-probe collect --model "$TINY" --corpus c.jsonl --min-tokens 20 --doc-tokens 100 --record choices -o g.h5 --quiet > /dev/null
for usage in counts gates; do
    gm-cluster fit g.h5 --usage $usage -o $usage.h5 --min-cluster-size 5 --quality none --quiet > /dev/null
done
gm-cluster compare counts.h5 gates.h5 | grep -e compare -e moved -e jaccard | cut -d'|' -f1,2 | sed 's/ *$//'
gm-cluster compare counts.h5 gates.h5 --json | grep -o -e '"usage":"[a-z]*"' -e '"layers":\[\]' -e '"profile"' | sort -u
gm-cluster compare gates.h5 gates.h5 | grep -A3 "gates:"
echo "-- the same texts under another path, as assign placed them:"
mkdir moved && cp c.jsonl moved
gm-probe collect --model "$TINY" --corpus moved/c.jsonl --min-tokens 20 --doc-tokens 100 -o m.h5 --quiet > /dev/null
gm-cluster assign a.h5 m.h5 -o m.csv --quiet > /dev/null
gm-cluster compare a.h5 m.csv | sed -n '3p;6p'
cut -d, -f1-9 m.csv > m.ids.csv
run gm-cluster compare a.h5 m.ids.csv
echo "-- tables: what export writes, the subsets, ids alone, columns of one's own:"
gm-cluster export a.h5 -o d.csv > /dev/null
gm-cluster compare a.h5 d.csv --json | grep -o '"all":{[^}]*"ari":1,'
gm-cluster compare a.h5 d.csv --column subset | sed -n '1,7p;9p;12p' | cut -d'|' -f1,2 | sed 's/ *$//'
gm-cluster compare a.h5 d.csv --column subset --json | grep -o '"other":"[a-z]*"' | sort -u
printf 'topic,id\n"the sea, mostly",c.jsonl:2\n,c.jsonl:1\nsky,nowhere:1\n' > mine.csv
gm-cluster compare a.h5 mine.csv --column topic | sed -n '2,7p'
python3 -c "
import csv
rows = list(csv.DictReader(open('d.csv')))
csv.writer(open('rows.csv', 'w')).writerows([('row', 'cluster')] + [(i, r['cluster']) for i, r in enumerate(rows)][::-1])
csv.writer(open('bare.csv', 'w')).writerows([('cluster',)] + [(r['cluster'],) for r in rows])"
gm-cluster compare a.h5 rows.csv | sed -n '3,7p'
echo "-- refused:"
run gm-cluster compare a.h5 bare.csv
run gm-cluster compare a.h5
run gm-cluster compare a.h5 s.h5 --column topic
run gm-cluster compare a.h5 mine.csv
run gm-cluster compare a.h5 absent.csv
run gm-cluster compare a.h5 t.h5
make_corpus 9 > c.jsonl
gm-probe collect --model "$TINY" --corpus c.jsonl --min-tokens 20 --doc-tokens 100 -o e.h5 --quiet > /dev/null
gm-cluster fit e.h5 -o e.a.h5 --min-cluster-size 5 --quality none --quiet > /dev/null
run gm-cluster compare a.h5 e.a.h5
