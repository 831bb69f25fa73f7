# gm-steer generate: batches, draws, stops, a recorded run, the dialogue.
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
make_atlas
gm-steer plan --atlas a.h5 --cluster 0 --filter top:4 --scale logit --weight 2 -o p.st > plan

echo "-- several prompts at once, and one by one:"
printf 'salt onion\n{"prompt": "sail harbour"}\n"orbit comet"\n' > prompts.txt
generate --prompts prompts.txt --plan p.st > all
for prompt in "salt onion" "sail harbour" "orbit comet"; do
    generate --prompt "$prompt" --plan p.st
done > each
grep -av '^=== \|^$' all > bare
same bare each "together and alone"
generate --prompts prompts.txt --plan p.st --batch 1 > narrow
same all narrow "batches of 3 and of 1"

echo "-- draws:"
draw() { generate --prompt salt --temperature 1 --seed "$1" > "$2"; }
draw 1 draw1
draw 1 draw2
draw 2 draw3
same draw1 draw2 "one seed twice"
same draw1 draw3 "two seeds"

echo "-- stops:"
generate --prompt salt --json > whole.json
text=$(grep -o '"ids":\[[0-9]*,[0-9]*,[0-9]*' whole.json)
third=${text##*,}
generate --prompt salt --json --stop-token "$third" | grep -o '"generated_tokens":2,"end":"eos"'
whole=$(generate --no-echo --prompt salt)
stop=${whole:4:2} # characters
generate --no-echo --prompt salt --stop "$stop" > stopped
generate --json --prompt salt --stop "$stop" | grep -o '"end":"stop"'
echo "${whole%%"$stop"*}" > start
same start stopped "the text before a stop string"
generate --prompt "$(head -c 2000 c.jsonl)" --max-tokens 9 > /dev/null

echo "-- a recorded run:"
generate --prompts prompts.txt --plan p.st --record r.h5 > recorded
same all recorded "recorded and not"
run gm-probe verify r.h5
gm-probe info r.h5 --json | grep -o '"documents":[0-9]*'
gm-probe info r.h5 | sed -n '/^steering/,/^  weight/p'
generate --prompt salt --record plain.h5 > /dev/null
gm-probe info plain.h5 | grep -c steering

echo "-- the dialogue:"
generate --prompt "salt onion" > none
generate --prompt "salt onion" --atlas a.h5 --cluster 0 --weight 2 > two
generate --prompt "salt onion" --atlas a.h5 --subset stars > stars
talk() { gm-steer generate --model "$TINY" --max-tokens 24 --interactive "$@"; }
printf '%s\n' "salt onion" "/cluster 0  2" "salt onion" "/weight 0" "salt onion" "/subset stars 1" \
    "salt onion" "/expert 1:2=9" "salt onion" "/off" "salt onion" | talk --atlas a.h5 > said
generate --prompt "salt onion" --expert 1:2=9 > hand
cat none two none stars hand none > expected
same said expected "the dialogue and six runs"
same none hand "by hand and unsteered"
printf '%s\n' "salt onion" "/weight 0" "salt onion" "/weight 1" "salt onion" | talk --plan p.st > said
generate --prompt "salt onion" --plan p.st > by_file
cat by_file none by_file > expected
same said expected "the dialogue with a plan file"
printf '%s\n' /cluster "/cluster 99" "/cluster 0 nan" "/cluster 0 two" "/weight much" "/weight inf" "/weight -1e300" \
    "/subset no such topic" "/subset a b 2" "/off now" /help /wieght "/weihgt 2" "/expert 1:2" \
    "/plan" "" "salt onion" /quit "not read" | talk --atlas a.h5 > said
same said none "after mistakes"

echo "-- a text that is stopped:"
mkfifo lines
gm-steer generate --model "$SRC/notebooks-data/demo-model" --interactive --ignore-eos --max-tokens 2000 \
    < lines > stopped & talker=$!
exec 3> lines
echo "Once upon a time" >&3
for _ in $(seq 1000); do [ "$(wc -c < stopped)" -gt 60 ] && break; sleep 0.02; done
kill -INT $talker
printf '/weight 0\n/quit\n' >&3
exec 3>&-
wait $talker; echo "exit $?"
tail -c 1 stopped | od -An -c
