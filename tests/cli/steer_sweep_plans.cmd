# gm-steer sweep with plan files as topics, with schedules, and what its dry run says.
# label: slow
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
make_atlas
make_corpus 77 > other.jsonl
printf 'salt onion\nthe captain\n' > tune.txt
printf 'a comet\nthe deck\nbroth\n' > test.txt
how="--model $TINY --atlas a.h5 --quiet --classifier-corpus other.jsonl --tune-prompts tune.txt --prompts test.txt"
how="$how --max-tokens 8 --doses 1,2 --draws 1 --band-draws 0 --shuffles 0 --passages 1"
sweep() { gm-steer sweep $how "$@"; }
plan() { gm-steer plan --atlas a.h5 "$@" > /dev/null; }
plan --cluster 1 -o one.st
plan --subset stars --mode gate --mass-match --layers 2-3 --phase generated --schedule fade:6 -o stars.st
plan --expert 1:2=3 --mode select --phase prompt -o hand.st

echo "-- a plan file, and the cluster that it was made of: as far as nothing is drawn at random"
drawn='random\|shuffled\|half\|^exit\|^Cluster\|^Plan\|:\|^All'
sweep --cluster 1 | grep -v "$drawn" > cluster
sweep --plan one.st | grep -v "$drawn" > file
same cluster file "tables"
grep -c '^  plan  ' file

echo "-- windows, mode and schedule are the file's:"
sweep --plan stars.st --plan hand.st=ships --csv s.csv -o s.h5 --report s.html --json > s.json
grep -o '"cluster":[^,]*,"subset":[^,]*,"plan_file":[^,]*,"domain":[^,]*' s.json
awk -F, 'NR > 1 && $1 == "judge" { n[$2 "," $4]++ } END { for (k in n) print k, n[k] }' s.csv | sort | head -n 13
grep -o '<h2>Plan[^<]*' s.html
sweep --plan stars.st --plan hand.st=ships -o s.h5 --resume | cut -c1-20

echo "-- schedules:"
columns() { grep '^  plan ' | awk '{ print $7, $8, $9 }'; }
sweep --cluster 1 | columns > constant
sweep --cluster 1 --schedule first:1000 | columns > all
sweep --cluster 1 --schedule first:2 | columns > two
sweep --cluster 1 --schedule rise:50 -o rise.h5 | columns > rise
same constant all "first:1000, longer than any text"
same constant two "first:2"
same constant rise "rise:50"
sweep --cluster 1 --schedule fade:50 -o rise.h5 --resume

echo "-- the dry run:"
masked() { sed 's/about [0-9:.]* *s\{0,1\},/about N,/; s/: [a-z]*, .*/: TOPIC/; s/^tokens: .* fixed/tokens: N fixed/'; }
sweep --n-clusters 1 --min-purity 0.5 --dry-run | masked
sweep --plan one.st --dry-run | masked

echo "-- another plan of that name, other kernels:"
refused="gm-steer sweep: 'p.h5' belongs to a sweep with other options, device, kernels or contents, or from an older gm-steer; choose another -o, or remove the file"
sweep --plan one.st -o p.h5 --kernels portable > /dev/null
if grep -q avx2 /proc/cpuinfo; then
    sweep --plan one.st -o p.h5 --kernels avx2 --resume --csv p.csv
else
    echo "$refused"
fi
plan --cluster 0 -o one.st --force
sweep --plan one.st=soup -o p.h5 --kernels portable --resume --csv p.csv

echo "-- refused:"
sweep --plan absent.st
sweep --plan hand.st
sweep --plan hand.st=soups
sweep --plan one.st --mode gate
sweep --plan one.st --filter none
sweep --schedule later:3
sweep --schedule rise:3 --mode mask
sweep --schedule first:3 --phase prompt
plan --expert 1:2=-inf -o out.st
sweep --plan out.st=soup
plan --cluster 0 --weight 0 -o zero.st
sweep --plan zero.st
gm-steer plan --model "$SRC/tests/golden/models/olmoe-tiny" --expert 1:2=1 -o olmoe.st > /dev/null
sweep --plan olmoe.st=soup
sweep --subset soups
grep -v '"stars"' other.jsonl > two.jsonl
gm-steer sweep ${how/other.jsonl/two.jsonl} --subset stars
copy_model other
printf '\001' | dd of=other/model-00003-of-00003.safetensors bs=1 seek=133000 conv=notrunc 2> /dev/null
gm-steer plan --model other --expert 1:2=1 -o other.st > /dev/null
sweep --plan other.st=soup 2>&1 | sed -E 's/[0-9a-f]{12}/DIGEST/g'
plan --expert 1:2=1e38 --expert 1:3=1e38 -o huge.st
sweep --plan huge.st=soup --doses 1,1000
