# gm-steer compare: a column for each cluster, subset, plan file, and for experts by hand; the
# page that shades tokens by what the plan did to them.
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
make_atlas
gm-steer plan --atlas a.h5 --cluster 1 --schedule fade:4 --mode gate -o p.st > /dev/null
gm-steer plan --atlas a.h5 --cluster 1 --weight 3 -o three.st > /dev/null
compare() { gm-steer compare --model "$TINY" --quiet --max-tokens 8 "$@"; }
titles() { grep -o '"title":"[a-z0-9. ]*'; }
text='"text":"[^"]*"'
steered() { grep -o "\"steered\":{$text"; }

echo "-- columns:"
compare --atlas a.h5 --cluster 0=2 --subset soup --plan p.st --expert 1:2=1 --prompt salt --json | titles
compare --expert 1:2=4 --expert 2:3=-inf --prompt salt --json | titles
run compare --expert 1:2=50 --prompt salt --json > /dev/null
compare --plan p.st --prompt salt --weight 0 --json > zero.json
test "$(grep -o "\"unsteered\":{$text" zero.json | cut -d: -f 2-)" = "$(steered < zero.json | cut -d: -f 2-)" &&
    echo "a plan file at weight 0: same texts"
compare --plan p.st --plan three.st --prompt salt --json | steered > files
generate() { gm-steer generate --model "$TINY" --quiet --max-tokens 8 --prompt salt --json "$@" | grep -o "$text"; }
{ generate --plan p.st; generate --plan three.st; } | sed 's/^/"steered":{/' > each
same files each "plan files side by side, each with its schedule, and alone"
compare --atlas a.h5 --cluster 1 --weight 3 --prompt salt --json | steered > cluster
sed -n 2p files > three
same cluster three "a cluster and its plan file"

name=a$(printf 'я%.0s' {1..80}).st
cp three.st "$name"
compare --plan "$name" --prompt salt --json | grep -o '"title":"[^"]*"'

echo "-- the page:"
printf 'salt <b>&</b>\n"\\u202esoup"\n' > prompts.txt
compare --atlas a.h5 --cluster 0 --plan p.st --weight 2 --prompts prompts.txt --report page.html > text
compare --atlas a.h5 --cluster 0 --plan p.st --weight 2 --prompts prompts.txt > plain
same text plain "what is printed, with a page and without"
compare --atlas a.h5 --cluster 0 --plan p.st --weight 2 --prompts prompts.txt --report again.html --batch 1 --threads 1 > /dev/null
same page.html again.html "the page, by batches and threads"
grep -o '<h[1-3]>[^<:]*' page.html
grep -c '<p class="shade">' page.html
grep -c '<b>&\|https\?:\|<script\|<link\|src=' page.html
grep -o 'salt &lt;b&gt;\|u{202e}soup' page.html | sort -u
grep -o 'here the model continues' page.html | wc -l
compare --plan p.st --weight 0 --prompt "salt onion" --report zero.html > /dev/null
grep -o 'class="d[0-9][^>]*nats:' zero.html | grep -v 'd4.*+0.00 nats' # nothing changes
python3 -c 'import html.parser
p = html.parser.HTMLParser(); p.feed(open("page.html", encoding="utf-8").read()); p.close()' && echo "parses"

echo "-- its numbers:"
for weight in 0 2; do compare --plan p.st --weight $weight --prompt "salt onion" --json --tokens > tokens.$weight; done
python3 -c '
import json
off, on = (json.load(open(f"tokens.{weight}"))["prompts"][0]["columns"][0] for weight in (0, 2))
for text in (*off.values(), *on.values()):
    assert len(text["ids"]) == len(text["log_p"]) == len(text["log_p_steered"]) == text["generated_tokens"] > 0
    assert all(log_p < 0 for log_p in text["log_p"] + text["log_p_steered"])
assert all(text["log_p"] == text["log_p_steered"] for text in off.values())
assert on["unsteered"]["log_p"] == off["unsteered"]["log_p"] != on["unsteered"]["log_p_steered"]' && echo "hold"

echo "-- refused:"
run compare --plan p.st --prompt salt --report page.html
run compare --plan p.st --mode gate --prompt salt
run compare --plan p.st --weight inf --prompt salt
run compare --plan absent.st --prompt salt
run compare --plan a.h5 --prompt salt
run gm-steer compare --model "$SRC/tests/golden/models/olmoe-tiny" --plan p.st --prompt salt --quiet
run compare --prompt salt
run compare --plan p.st --prompt salt --report absent/page.html
run compare --plan p.st --prompt salt --tokens
