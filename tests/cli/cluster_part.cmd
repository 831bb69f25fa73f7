# Maps of a part of a trace: some layers, some subsets, long documents. In layer 2 documents are of two kinds, in layers 4
# and 5 of three others, which are their subsets.
exec 2>&1
run() { "$@" | sed 's/, trustworthiness .*//'; echo "exit ${PIPESTATUS[0]}"; }
same() { cmp -s "$1" "$2" && echo "$3: same" || echo "$3: differ"; }
fit() { gm-cluster fit "$@" --min-cluster-size 8 --epochs 100 --quality none --quiet; }
digest() { gm-cluster show "$1" --json | grep -o '"digest":"[0-9a-f]*"'; }
python3 - <<'PY'
import json
import random
import struct

rng = random.Random(5)
lines, rows = [], []
for i in range(90):
    topic, kind, n = ("soup", "ships", "stars")[i % 3], i // 3 % 2, 100 + i
    layers = []
    for group in (kind, i % 3, (i % 3 + 1) % 3):
        chosen = rng.choices(range(8), [20 if e // 2 == group else 1 for e in range(8)], k=n)
        layers.append([chosen.count(e) for e in range(8)])
    lines.append({"id": f"d:{i}", "text": f"{topic} {i}", "subset": topic, "n_tokens": n, "counts": layers})
    rows.append([c for layer in layers[1:] for c in layer])


def write(name, lines):
    with open(name, "w") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


write("all.jsonl", lines)
write("layers.jsonl", [d | {"counts": d["counts"][1:]} for d in lines])
write("part.jsonl", [d | {"counts": d["counts"][1:]} for d in lines if d["subset"] != "ships" and d["n_tokens"] >= 121])
head = "{'descr': '<f8', 'fortran_order': False, 'shape': (90, 16), }"
head += " " * ((-len(head) - 11) % 64) + "\n"
with open("late.npy", "wb") as file:
    file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode())
    file.writelines(struct.pack("<16d", *row) for row in rows)
PY
gm-probe import all.jsonl --experts 8 --layers 2,4-5 -o all.h5 --quiet
gm-probe import layers.jsonl --experts 8 --layers 4-5 -o layers.h5 --quiet
gm-probe import part.jsonl --experts 8 --layers 4-5 -o part.h5 --quiet
echo "-- some layers are another map:"
run fit all.h5 -o kinds.a.h5 --layers 2
run fit all.h5 -o late.a.h5 --layers 3-5
gm-cluster show late.a.h5 | sed -n '1,8p' | cut -d'|' -f1
echo "-- the same as a trace of these layers, and the same clusters as rows of them:"
fit layers.h5 -o layers.a.h5 > /dev/null
same <(digest late.a.h5) <(digest layers.a.h5) digest
gm-cluster matrix late.npy --metric hellinger --min-cluster-size 8 --epochs 100 -o late.csv --quiet > /dev/null
gm-cluster compare late.a.h5 late.csv --column cluster | grep "all, none"
echo "-- some documents as well:"
run fit all.h5 -o part.a.h5 --layers 4-5 --subset stars --subset soup --min-tokens 121
gm-cluster show part.a.h5 --json | grep -o '"parameters":{.*"usage"'
fit part.h5 -o same.a.h5 > /dev/null
same <(digest part.a.h5) <(digest same.a.h5) digest
run fit all.h5 -o everything.a.h5 --layers 2-5 --subset ships --subset stars --subset soup
echo "-- beside all layers, and beside others:"
fit all.h5 -o all.a.h5 > /dev/null
gm-cluster compare all.a.h5 part.a.h5 | sed -n '2,4p;10,13p'
gm-cluster compare late.a.h5 kinds.a.h5 | grep layer
echo "-- its own documents stand where they stood, texts and usage are found:"
for trace in part all; do gm-cluster assign part.a.h5 $trace.h5 -o $trace.csv --quiet | head -1; done
gm-cluster export part.a.h5 -o d.csv > /dev/null
places() { python3 -c "
import csv, sys
for d in csv.DictReader(open(sys.argv[1])):
    if d['subset'] != 'ships' and int(d['id'][2:]) >= 21: print(d['id'], d['x'], d['y'], d['cluster'], d['probability'])" "$1"; }
same <(places part.csv) <(places d.csv) places
same <(places all.csv) <(places d.csv) places
gm-cluster find part.a.h5 stars --trace all.h5 | grep average
gm-cluster report part.a.h5 -o part.html && grep -o "This is a map of a part[^<]*" part.html
gm-cluster export part.a.h5 -o part.h5ad --usage
gm-cluster recut part.a.h5 --min-cluster-size 12 -o recut.a.h5 --quiet | cut -d' ' -f1-4
gm-cluster show recut.a.h5 | grep part
mv all.h5 gone.h5
run gm-cluster recut part.a.h5 --trace layers.h5 -o no.a.h5 --quiet
mv gone.h5 all.h5
echo "-- its layers are steered:"
gm-steer plan --atlas part.a.h5 --cluster 0 | sed -n '2,5p' | cut -c1-26
run gm-steer plan --atlas part.a.h5 --cluster 0 --layers 2
echo "-- refused:"
run fit all.h5 -o no.a.h5 --layers 2,3
run fit all.h5 -o no.a.h5 --layers 2-6
run fit all.h5 -o no.a.h5 --layers late
run fit all.h5 -o no.a.h5 --subset star
run fit all.h5 -o no.a.h5 --subset code
run fit all.h5 -o no.a.h5 --subset soup --min-tokens 150
run fit all.h5 -o no.a.h5 --min-tokens 1000
ls no.a.h5 2> /dev/null || echo "nothing is written"
