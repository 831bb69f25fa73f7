# tiny.sh - what cases source: a checkpoint that runs in milliseconds, and corpora of
# 60 short documents in turn about soup, ships and stars, another for each number.
TINY=$SRC/tests/golden/models/deepseek-tiny

# Run a command, its exit code after it.
run() { "$@"; echo "exit $?"; }

# A writable copy of the checkpoint.
copy_model() { mkdir "$1" && cp "$TINY"/{config,tokenizer,model.safetensors.index}.json "$TINY"/*-of-* "$1" && chmod u+w "$1"/*; }

make_corpus() {
    awk -v state="${1:-1}" 'BEGIN {
        topic[0] = "soup"; topic[1] = "ships"; topic[2] = "stars"
        split("salt onion broth simmer carrot pepper bowl stir butter spoon", word)
        for (i = 1; i <= 10; i++) w[0, i] = word[i]
        split("sail harbour anchor captain rigging tide deck compass voyage gale", word)
        for (i = 1; i <= 10; i++) w[1, i] = word[i]
        split("orbit comet telescope nebula planet gravity lens eclipse moon dust", word)
        for (i = 1; i <= 10; i++) w[2, i] = word[i]
        for (d = 0; d < 60; d++) {
            t = d % 3
            text = ""
            for (i = 0; i < 40; i++) {
                state = (state * 1103 + 12345) % 65536
                text = text (i ? " " : "") w[t, 1 + int(state / 64) % 10]
            }
            printf "{\"text\": \"%s\", \"meta\": {\"pile_set_name\": \"%s\"}}\n", text, topic[t]
        }
    }'
}

# t.h5 and a.h5: a trace of the corpus and its atlas.
make_trace() {
    make_corpus > c.jsonl
    gm-probe collect --model "$TINY" --corpus c.jsonl --min-tokens 20 --doc-tokens 100 \
        -o "${1:-t.h5}" --quiet > /dev/null
}
make_atlas() { make_trace && gm-cluster fit t.h5 -o a.h5 --min-cluster-size 5 --quality none --quiet > /dev/null; }

generate() { gm-steer generate --model "$TINY" --max-tokens 24 --quiet "$@"; }
same() { cmp -s "$1" "$2" && echo "$3: same" || echo "$3: differ"; }
