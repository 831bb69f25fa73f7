# Every mode, mass-matched or not, with windows, phases, schedules, subsets and experts by hand:
# the same plan by options and by file, in generate, compare and sweep.
# label: slow
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
make_atlas
make_corpus 77 > other.jsonl
printf 'a comet\nbroth\n' > test.txt
generate() { gm-steer generate --model "$TINY" --max-tokens 16 --quiet --prompt "salt onion" "$@"; }
compare() { gm-steer compare --model "$TINY" --max-tokens 16 --quiet --prompt "salt onion" --json "$@" | grep -o '"steered":{"text":"[^"]*"'; }
sweep() {
    gm-steer sweep --model "$TINY" --atlas a.h5 --quiet --classifier-corpus other.jsonl --prompts test.txt --doses 1 --draws 1 \
        --band-draws 0 --shuffles 0 --passages 1 --max-tokens 4 "$@" 2> /dev/null | awk '/^  plan / { print $7, $8, $9 }'
}
generate > unsteered
n=0
try() { # the windows and the topic after the mode
    n=$((n + 1))
    gm-steer plan --atlas a.h5 "$@" -o $n.st > described
    generate --atlas a.h5 "$@" > by_options
    generate --plan $n.st > by_file
    compare --atlas a.h5 "$@" > compared_options
    compare --plan $n.st > compared_file
    cmp -s by_options by_file || echo "$*: generate differs by options and by file"
    cmp -s compared_options compared_file || echo "$*: compare differs by options and by file"
    cmp -s by_file unsteered && echo "$*: nothing is steered"
    echo "$(head -n 1 described): $(cksum < by_file | cut -d' ' -f1)" >> seen
}
for mode in bias select gate mask; do
    for mass in "" --mass-match; do
        try --cluster 1 --filter none --weight 4 --mode $mode $mass
    done
done
for windows in "--layers 2" "--layers 2-3 --phase generated" "--phase prompt" "--phase generated --schedule first:3" \
    "--schedule rise:4" "--schedule fade:6"; do
    try --cluster 1 --filter none --weight 4 $windows
done
try --subset stars --filter none --weight 4 --mode gate --layers 1-2
try --expert 1:2=4 --expert 3:0=-6 --mode select --phase generated
try --expert 2:5=1 --expert 1:1=-1 --mode mask --mass-match
cut -d: -f1 seen
different=$(cut -d: -f2 seen | sort -u | wc -l)
[ "$different" -gt 12 ] && echo "$n plans, told apart by their texts"

echo "-- sweep, by options and by file: KL, loss"
for mode in "bias --mass-match" "select --layers 2-3" "gate --phase generated" "mask --schedule first:2"; do
    gm-steer plan --atlas a.h5 --cluster 1 --mode $mode -o sweep.st --force > /dev/null
    sweep --cluster 1 --mode $mode > by_options
    sweep --plan sweep.st > by_file
    same by_options by_file "$mode"
    cat by_options >> sweeps
done
gm-steer plan --atlas a.h5 --subset stars --expert 1:2=2 --mode select --mass-match --schedule fade:9 -o sweep.st --force > /dev/null
sweep --subset stars --expert 1:2=2 --mode select --mass-match --schedule fade:9 > by_options
sweep --plan sweep.st > by_file
same by_options by_file "a subset and an expert"
cat by_options >> sweeps
sort -u sweeps | wc -l
