# gm-steer sweep and compare on a tiny model: the shape of what they print, the same for
# any number of threads.
. "$SRC/tests/cli/tiny.sh"
make_atlas
how="--model $TINY --atlas a.h5 --quiet"
sweep() {
    gm-steer sweep $how --classifier-corpus c.jsonl --continuations 6 --draws 2 --max-tokens 8 \
        --min-purity 0.5 "$@"
}
echo "-- sweep:"
sweep --weights 1 --csv s.csv; echo "exit $?"
awk -F, 'NR == 1 { print } NR > 1 { n[$1 "," $3]++ } END { for (k in n) print k, n[k] }' s.csv | sort
sweep --cluster 0 --weights 1,3 --draws 1 --threads 1 --json > one.json 2> /dev/null
sweep --cluster 0 --weights 1,3 --draws 1 --threads 2 --batch 5 --json > two.json 2> /dev/null
same one.json two.json "threads and batches"
grep -o '"trials":\[{"weight":1,\|"beats_random":[a-z]*' one.json
sweep --weights 1 --csv s.csv; echo "exit $?"
sweep --weights 1 --min-purity 1; echo "exit $?"
sweep --weights 1 --weight 2; echo "exit $?"

echo "-- compare:"
compare() { gm-steer compare $how --max-tokens 8 "$@"; }
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
