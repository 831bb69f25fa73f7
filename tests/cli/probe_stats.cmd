# gm-probe stats: what a trace says of its experts, at every recording level; what is wrong.
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
make_trace

echo "-- tables:"
gm-probe stats t.h5 --top 1 --vocabulary 20

echo "-- fewer tables, another seed:"
gm-probe stats t.h5 --top 0 --permutations 0 --vocabulary 0 | head -n 5
gm-probe stats t.h5 --json > one.json
gm-probe stats t.h5 --json > two.json
gm-probe stats t.h5 --json --seed 2 > other.json
same one.json two.json "one seed twice"
same one.json other.json "two seeds"

echo "-- members:"
grep -o '"[a-z_0-9]*":' one.json | sort -u | tr -d '\n'; echo

echo "-- counts alone, one subset:"
gm-probe collect --model "$TINY" --corpus c.jsonl --min-tokens 20 --doc-tokens 100 --quiet \
    --record counts --subset-field none -o counts.h5 > /dev/null
gm-probe stats counts.h5

echo "-- one expert:"
gm-probe stats t.h5 --expert 3:0 --expert 1:2 --top 3 --model "$TINY" | sed -n '/^expert/,$p'
gm-probe stats t.h5 --expert 3:0 --top 2 --json | grep -o '"asked":.*'

echo "-- with logits; pairs of more tokens; as OLMoE's script counts:"
gm-probe collect --model "$TINY" --corpus c.jsonl --min-tokens 20 --doc-tokens 60 --limit 50 --quiet \
    --record logits:0.2 -o logits.h5 > /dev/null
gm-probe stats logits.h5 --top 0 --permutations 0 --vocabulary 0 | sed -n '1,5p;/^position/,+2p'
gm-probe stats logits.h5 --top 1 --vocabulary 20 --min-support 900 | sed -n '/token ids/,$p'
gm-probe stats logits.h5 --olmoe --json | grep -o '"olmoe_script":{"vocabulary_specialisation":[0-9.]*'

echo "-- with norms of experts' outputs; nothing else of the trace differs; shared out and merged:"
norms() { gm-probe collect --model "$TINY" --corpus c.jsonl --min-tokens 20 --doc-tokens 100 --quiet --record norms "$@"; }
norms -o norms.h5 > /dev/null
gm-probe verify norms.h5 | grep norms
gm-probe info norms.h5 --json | grep -o '"record":"[a-z]*"\|"norms":[a-z]*'
gm-probe stats norms.h5 --top 2 --permutations 0 --vocabulary 0 | sed -n '/^norms/,/^mean/p'
gm-probe stats norms.h5 --json > norms.json
gm-probe stats norms.h5 --report norms.html --figures n > /dev/null; ls n | grep outputs | tr '\n' ' '
grep -o '<h2>What the experts put out' norms.html
gm-probe stats norms.h5 --csv norms.csv --quiet > /dev/null
head -n 1 norms.csv
python3 - << 'END'
import csv, json
whole, rows = json.load(open("norms.json")), list(csv.DictReader(open("norms.csv", newline="")))
subsets, outputs = {s["subset"]: s for s in whole["subsets"]}, {o["layer"]: o for o in whole["outputs"]["layers"]}
layers = [layer["layer"] for layer in whole["layers"]]
number = lambda text: float(text) if text else None
for row in rows:
    layer, e = int(row["layer"]), int(row["expert"])
    if row["subset"] == "":
        of = outputs[layer]
        assert int(row["tokens"]) == whole["tokens"] and int(row["choices"]) == of["choices"][e], row
        assert [number(row[k]) for k in ("ean", "reap", "largest_norm")] == [of[k][e] for k in ("ean", "reap", "largest_norm")], row
        assert abs(float(row["rate"]) * whole["tokens"] - of["choices"][e]) < 1e-6, row
    else:
        of, at = subsets[row["subset"]], layers.index(layer)
        assert int(row["tokens"]) == of["tokens"], row
        assert number(row["rate"]) == of["specialisation"][at][e], row
        assert [number(row[k]) for k in ("lift", "npmi", "risk_difference")] == [of[k][at][e] for k in ("lift", "npmi", "risk_difference")], row
        assert (row["ean"], row["reap"]) == ("", ""), row
choices = lambda subset: sum(int(row["choices"]) for row in rows if (row["subset"] == "") != subset)
print(len(rows) == (1 + len(subsets)) * len(layers) * whole["experts"], choices(True) == choices(False) > 0)
END
run gm-probe stats norms.h5 --csv norms.csv
gm-probe stats t.h5 --csv plain.csv --quiet > /dev/null; head -n 2 plain.csv
run gm-probe stats t.h5 --against t.h5 --csv plain.csv
gm-probe stats norms.h5 --json | grep -o '"outputs":{.*}]},"by_token"' | grep -o '"[a-z_]*":' | sort | uniq -c
for array in counts expert_id gate topk_mass margin; do
    gm-probe export t.h5 --array $array -o without.npy --force --quiet > /dev/null
    gm-probe export norms.h5 --array $array -o with.npy --force --quiet > /dev/null
    same without.npy with.npy $array
