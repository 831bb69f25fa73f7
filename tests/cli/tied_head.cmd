# A config that ties the head to the embeddings, and weights that have a head: it is read, as transformers does.
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
copy_model m
generate --prompt "salt onion" > own
gm-steer generate --model m --max-tokens 24 --quiet --prompt "salt onion" > untied
same own untied "no word of it"
sed -i 's/"tie_word_embeddings": false/"tie_word_embeddings": true/' m/config.json
gm-steer generate --model m --max-tokens 24 --quiet --prompt "salt onion" 2> said > tied
same own tied "tied in the config alone"
cat said
gm-probe info m --json | grep -o '"family":"[^"]*"'
