# gm-probe contrast: two groups of documents, expert by expert; its table as a plan; what is wrong.
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
make_trace

echo "-- one subset against all others, and against another:"
gm-probe contrast t.h5 --subset soup --top 3 --permutations 199
gm-probe contrast t.h5 --subset soup --against ships --top 2 --permutations 199 -o soup.csv
head -n 3 soup.csv | tr -d '\r'
gm-probe contrast t.h5 --subset soup --permutations 0 --top 1

echo "-- the same groups, the other way round, another seed:"
gm-probe contrast t.h5 --subset ships --against soup --top 2 --permutations 199
gm-probe contrast t.h5 --subset soup --against ships --json > one.json
gm-probe contrast t.h5 --subset soup --against ships --json > two.json
gm-probe contrast t.h5 --subset soup --against ships --json --seed 2 > other.json
same one.json two.json "one seed twice"
same one.json other.json "two seeds"
grep -o '"[a-z_]*":' one.json | sort | uniq -c | tr -s ' \n' ' '; echo

echo "-- counts alone are enough:"
gm-probe collect --model "$TINY" --corpus c.jsonl --min-tokens 20 --doc-tokens 100 --quiet --record counts -o counts.h5 > /dev/null
gm-probe contrast counts.h5 --subset soup --against ships --json > counts.json
same one.json counts.json "counts"

echo "-- texts in pairs: two folders, one text too short:"
mkdir -p pairs/plain pairs/salty
grep ships c.jsonl | head -n 8 | awk -F '"' '{
    print $4 > ("pairs/plain/" NR ".txt")
    print (NR == 3 ? "salt" : "salt onion salt " $4) > ("pairs/salty/" NR ".txt") }'
gm-probe collect --model "$TINY" --corpus pairs --min-tokens 20 --quiet --record counts -o p.h5 > /dev/null
gm-probe contrast p.h5 --subset salty --paired name --top 2 --permutations 199
gm-probe contrast p.h5 --subset salty --paired name --permutations 199 --json | grep -o '"pairs":[0-9]*'
run gm-probe contrast p.h5 --subset salty --paired line
mkdir -p one/plain one/salty && cp pairs/plain/1.txt one/plain && cp pairs/salty/1.txt one/salty
gm-probe collect --model "$TINY" --corpus one --min-tokens 20 --quiet --record counts -o one.h5 > /dev/null
run gm-probe contrast one.h5 --subset salty --paired name
run gm-probe contrast t.h5 --subset soup --against ships --paired next --top 1

echo "-- as a plan:"
gm-steer plan --model "$TINY" --import soup.csv -o soup.plan.safetensors | head -n 6

echo "-- what is wrong:"
sed 's/, "meta".*/}/' c.jsonl > unlabelled.jsonl
gm-probe collect --model "$TINY" --corpus unlabelled.jsonl --limit 2 --min-tokens 20 --quiet -o unlabelled.h5 > /dev/null
run gm-probe contrast t.h5
run gm-probe contrast --subset soup
run gm-probe contrast t.h5 --subset stew
run gm-probe contrast unlabelled.h5 --subset stew
run gm-probe contrast t.h5 --subset soup --against soup
run gm-probe contrast t.h5 --subset soup --subset ships --subset stars
run gm-probe contrast t.h5 --subset soup -o soup.csv
run gm-probe contrast absent.h5 --subset soup
