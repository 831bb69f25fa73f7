# --chat: questions inside the model's chat template, by gm-steer and gm-probe tokenize.
. "$SRC/tests/cli/tiny.sh"
exec 2>&1
make_atlas
copy_model asked
cat > asked/tokenizer_config.json <<'END'
{"bos_token": "<s>", "chat_template": "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}{{ '<|system|>\n' + message['content'] + '\n' }}{% elif message['role'] == 'user' %}{{ '<|user|>\n' + message['content'] + '\n' }}{% endif %}{% endfor %}{{ '<|assistant|>\n' }}"}
END
ask() { gm-steer "$1" --model asked --max-tokens 12 --quiet --chat "${@:2}"; }

echo "-- the same as its words:"
ask generate --system "Be kind." --prompt "salt onion" --json > chat.json
grep -o '"chat":"[0-9a-f]*","system":"Be kind.","answer":null' chat.json
generate --max-tokens 12 --prompt $'<|system|>\nBe kind.\n<|user|>\nsalt onion\n<|assistant|>\n' --json > words.json
for file in chat words; do grep -o '"prompt_tokens":.*' $file.json > $file.end; done
same chat.end words.end "ids"
echo '{"text": "salt onion"}' > q.jsonl
gm-probe tokenize --model asked --chat --system "Be kind." q.jsonl > ids
sed 's/.*"prompt_ids":\(\[[^]]*\]\).*/\1/' chat.json > prompt_ids
same ids prompt_ids "gm-probe tokenize"

ask generate --prompt "salt onion" --answer "broth and" --json > chat.json
generate --max-tokens 12 --prompt $'<|user|>\nsalt onion\n<|assistant|>\nbroth and' --json > words.json
for file in chat words; do grep -o '"prompt_tokens":.*' $file.json > $file.end; done
same chat.end words.end "ids after the answer's beginning"

echo "-- on lines of their own:"
ask generate --prompt "salt onion" | head -n 1
printf 'salt onion\nbroth\n' > prompts.txt
ask generate --prompts prompts.txt | grep -ax 'salt onion\|broth'
echo "salt onion" | ask generate --interactive | head -n 1

echo "-- recorded: words of the question count, those of the template do not:"
ask generate --prompt "salt onion" --record r.h5 > /dev/null
run gm-probe verify r.h5 | tail -n 1
gm-probe export r.h5 -o tokens.jsonl --quiet > /dev/null
grep -o '"phase":[^]]*' tokens.jsonl
gm-probe info r.h5 --json | grep -o '"[a-z]*_tokens":[0-9]*'

echo "-- compared and swept:"
ask compare --atlas a.h5 --cluster 0 --prompt "salt onion" --report c.html > two
grep -c '^unsteered' two
grep -c '&lt;|user|\|<|user|' c.html
make_corpus 77 > other.jsonl
ask sweep --atlas a.h5 --classifier-corpus other.jsonl --min-purity 0.5 --n-clusters 1 --doses 1 --draws 1 \
    --band-draws 0 --shuffles 0 --passages 1 --prompt broth --json 2> /dev/null > chat.sweep
grep -o '"chat":"[0-9a-f]*","system":null\|"chat":true,"system":null,"answer":null' chat.sweep

echo "-- a template's date and variables:"
cp asked/tokenizer_config.json kept.json
echo '{"bos_token": "<s>", "chat_template": "{{ bos_token }}{{ strftime_now(\"%Y\") }} {{ messages[-1].content }} {{ mood or \"calm\" }}:"}' > asked/tokenizer_config.json
ask generate --prompt "salt onion" --json | grep -o '"system":null.*"chat_date":"[^"]*"'
ask generate --prompt "salt onion" --chat-set mood=wild --chat-date 2026-02-03 --json > chat.json
grep -o '"system":null.*"chat_date":"[^"]*"' chat.json
generate --max-tokens 12 --prompt "2026 salt onion wild:" --json > words.json
for file in chat words; do grep -o '"prompt_tokens":.*' $file.json > $file.end; done
same chat.end words.end "ids"
ask generate --prompt x --chat-date 3.2.2026
ask generate --prompt x --chat-set mood
mv kept.json asked/tokenizer_config.json

echo "-- refused:"
gm-steer generate --model "$TINY" --chat --prompt x
gm-steer generate --model asked --system x --prompt x
ask generate --system $'\xff' --prompt x
gm-steer generate --model asked --answer x --prompt x
gm-probe tokenize --model asked --system x q.jsonl
echo '{"chat_template": "{{ messages }}"}' > asked/tokenizer_config.json
ask generate --prompt x