done
for i in 0 1; do norms -o shared.h5 --shard $i/2 > /dev/null; done
gm-probe merge shared.h5.parts -o shared.h5 > /dev/null && gm-probe merge shared.h5.parts --index -o index.h5 > /dev/null
for trace in shared.h5 index.h5; do
    gm-probe stats $trace --json > merged.json && same norms.json merged.json $trace
done
run gm-probe collect --model "$TINY" --corpus c.jsonl --min-tokens 20 --quiet --resume -o norms.h5

echo "-- a page and pictures, twice the same bytes; nothing is replaced unasked:"
gm-probe stats t.h5 --report a.html --figures f --subset soup --expert 3:0 --top 2 --model "$TINY" > /dev/null
gm-probe stats t.h5 --report b.html --figures g --subset soup --expert 3:0 --top 2 --model "$TINY" > /dev/null
ls f | tr '\n' ' '; echo
diff -r f g && same a.html b.html "page"
grep -o '<h[123]>[^<]*' a.html
run gm-probe stats t.h5 --report a.html
run gm-probe stats t.h5 --figures f
run gm-probe stats t.h5 --figures f --subset stew --force
run gm-probe stats t.h5 --figures c.jsonl/f
run gm-probe stats t.h5 --subset soup
gm-probe stats t.h5 --against t.h5 --report b.html --figures g --force > /dev/null
ls g | grep agreement | tr '\n' ' '; grep -o '<h[123]>[^<]*' b.html

echo "-- a router that is finite nowhere:"
copy_model broken
python3 - << 'END'
import glob, json, struct
for path in glob.glob("broken/*.safetensors"):
    data = bytearray(open(path, "rb").read())
    first = 8 + struct.unpack("<Q", data[:8])[0]
    for name, tensor in json.loads(data[8:first]).items():
        if "embed_tokens" in name:
            begin, end = (first + at for at in tensor["data_offsets"])
            data[begin:end] = b"\xff" * (end - begin)
            open(path, "wb").write(data)
END
gm-probe collect --model broken --corpus c.jsonl --limit 3 --min-tokens 20 --allow-bad --nll --quiet -o broken.h5 > /dev/null
gm-probe stats broken.h5 --expert 1:0 --report broken.html
grep -o "Mean cosine[^.]*[.]" broken.html
gm-probe stats broken.h5 --against broken.h5 | tail -n 2
gm-probe ablate --model broken --corpus c.jsonl --limit 3 --min-tokens 20 --experts 1:0 --quiet

echo "-- a recorded generation:"
generate --prompt "salt onion broth" --prompt "orbit comet" --prompt "sail" --prompt "bowl stir" --record r.h5 > /dev/null
gm-probe stats r.h5 --top 0 --vocabulary 0 | sed -n '/^prompt/,$p'
gm-probe stats r.h5 --json | grep -o '"rollout":{.*]},"reuse"' | grep -o '"[a-z_]*":' | sort | uniq -c

echo "-- two traces of the same documents, and with others:"
gm-probe stats t.h5 --against t.h5
gm-probe collect --model "$TINY" --corpus c.jsonl --min-tokens 20 --doc-tokens 60 --limit 50 --quiet \
    --numerics f32 -o f32.h5 > /dev/null
gm-probe stats t.h5 --against f32.h5 | head -n 1
gm-probe stats f32.h5 --against t.h5 --json | grep -o '"[a-z_]*":[0-9]*' | head -n 4

echo "-- what is wrong:"
run gm-probe stats
run gm-probe stats t.h5 counts.h5
run gm-probe stats absent.h5
run gm-probe stats absent.h5 --figures made
run gm-probe stats t.h5 --against absent.h5 --figures made
ls -d made |& sed 's/.*: \(.*\): /\1: /'
run gm-probe stats c.jsonl
run gm-probe stats t.h5 --against counts.h5
run gm-probe stats counts.h5 --against t.h5
run gm-probe stats t.h5 --against absent.h5
for expert in 3 0:1 3:16 3: :1 a:b -1:1 3:0,3:1; do run gm-probe stats t.h5 --expert "$expert"; done
run gm-probe stats t.h5 --model absent
run gm-probe stats t.h5 --model "$SRC/tests/golden/models/olmoe-tiny"
run gm-probe stats t.h5 --permutations -1
