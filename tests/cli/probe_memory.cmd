# label: slow
# Memory is planned for documents as long as they can be, not for as long as --doc-tokens allows.
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
make_corpus > c.jsonl
ulimit -v 4000000
run gm-probe collect --model "$TINY" --corpus c.jsonl --doc-tokens 16777216 --strict-memory --device cpu --threads 2 -o t.h5 --quiet | tail -n 1
run gm-probe collect --model "$TINY" --corpus c.jsonl --doc-tokens 16777216 --device cpu --threads 2 --dry-run | grep -c 'tokens/s'
