# Every filter, scale, mode and control makes a plan that runs; controls have the norm of
# what they stand for.
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
make_atlas
for rule in lift,logratio top:2,logratio top-global:5,article quantile:0.8,logit none,logit; do
    rule="--atlas a.h5 --cluster 0 --filter ${rule%,*} --scale ${rule#*,} --weight 4"
    gm-steer plan $rule -o rule.st --force > /dev/null || echo "no plan"
    generate --prompt salt $rule > by_options
    generate --prompt salt --plan rule.st > by_file
    same by_file by_options "${rule#*0 }"
done
for mode in bias select gate mask; do
    generate --prompt salt --atlas a.h5 --cluster 1 --mode $mode --weight 3 > plain
    generate --prompt salt --atlas a.h5 --cluster 1 --mode $mode --weight 3 --mass-match > matched
    same plain matched "$mode, mass-matched or not"
done
norms() {
    gm-steer plan --atlas a.h5 --cluster 0 --filter none "$@" |
        awk '$1 ~ /^[0-9]+$/ { print $1, $4 }'
}
norms > plain
for control in random shuffled other:1 mean reverse; do
    norms --control $control --control-seed 3 > norms
    same plain norms "norms a layer, $control"
done

# A plan that does less than it reads: nothing in its layers, nothing in the table, none raised.
nothing() { gm-steer plan "$@" > /dev/null; }
nothing --model "$TINY" --expert 2:3=2 --layers 1
nothing --model "$TINY" --expert 2:3=2 --layers 1 --weight 0
nothing --model "$TINY" --expert 2:3=-inf
printf 'layer,expert,bias\n1,0,0\n' > zeros.csv
nothing --model "$TINY" --import zeros.csv
nothing --atlas a.h5 --cluster 1 --layers 2
nothing --atlas a.h5 --cluster 1=-1 --layers 2 --filter top:1
nothing --atlas a.h5 --cluster 1 --layers 1 --filter quantile:0.95
generate --prompt salt > unsteered
generate --prompt salt --atlas a.h5 --cluster 2=0 > by_options
same unsteered by_options "cluster times 0"

# Schedules: over all that is generated, over none of it but the prompt, in between.
steer="--atlas a.h5 --cluster 0 --filter none --weight 6"
generate --prompt salt $steer > always
for schedule in constant first:24 first:3 rise:6 fade:6; do
    gm-steer plan $steer --schedule $schedule -o s.st --force | sed -n 's/.*generated template//p'
    generate --prompt salt $steer --schedule $schedule > by_options
    generate --prompt salt --plan s.st > by_file
    same by_file by_options "$schedule"
    same always by_options "$schedule, always"
    generate --prompt salt --plan s.st --weight 0 > off
    same unsteered off "$schedule, weight 0"
done
gm-steer compare --model "$TINY" $steer --schedule first:1 --phase generated --prompt salt --max-tokens 24 --json --quiet |
    grep -o '"schedule":"[^"]*"'
