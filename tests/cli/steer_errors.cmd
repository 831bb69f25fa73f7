# What gm-steer refuses: one sentence, exit 1 (2 for usage), nothing written.
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
make_atlas
plan() { run gm-steer plan --atlas a.h5 "$@"; }
generate() { run gm-steer generate --model "$TINY" --prompt soup --max-tokens 3 --quiet "$@"; }

echo "-- what does not exist:"
plan --cluster 99 -o p.st
plan --cluster -1
plan --cluster soup
plan --subset sups
plan --expert 9:1=1
plan --expert 1:99=1
plan --expert 1:1
plan --expert 1:1=1,1:2=1
plan --cluster 0 -o p.csv
plan --layers 7-9 --cluster 0
plan --layers 3-1 --cluster 0
plan --layers 2-99 --expert 3:1=1 | head -n 3
run gm-steer plan --atlas absent.h5 --cluster 0
run gm-steer plan --atlas t.h5 --cluster 0
run gm-steer plan --cluster 0
plan
run gm-steer plan a.h5
run gm-steer plan absent.st
run gm-steer plan p.st
plan p.st
ls p.st* 2> /dev/null

echo "-- weights:"
plan --cluster 0 --weight nan
plan --cluster 0 --weight inf
plan --cluster 0=nan
plan --cluster 0=inf
plan --cluster 0=
plan --expert 1:1=nan
plan --expert 1:1=inf
plan --cluster 0=-1e7
plan --expert 1:1=1e300
plan --expert 1:1=-1e300

echo "-- nothing to steer to, and too much:"
generate --atlas a.h5
generate --weight 3
generate --atlas a.h5 --cluster 0 --weight 500 > /dev/null
generate --atlas a.h5 --cluster 0 --weight 500 --scale article > /dev/null

echo "-- rules:"
plan --cluster 0 --filter best
plan --cluster 0 --filter top:0
plan --cluster 0 --filter quantile:1.5
plan --cluster 0 --control noise
plan --cluster 0 --control other:99
plan --cluster 0 --control other:0
plan --cluster 0 --schedule linear:3
plan --cluster 0 --schedule first:0
plan --cluster 0 --schedule rise:3 --mode mask
plan --cluster 0 --schedule first:3 --phase prompt
plan --mode mask $(seq -f "--expert 2:%g=-1" 0 9)
generate --top-p 0
generate --repetition-penalty 0
echo "-- what is wrong with a prompt is said before weights are loaded, and packed:"
mkdir packed
run gm-steer generate --model "$TINY" --prompt soup --max-tokens 255 --quiet --cache write --cache-dir packed
run gm-steer compare --model "$TINY" --atlas a.h5 --cluster 0 --prompt soup --max-tokens 255 --quiet --cache write --cache-dir packed
ls packed
echo "-- the output exists:"
plan --cluster 0 -o p.st > /dev/null
cp p.st before
plan --cluster 1 -o p.st
cmp p.st before && echo untouched
plan --cluster 0 -o absent/p.st
generate --record before

run gm-steer sweep --model "$TINY" --atlas a.h5

echo "-- one file for another:"
generate --plan a.h5

echo "-- another model:"
copy_model other
printf '\001' | dd of=other/model-00003-of-00003.safetensors bs=1 seek=133000 conv=notrunc 2> /dev/null
run gm-steer generate --model other --atlas a.h5 --cluster 0 --prompt soup | sed -E 's/[0-9a-f]{12}/DIGEST/g'
run gm-steer generate --model other --plan p.st --prompt soup | sed -E 's/[0-9a-f]{12}/DIGEST/g'
run gm-steer generate --model other --plan p.st --prompt soup --max-tokens 3 --any-model > /dev/null
run gm-steer generate --model "$SRC/tests/golden/models/olmoe-tiny" --atlas a.h5 --cluster 0 --prompt soup --any-model
# the same weights, that compute another thing
copy_model config
sed 's/"rms_norm_eps": [^,]*/"rms_norm_eps": 0.002/' "$TINY/config.json" > config/config.json
config() { run gm-steer generate --model config --prompt soup --max-tokens 3 "$@"; }
config --atlas a.h5 --cluster 0
config --plan p.st
config --plan p.st --any-model > /dev/null
# no layer's numbers, and another number of layers
npy() { printf '\223NUMPY\001\000v\000%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': ($1, 12), }"; head -c $((48 * $1)) /dev/zero; }
for n in 3 2; do
    npy $n > a$n.npy
    gm-steer plan --import a$n.npy -o a$n.st > /dev/null
    generate --plan a$n.st --any-model
    run gm-steer compare --model "$TINY" --plan a$n.st --prompt soup --quiet
done

echo "-- prompts and stops:"
run gm-steer generate --model "$TINY"
run gm-steer generate --prompt soup
run gm-steer generate --model "$TINY" --cluster 0 --prompt soup
run gm-steer generate --model absent --prompt soup
run gm-steer generate --model "$TINY" --prompt ''
run gm-steer generate --model "$TINY" --prompt "$(printf '\377')"
run gm-steer generate --model "$TINY" --prompts absent.txt
: > empty.txt
run gm-steer generate --model "$TINY" --prompts empty.txt
printf 'soup\n{"prompt": 3}\n' > bad.txt
run gm-steer generate --model "$TINY" --prompts bad.txt
run gm-steer generate --model "$TINY" --prompt soup --max-tokens 255
run gm-steer generate --model "$TINY" --prompt soup --max-tokens 256
generate --plan p.st --cluster 1
generate --stop-token nothing
generate --stop ''
generate --stop "$(printf '\320')"
generate --interactive --record r.h5
run gm-steer generate --model "$TINY" --prompt soup unexpected
run gm-steer compare --model "$TINY" --atlas a.h5
run gm-steer compare --model "$TINY" --cluster 0
run gm-steer compare --model "$TINY" --atlas a.h5 --cluster 99
run gm-steer sweep --model "$TINY" --atlas a.h5 --classifier-corpus c.jsonl --doses 2,1
run gm-steer sweep --model "$TINY" --atlas a.h5 --classifier-corpus absent.jsonl
run gm-steer sweep --model "$TINY" --atlas a.h5 --classifier-corpus absent.jsonl --figure sweep.gif
make_corpus 77 > other.jsonl
run gm-steer sweep --model "$TINY" --atlas a.h5 --classifier-corpus other.jsonl --cluster 99 --quiet

echo "-- devices and kernels:"
generate --device tpu
generate --kernels mmx
generate --numerics f16
