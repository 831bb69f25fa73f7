# Help, version, and words that no program knows.
. "$SRC/tests/cli/tiny.sh"
for program in gm-probe gm-cluster gm-steer; do
    $program --help
    $program --version
    $program --version --json
    run $program
    run $program --versoin
done
run gm-probe colect
run gm-cluster sho
run gm-steer generat
run gm-probe collect --modle x
run gm-cluster fit --min-cluster-sise 5
run gm-steer generate --wieght 2
run gm-steer plan --nothing-like-it
run gm-probe collect --limit many
run gm-probe collect --limit -1
run gm-probe collect --limit
run gm-steer compare --scale log
run gm-cluster fit a.h5 b.h5 -o c.h5
run gm-steer generate --cluster
for command in "gm-probe collect" "gm-probe info" "gm-probe verify" "gm-probe stats" \
    "gm-probe merge" "gm-probe tokenize" "gm-cluster fit" "gm-cluster recut" "gm-cluster show" "gm-cluster find" "gm-cluster report" "gm-cluster assign" "gm-cluster export" \
    "gm-steer plan" "gm-steer generate" "gm-steer compare" "gm-steer sweep"; do
    $command --help | head -1
    $command > /dev/null 2> message
    echo "exit $?: $(head -1 message)"
done
