# Any matrix: its rows on a map and in clusters, in files that NumPy and SciPy read.
exec 2>&1
run() { "$@" | sed -E 's/0\.[0-9]+/0.#/g'; echo "exit ${PIPESTATUS[0]}"; }
python3 - <<'PY'
import random
import struct


def save(name, rows, descr="<f8", code="d"):
    head = "{'descr': '%s', 'fortran_order': False, 'shape': (%d, %d), }" % (descr, len(rows), len(rows[0]))
    head += " " * ((-len(head) - 11) % 64) + "\n"
    with open(name, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode())
        for row in rows:
            file.write(struct.pack("<%d%s" % (len(row), code), *row))


rng = random.Random(3)
rows = [[rng.gauss(60 * (i % 3 == c), 1) for c in range(4)] for i in range(90)]
save("m.npy", rows)
save("turned.npy", rows[::-1])
rows[7][2] = float("nan")
save("holes.npy", rows)
save("whole.npy", [[3 * i + c for c in range(3)] for i in range(20)], "<i4", "i")
save("few.npy", rows[:3])
save("equal.npy", rows[:1] * 20)
save("none.npy", [[float("inf")]] * 20)
save("wide.npy", [[rng.gauss(3 * (i % 3 == c % 3), 1) for c in range(16384)] for i in range(30)], "<f4", "f")
PY
run gm-cluster matrix m.npy -o rows.csv --tree tree.csv --graph graph.csv --linkage z.npy --quiet
for file in rows tree graph; do head -1 $file.csv | tr -d '\r'; wc -l < $file.csv; done
head -c 128 z.npy | tail -c 118
run gm-cluster matrix turned.npy -o turned.csv --quiet > /dev/null
by_place() { tail -n +2 "$1" | cut -d, -f2- | sort; }
cmp <(by_place rows.csv) <(by_place turned.csv) && echo 'the same, turned'
run gm-cluster matrix holes.npy -o holes.csv --no-map --min-cluster-size 10 --json
grep '^7,' holes.csv | tr -d '\r'
run gm-cluster matrix whole.npy -o whole.csv --n-neighbors 5 --cluster rows --min-cluster-size 4 --allow-single-cluster --quiet
run gm-cluster matrix m.npy -o dense.csv --densmap --neighbours exact --epochs 100 --json --quiet | grep -o '"neighbours":"exact","neighbour_recall":null'
cmp -s <(cut -d, -f2,3 rows.csv) <(cut -d, -f2,3 dense.csv) || echo 'densMAP gives another map'
run gm-cluster matrix few.npy -o few.csv --quiet
run gm-cluster matrix few.npy -o few.csv --no-map --min-cluster-size 2
run gm-cluster matrix equal.npy -o new.csv
run gm-cluster matrix equal.npy -o equal.csv --no-map
run gm-cluster matrix equal.npy -o equal.csv --no-map --allow-single-cluster --force
run gm-cluster matrix none.npy -o new.csv
head -c 128 few.npy > vast.npy
truncate -s 4T vast.npy
run gm-cluster matrix vast.npy -o new.csv
run gm-cluster matrix wide.npy -o wide.csv --min-cluster-size 5
run gm-cluster matrix m.npy -o rows.csv
run gm-cluster matrix m.npy
run gm-cluster matrix m.npy -o new.csv --no-map --graph g.csv
run gm-cluster matrix m.npy -o new.csv --no-map --metric cosine
run gm-cluster matrix m.npy -o new.csv --min-cluster-size 1
run gm-cluster matrix m.npy -o new.csv --min-dist 2
run gm-cluster matrix absent.npy -o new.csv
run gm-cluster matrix rows.csv -o new.csv
run gm-cluster matrix m.npy -o new.csv --metric hellinger
ls new.csv* 2> /dev/null
