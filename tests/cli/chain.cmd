# The whole chain on a tiny model, collect to generate; what must be equal is equal, byte
# for byte.
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
make_corpus > c.jsonl
run gm-probe collect --model "$TINY" --corpus c.jsonl --min-tokens 20 --doc-tokens 100 -o t.h5 --quiet
run gm-probe verify t.h5
run gm-cluster fit t.h5 -o a.h5 --min-cluster-size 5 --quiet
run gm-cluster show a.h5
gm-cluster show a.h5 --cluster 0 | sed -n "1p;/^important/,/^most/p"
gm-cluster show a.h5 --json | grep -o '"min_dist":[^,]*'  # not umap-learn's

echo "-- weight 0 and no steering:"
generate --prompt "salt onion" > none
generate --prompt "salt onion" --atlas a.h5 --cluster 0 --weight 0 > zero
same none zero "unsteered and weight 0"
for mode in select gate mask; do
    generate --prompt "salt onion" --atlas a.h5 --cluster 0 --mode $mode --weight 0 > zero
    same none zero "unsteered and weight 0, $mode"
done
generate --prompt "salt onion" --atlas a.h5 --cluster 0 --weight 3 > three
same none three "unsteered and weight 3"

echo "-- a plan file and the options it was made from:"
how="--filter top:4 --scale logit --mode bias --mass-match --layers 2-3 --phase generated"
run gm-steer plan --atlas a.h5 --cluster 0 --cluster 1=-0.5 --subset soup=0.25 --expert 3:1=0.5 \
    $how --weight 2 -o p.st | head -1
gm-steer plan p.st | grep -v source > described
gm-steer plan --atlas a.h5 --cluster 0 --cluster 1=-0.5 --subset soup=0.25 --expert 3:1=0.5 \
    $how --weight 2 | grep -v source > built
same described built "the file and the plan"
generate --prompt "salt onion" --plan p.st > by_file
generate --prompt "salt onion" --atlas a.h5 --cluster 0 --cluster 1=-0.5 --subset soup=0.25 \
    --expert 3:1=0.5 $how --weight 2 > by_options
same by_file by_options "plan file and options"
same by_file none "plan file and unsteered"
generate --prompt "salt onion" --plan p.st --weight 0 > zero
same none zero "unsteered and plan file at weight 0"
