# gm-steer sweep and compare on a tiny model: the shape of what they print, the same for
# any number of threads, batches and kills.
# label: slow
# label: long
. "$SRC/tests/cli/tiny.sh"
make_atlas
make_corpus 77 > other.jsonl
printf 'salt onion\nthe captain\n' > tune.txt
printf 'a comet\nthe deck\nbroth\n' > test.txt
how="--model $TINY --atlas a.h5 --quiet"
how="$how --classifier-corpus other.jsonl --tune-prompts tune.txt --prompts test.txt"
options="--max-tokens 8 --min-purity 0.5 --n-clusters 2 --draws 2 --doses=-1,0,1,2 --band-draws 1"
options="$options --shuffles 1 --passages 2"
sweep() { gm-steer sweep $how $options "$@"; }
echo "-- sweep:"
sweep -o s.h5 --csv s.csv --report s.html --figure s.png > text; echo "exit $?"
grep -c '^cluster [01]: ' text
grep -c 'at dose [0-9]* the plan cannot be told from random experts with so few draws' text
sed -n '/^judge/p; /^  *texts/p; /^All topics/p' text
awk -F, 'NR > 1 { n[$1 "," $2 "," $4]++ } END { for (k in n) print k, n[k] }' s.csv | sort
awk -F, '{ print NF }' s.csv | sort | uniq -c
test -e s.h5.parts || echo "no parts are left"
sweep -o s.h5 --resume > told; echo "exit $?"; cut -c1-24 told
sweep -o s.h5 --resume --max-kl 2 > told; echo "exit $?"; cat told
sweep -o s.h5; echo "exit $?"
sweep -o s.h5 --resume --csv t.csv --report t.html --figure t.png > told 2> /dev/null; echo "exit $?"
same text told "told again"; same s.csv t.csv "CSV"; same s.html t.html "page"; same s.png t.png "figure"
grep -o '<h2>[^<]*' s.html
sweep --dry-run | sed -n 's/^\([0-9]* cells.*\)/\1/p'

