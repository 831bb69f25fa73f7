# gm-probe collect --plan: a corpus read under a plan, and what that costs; which plans are refused.
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
make_corpus > c.jsonl
collect() { gm-probe collect --model "$TINY" --corpus c.jsonl --min-tokens 20 --doc-tokens 60 --nll --quiet "$@" > /dev/null; }
plan() { gm-steer plan --model "$TINY" "$@" --force > /dev/null; }
collect -o t.h5

echo "-- a plan of zeros changes nothing:"
plan --expert 1:0=0 -o zero.plan.safetensors
collect -o zero.h5 --plan zero.plan.safetensors
for array in expert_id gate nll; do
    for f in t zero; do gm-probe export $f.h5 --array $array -o $f.npy --force > /dev/null 2>&1; done
    same t.npy zero.npy $array
done
gm-probe info zero.h5 | grep -c '^steering'

echo "-- two experts taken out:"
plan --expert 2:1=-inf --expert 2:4=-inf -o out.plan.safetensors
collect -o out.h5 --plan out.plan.safetensors
gm-probe verify out.h5 > /dev/null; echo "verify $?"
gm-probe info out.h5 | grep -A 20 '^steering' | grep 'experts\|mode'
gm-probe stats t.h5 --against out.h5 | sed -n '/^layer/,/^all/p;/^loss/,$p'
gm-probe stats t.h5 --against out.h5 --json | grep -o '"loss":.*' | grep -o '"[a-z_]*":' | tr -d '\n'; echo
gm-probe stats t.h5 --against out.h5 --report page.html > /dev/null
grep -o '<caption>Loss[^<]*' page.html

gm-cluster fit out.h5 -o out.atlas.h5 --min-cluster-size 5 --quality none --quiet |& head -n 1

echo "-- streamed, in other steps: the same; a run under another plan is another run:"
collect -o streamed.h5 --plan out.plan.safetensors --stream --step-tokens 64
gm-probe stats out.h5 --against streamed.h5 | grep '^all'
gm-probe collect --model "$TINY" --corpus c.jsonl --min-tokens 20 --doc-tokens 60 --quiet -o short.h5 > /dev/null
gm-probe stats short.h5 --against t.h5 2>&1 | grep -e --nll
gm-probe stats t.h5 --against short.h5 2>&1 | grep -e --nll
collect -o out.h5 --plan out.plan.safetensors --resume; echo "exit $?"
collect -o out.h5 --plan zero.plan.safetensors --resume; echo "exit $?"
collect -o out.h5 --resume; echo "exit $?"

echo "-- what is wrong:"
plan --expert 2:1=3 --phase generated -o late.plan.safetensors
collect -o x.h5 --plan late.plan.safetensors; echo "exit $?"
plan --model "$SRC/tests/golden/models/olmoe-tiny" --expert 2:1=3 -o other.plan.safetensors
collect -o x.h5 --plan other.plan.safetensors |& sed "s|'[^']*/|'.../|"
collect -o x.h5 --any-model; echo "exit $?"
collect -o x.h5 --plan c.jsonl; echo "exit $?"
copy_model tuned && sed -i 's/"rms_norm_eps": [^,]*/"rms_norm_eps": 0.002/' tuned/config.json
gm-probe collect --model tuned --corpus c.jsonl --min-tokens 20 --quiet -o x.h5 --plan out.plan.safetensors |& sed 's/(.*)/(...)/'
gm-probe collect --model tuned --corpus c.jsonl --min-tokens 20 --quiet -o x.h5 --plan out.plan.safetensors --any-model |
    head -n 1 | cut -d , -f 2
