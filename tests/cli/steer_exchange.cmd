# Plans as arrays: what is exported comes back as the same biases, other tools' files get the
# mode that the command line says, and what an array cannot say is said on stderr.
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
make_atlas
food="--atlas a.h5 --cluster 0 --filter none --weight 3"
gm-steer plan $food -o food.st --export food.npy > /dev/null
gm-steer plan --import food.npy --model "$TINY" -o back.st --export again.npy > /dev/null
same food.npy again.npy "exported, imported, exported"
generate --prompt salt --plan food.st > by_plan
generate --prompt salt --plan back.st > by_array
generate --prompt salt > unsteered
same by_plan by_array "generated under both"
same by_plan unsteered "generated without"

echo "-- where it came from:"
gm-steer plan back.st --json | grep -o '"imported_from":"[^"]*"'
gm-steer plan back.st --json | grep -o '"imported_sha256":"[^"]*"' | grep -c "$(sha256sum < food.npy | cut -d' ' -f1)"

echo "-- added to, weighted, windowed, controlled:"
gm-steer plan --import food.npy --atlas a.h5 --expert 2:3=1 --weight 0 --export zero.npy | tail -n +3 | head -2
gm-steer plan --import food.npy --atlas a.h5 --layers 2 --mode select --phase generated --export window.npy --force | head -1
gm-steer plan --import window.npy --atlas a.h5 | awk '$1 ~ /^[0-9]+$/ { print $1, ($5 > 0 ? "steered" : "not") }'
gm-steer plan --import food.npy --atlas a.h5 > plain
gm-steer plan --import food.npy --atlas a.h5 --control random > random
same plain random "a control of an array"
gm-steer plan --import food.npy -o numbered.st | sed -n 1p
gm-steer plan food.st --export food.npy > /dev/null; echo "exit $?"

echo "-- ds4:"
head -c 44028 /dev/zero > map.f32 && printf '\000\000\200\077' >> map.f32
run gm-steer plan --import map.f32
gm-steer plan --import map.f32 --mode mask -o map.st | sed -n '1p;$p' | sed -E 's/[0-9a-f]{64}/SHA256/'
gm-steer plan map.st --export copy.f32 > /dev/null
same map.f32 copy.f32 "ds4's file through a plan"
run gm-steer plan --import map.f32 --mode mask --model "$TINY"
run gm-steer plan food.st --export food.f32

echo "-- refused:"
run gm-steer plan --import food.st --model "$TINY"
run gm-steer plan --import absent.npy --model "$TINY"
run gm-steer plan --import food.npy --model "$SRC/tests/golden/models/olmoe-tiny"
run gm-steer plan food.st --import food.npy
run gm-steer plan food.st --export absent/food.npy
head -c 100 food.npy > cut.npy
run gm-steer plan --import cut.npy --model "$TINY"

echo "-- lists of experts:"
gm-steer plan food.st --export food.csv > /dev/null
gm-steer plan --import food.csv --model "$TINY" --export listed.npy > /dev/null
same food.npy listed.npy "a plan through a list"
printf 'name,bias,expert,layer\r\n"salt, mostly",2.5,3,1\r\nnone,-inf,0,2\r\n' > mine.csv
gm-steer plan --import mine.csv --model "$TINY" --weight 2 -o mine.st --export out.csv
cat out.csv
gm-steer plan --model "$TINY" --expert 1:3=2.5 --expert 2:0=-inf --weight 2 --export hand.csv > /dev/null
same out.csv hand.csv "as by --expert"
run gm-steer plan --import mine.csv
run gm-steer plan --import mine.csv --atlas a.h5 --control mean
for wrong in 9,0,1 1,12,1 one,2,1 1,2,nan 1,2,strong "1,2,1
1,2,3" 1,2; do
    printf 'layer,expert,bias\n%s\n' "$wrong" > wrong.csv
    run gm-steer plan --import wrong.csv --model "$TINY"
done
printf 'layer,expert,lift\n1,2,3\n' > wrong.csv
run gm-steer plan --import wrong.csv --model "$TINY"
