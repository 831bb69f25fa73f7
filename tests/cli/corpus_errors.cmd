# Lines that cannot be used are counted and reported by number; with --strict they end
# the run.
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
collect() { run gm-probe collect --model "$TINY" --min-tokens 5 --quiet "$@"; }
{
    echo '{"text": "the first line is fine, and long enough"}'
    echo 'not JSON'
    printf '{"text": "not UTF-8 \377 at all"}\n'
    echo '{"txt": "no such field"}'
    echo '{"text": 5}'
    echo '{"text": ""}'
    echo '{"text": "ab"}'
    echo '{"text": "unpaired \ud800 surrogate"}'
    echo '{"text": "the last line is fine, and long enough"}'
} > mixed.jsonl
echo "-- counted:"
collect --corpus mixed.jsonl -o t.h5
gm-probe info t.h5 --json | grep -o '"skipped":{[^}]*}'
gm-probe verify t.h5 > /dev/null; echo "verify $?"
{ sed -n 1p mixed.jsonl; yes '[' | head -30; } > many.jsonl
collect --corpus many.jsonl -o many.h5 2>&1 | sed -n '8,$p'
echo "-- strict:"
for n in 2 3 4 5 6; do
    sed -n "1p;${n}p" mixed.jsonl > strict.jsonl
    collect --corpus strict.jsonl -o s.h5 --strict
done
ls s.h5* 2> /dev/null
echo "-- a field of subsets that no line has:"
sed -n '1p;9p' mixed.jsonl > none.jsonl
collect --corpus none.jsonl --subset-field meta.labels -o n.h5 --dry-run | head -n 1
echo "-- the default field in no line: said where a line has other fields"
sed 's/^{/{"source": "web", /' none.jsonl > source.jsonl
for c in none source; do collect --corpus $c.jsonl -o n.h5 --dry-run | head -n 1; done
echo "-- subsets whose long names end alike:"
tail=$(printf '%063d' 7)
for head in a b c; do
    echo "{\"text\": \"the first line is fine, and long enough\", \"meta\": {\"pile_set_name\": \"$head$tail\"}}"
done > alike.jsonl
collect --corpus alike.jsonl -o n.h5 --dry-run | head -n 1
sed "s/$tail/${tail#0}/" alike.jsonl > kept.jsonl # a byte less, and they are three
collect --corpus kept.jsonl -o n.h5 --dry-run | head -n 1
echo "-- nothing usable:"
: > empty.jsonl
collect --corpus empty.jsonl -o e.h5
sed -n 2,7p mixed.jsonl > useless.jsonl
collect --corpus useless.jsonl -o e.h5
mkdir folder
collect --corpus folder -o e.h5
collect --corpus absent.jsonl -o e.h5
echo "-- other kinds of files:"
for name in lines.json table.parquet table.csv lines.jsonl.bz2 books.tar; do
    cp mixed.jsonl $name
    collect --corpus $name -o e.h5
done
mkdir kinds # below a folder that was named they are texts
sed -n 1p mixed.jsonl | tee kinds/lines.json > kinds/table.csv
collect --corpus kinds -o kinds.h5 | head -n 1
echo "-- standard input, and files of two names:"
printf '{\n "a": 1\n}\n' > pretty
sed -n '1p;9p' mixed.jsonl > two.jsonl
for name in pretty two.jsonl; do
    collect --corpus /dev/stdin -o in.h5 --force < $name | grep document
    cat $name | collect --corpus /dev/stdin -o in.h5 --force | grep document
done
collect --corpus two.jsonl ./two.jsonl -o e.h5
echo "-- damaged files:"
echo text > bad.jsonl.zst
collect --corpus bad.jsonl.zst -o e.h5
echo text > bad.jsonl.gz
collect --corpus bad.jsonl.gz -o e.h5
gzip -c mixed.jsonl | head -c 60 > cut.jsonl.gz
collect --corpus cut.jsonl.gz -o e.h5
ls e.h5* 2> /dev/null
echo "-- the output exists:"
cp t.h5 before
collect --corpus mixed.jsonl -o t.h5
cmp t.h5 before && echo untouched
collect --corpus mixed.jsonl -o t.h5 --resume
collect --corpus mixed.jsonl -o absent/t.h5
echo "-- tokenize:"
gm-probe tokenize --model "$TINY" mixed.jsonl; echo "exit $?"