echo "-- one and the same:"
small="--n-clusters 1 --doses=0,1,2 --draws 1 --band-draws 0 --shuffles 0 --passages 1"
sweep $small --threads 1 --json > one.json 2> /dev/null
sweep $small --threads 2 --batch 3 --json > two.json 2> /dev/null
same one.json two.json "threads and batches"
grep -o '"zero_dose_same":[a-z]*' one.json | sort -u
grep -o '"\(own_largest\|clusters_own_largest\|affordable\)":[a-z]*' one.json
sweep $small --max-kl 0 --json 2> /dev/null | grep -o '"affordable":[a-z]*\|No dose is within the limit of 0'
sweep $small --doses 0,1 --report f.html > /dev/null 2>&1
grep -l 'were chosen on other prompts' s.html f.html
sed 's/.*"config":\({[^}]*}\).*/\1/' one.json > again.json
gm-steer sweep --config again.json --quiet --json > three.json 2> /dev/null
same one.json three.json "the recorded configuration"
sweep $small -o k.h5 > whole 2> /dev/null
mv k.h5 whole.h5
gm-steer sweep $how $options $small -o k.h5 > /dev/null 2>&1 & victim=$!
until ls k.h5.parts/*.h5 > /dev/null 2>&1 || ! kill -0 $victim 2> /dev/null; do sleep 0.01; done
kill -9 $victim; wait $victim 2> /dev/null
sweep $small -o k.h5; echo "exit $?"
sweep $small -o k.h5 --max-kl 2 --resume; echo "exit $?"
sweep $small -o k.h5 --force --dry-run > /dev/null && ls k.h5.parts/*.h5 > /dev/null && echo "kept by a dry run"
grep -aq '"device":"cpu","kernels":' k.h5.parts/*.h5 && echo "a part says what computed it"
cp -rL "$TINY" folder && chmod -R u+w folder
echo '{"do_sample": true, "top_k": 2}' > folder/generation_config.json
sweep $small --model folder -o k.h5 --resume; echo "exit $?"
cp -L "$TINY"/*.json folder && sed -i 's/"normalizer": *null/"normalizer": {"type": "Lowercase"}/' folder/tokenizer.json
cmp -s "$TINY/tokenizer.json" folder/tokenizer.json || echo "another tokenizer"
sweep $small --model folder -o k.h5 --resume; echo "exit $?"
sweep $small -o k.h5 --resume > resumed 2> /dev/null; echo "exit $?"
same whole resumed "text after a kill"
for file in whole k; do sweep $small -o $file.h5 --resume 2> /dev/null | sed 's/^[^ ]* //' > $file.end; done
same whole.end k.end "digest after a kill"

draws=${GM_TEST_SMALL:+6} # enough to be interrupted; where everything is slower fewer are
many="$small --draws ${draws:-20}"
gm-steer sweep $how $options $many -o i.h5 > /dev/null 2> i.err & victim=$!
until ls i.h5.parts/*.h5 > /dev/null 2>&1 || ! kill -0 $victim 2> /dev/null; do sleep 0.01; done
kill -TERM $victim; wait $victim; echo "exit $?"; grep -v '^warning: [0-9]* draws' i.err >&2
sweep $many -o i.h5 --resume > /dev/null 2>&1; echo "exit $?"

# A disk that fills at the page: nothing that is in the way of --resume.
(trap '' XFSZ; ulimit -f 40; sweep $small -o f.h5 --csv f.csv --figure f.png --report full.html 2>&1 > /dev/null | tail -n 1)
ls f.csv f.png full.html f.h5 2> /dev/null
sweep $small -o f.h5 --csv f.csv --figure f.png --resume > resumed 2> /dev/null; echo "exit $?"
same whole resumed "text after a full disk"

echo "-- refused:"
sweep --csv s.csv
sed 's/: "\(soup\|ships\|stars\)"}/: "far \1"}/' other.jsonl > far.jsonl
gm-steer sweep --model $TINY --atlas a.h5 --quiet --classifier-corpus far.jsonl $options
sweep --weight 2
sweep --doses 2,1
sweep --doses=-1,0
sweep --doses 1,1e39
sweep --filter lift,most
sweep --cluster 99
sweep --cluster 1 --cluster 1
sweep --max-tokens 240
sweep --prompt ""
sweep --prompt "the captain"
gm-steer sweep --model $TINY --atlas a.h5 --quiet --classifier-corpus c.jsonl
grep '"soup"' other.jsonl > one.jsonl
gm-steer sweep --model $TINY --atlas a.h5 --quiet --classifier-corpus one.jsonl
echo '{"draws": 3, "dozes": [1, 2]}' > bad.json; sweep --config bad.json
echo '[1]' > bad.json; sweep --config bad.json

echo "-- compare:"
compare() { gm-steer compare --model $TINY --atlas a.h5 --quiet --max-tokens 8 "$@"; }
compare --cluster 0 --cluster 1 --subset soup --prompt "salt onion" --weight 3 > two
grep -c '^unsteered' two
sed -n 's/[0-9]* %/N %/g; s/: [a-z ]* N/: WORDS N/g; /^dose/p' two
compare --cluster 0 --prompt "salt onion" --weight 0 --json > zero.json
text='"text":"\([^"]*\)"'
test "$(grep -o "\"unsteered\":{$text" zero.json | cut -d: -f 2-)" = \
    "$(grep -o "\"steered\":{$text" zero.json | cut -d: -f 2-)" && echo "weight 0: same texts"
compare --cluster 0 --json | grep -o '"prompt":' | wc -l
printf 'one\ntwo\n' > prompts.txt
compare --cluster 0 --prompts prompts.txt --json | grep -o '"prompt":"[a-z]*"'
compare $(printf -- '--cluster %d ' 0 1 0 1 0 1 0 1 0 1) --prompt salt | grep -c -- '-+-'
