# gm-probe: dry runs, recording levels, samples, shared-out runs, tokenize, info - on a
# tiny model; what must be the same content has the same digest.
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
make_corpus > c.jsonl
collect() { gm-probe collect --model "$TINY" --corpus c.jsonl --min-tokens 20 --doc-tokens 100 --quiet "$@"; }
digest() { gm-probe info "$1" --json | grep -o '"digest":"[0-9a-f]*"' > "$1.digest"; }
field() { gm-probe info "$1" --json | grep -o "\"$2\":[^,}]*" | head -n 1; }

echo "-- a dry run writes nothing:"
collect -o t.h5 --dry-run
collect -o t.h5 --dry-run --json | grep -o '"[a-z_]*":' | tr -d '\n'; echo
copy_model copy
gm-probe collect --model copy --corpus c.jsonl --min-tokens 20 --dry-run --map | tail -n 1
gm-probe collect --model copy --corpus c.jsonl --min-tokens 20 --dry-run --cache write > /dev/null
ls t.h5* copy/*.gm 2> /dev/null

echo "-- levels:"
collect -o t.h5 > /dev/null; digest t.h5
collect -o counts.h5 --record counts --no-text > /dev/null
collect -o logits.h5 --record logits:0.5 --nll > /dev/null
for f in t.h5 counts.h5 logits.h5; do
    gm-probe verify $f > /dev/null; echo "$f verify $?"
    field $f record; field $f documents; field $f counted_tokens; field $f text; field $f nll
done

gm-probe export t.h5 --limit 1 -o one.csv
printf '{"text": "a"}\n' > a.jsonl
gm-probe collect --model "$TINY" --corpus a.jsonl --min-tokens 1 --quiet -o one.h5 | head -n 1

echo "-- which documents:"
collect -o limit.h5 --limit 7 > /dev/null; field limit.h5 documents
collect -o sample.h5 --sample 12 --seed 3 > /dev/null; field sample.h5 documents
field sample.h5 not_sampled
collect -o again.h5 --sample 12 --seed 3 --threads 1 > /dev/null
collect -o other.h5 --sample 12 --seed 4 > /dev/null
digest sample.h5; digest again.h5; digest other.h5
same sample.h5.digest again.h5.digest "one seed twice"
same sample.h5.digest other.h5.digest "two seeds"
collect -o subset.h5 --per-subset 5 > /dev/null; field subset.h5 documents

echo "-- shared out, stopped and gone on with:"
collect -o shared.h5 --shard 0/2
collect -o shared.h5 --shard 1/2
gm-probe merge shared.h5.parts -o shared.h5 > /dev/null; echo "merge $?"
run gm-probe merge shared.h5.parts --index --force -o shared.h5.parts/../shared.h5.parts/000000.h5
(SLURM_PROCID=1 SLURM_NTASKS=2 && export SLURM_PROCID SLURM_NTASKS && collect -o slurm.h5
    collect -o alone.h5 --shard 0/1 > /dev/null; field alone.h5 documents)
(OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=3 && export OMPI_COMM_WORLD_RANK OMPI_COMM_WORLD_SIZE
    collect -o mpi.h5)
(SLURM_ARRAY_TASK_ID=7 SLURM_ARRAY_TASK_COUNT=4 SLURM_ARRAY_TASK_MIN=5 &&
    export SLURM_ARRAY_TASK_ID SLURM_ARRAY_TASK_COUNT SLURM_ARRAY_TASK_MIN && collect -o array.h5
    gm-probe collect --model "$TINY" --corpus c.jsonl --min-tokens 20 -o array.h5 2>&1 > /dev/null |
        grep -a task
    SLURM_ARRAY_TASK_ID=20 && collect -o array.h5
    SLURM_ARRAY_TASK_ID=65 SLURM_ARRAY_TASK_STEP=20 && export SLURM_ARRAY_TASK_STEP && collect -o steps.h5 --force
    SLURM_ARRAY_TASK_ID=66 && collect -o steps.h5 --force)
digest shared.h5
same t.h5.digest shared.h5.digest "whole and shared out"
collect -o t.h5 --resume; echo "resume $?"
collect -o t.h5 --resume --limit 5; echo "resume $?"
cp -rL "$TINY" config && chmod -R u+w config # the same weights, that compute another thing
sed 's/"rms_norm_eps": [^,]*/"rms_norm_eps": 0.002/' "$TINY/config.json" > config/config.json
gm-probe collect --model config --corpus c.jsonl --min-tokens 20 --doc-tokens 100 --quiet -o t.h5 --resume 2>&1
echo "resume $?"
gm-probe collect --model "$TINY" --corpus c.jsonl --min-tokens 20 --limit 1 -o loud.h5 2>&1 > /dev/null |
    grep -a -e recording -e 'in all'
collect -o steps.h5 --step-tokens 64 --threads 1 > /dev/null; digest steps.h5
same t.h5.digest steps.h5.digest "large and small steps"

for shortest in 1 20 100; do # room for as many documents as a step can hold
    collect --dry-run --json --step-tokens 1024 --min-tokens $shortest | grep -o '"kv_bytes":[0-9]*'
done
collect -o tight.h5 --doc-tokens 20 --step-tokens 64 > /dev/null; field tight.h5 counted_tokens

echo "-- compressed, in a folder:"
mkdir folder
gzip -c c.jsonl > folder/c.jsonl.gz
gm-probe collect --model "$TINY" --corpus folder --min-tokens 20 --doc-tokens 100 --quiet -o z.h5 > /dev/null
field z.h5 documents; field z.h5 counted_tokens

echo "-- several, as the shell spells them out:"
cp c.jsonl again.jsonl
collect -o two.h5 again.jsonl > /dev/null; field two.h5 documents

echo "-- tokenize needs a tokenizer only:"
mkdir only && cp "$TINY/tokenizer.json" only
printf '{"text": "the other"}\n{"text": ""}\nnot JSON\n' > some.jsonl
gm-probe tokenize --model only some.jsonl

echo "-- a model folder:"
gm-probe info "$TINY" | grep -v '^memory_here\|^fits'

for model in gemma4-tiny nemotron-tiny qwen3-next-tiny deepseek-v2-tiny lfm-tiny; do
    gm-probe info "$SRC/tests/golden/models/$model" | sed -n '/^heads/,/^vocab/p; /^layers_with/,$p'
done
echo "-- a trace:"
gm-probe info z.h5 | grep "^  libraries"
