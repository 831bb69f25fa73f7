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
