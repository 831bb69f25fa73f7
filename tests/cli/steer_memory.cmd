# label: slow
# gm-steer plans memory for the texts that the prompts on its line can become; of those in a file it knows only --batch. A long
# prompt among short ones takes room for itself, not for all to be as long.
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
ulimit -v 3000000 # KiB: what a sanitizer cannot run in
echo salt > p.txt
run generate --strict-memory --batch 65536 --max-tokens 200 --prompts p.txt
generate --strict-memory --batch 65536 --max-tokens 200 --prompt salt > one
generate --strict-memory --batch 8 --max-tokens 200 --prompts p.txt > file
same one file "a prompt on the line, and in a file"
{ yes salt | head -n 1900 | tr '\n' ' '; echo; yes salt | head -n 1000; } > mixed.txt
gm-steer generate --model "$SRC/notebooks-data/demo-model" --quiet --batch 1024 --max-tokens 1 --prompts mixed.txt | grep -c '^=== prompt'
