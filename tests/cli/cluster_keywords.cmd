# What the subsets of a corpus, and its documents, are about.
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
make_corpus > c.jsonl
keywords() { run gm-cluster keywords c.jsonl "$@"; }
keywords
keywords --by document --top 3 | head -4
keywords --keywords class --top 1 --json
printf '%s\n' '{"text": "salt onion salt"}' soup '{"text": "onion tide"}' > few.jsonl
run gm-cluster keywords few.jsonl --by document --min-df 1 --json --vocabulary
keywords --min-df 100
keywords --min-df 0.3 --max-df 0.4 --max-features 5 --top 20
keywords --by document --keywords class
keywords --vocabulary
keywords --text-field body
run gm-cluster keywords
run gm-cluster keywords absent.jsonl
