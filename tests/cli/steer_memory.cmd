# label: slow
# gm-steer plans memory for the texts that the prompts on its line can become; of those in a file it knows only --batch.
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
ulimit -v 3000000 # KiB: what a sanitizer cannot run in
echo salt > p.txt
run generate --strict-memory --batch 65536 --max-tokens 200 --prompts p.txt
generate --strict-memory --batch 65536 --max-tokens 200 --prompt salt > one
generate --strict-memory --batch 8 --max-tokens 200 --prompts p.txt > file
same one file "a prompt on the line, and in a file"
