# Model folders that cannot be used: one sentence, exit 1, nothing written.
. "$SRC/tests/cli/tiny.sh"
make_corpus > c.jsonl
try() {
    echo "-- $1:"
    gm-probe collect --model m --corpus c.jsonl --min-tokens 20 -o t.h5 --quiet
    echo "exit $?"
    rm -rf m
    rm t.h5 2> /dev/null && echo "a trace was written"
    ls t.h5* 2> /dev/null
}
exec 2>&1
set_value() { sed -i "s/\"$1\": [^,}]*/\"$1\": $2/" m/config.json; }
shard=model-00002-of-00003.safetensors

try "no folder"
echo text > m; try "a file in place of a folder" 2>&1; rm -f m
mkdir m; try "an empty folder"
mkdir -p m/snapshots/0a1b2c; try "a download cache"
mkdir m; cp "$TINY/tokenizer.json" m; echo '{}' > m/adapter_config.json; try "an adapter"
copy_model m; rm m/$shard; try "a missing shard"
dangle() { rm -f "m/$1"; ln -s ../blobs/0a1b2c "m/$1"; }
copy_model m; dangle config.json; try "a link to a config that is not there, as where a download was cut short"
copy_model m; dangle generation_config.json; try "the same, of how text is generated"
copy_model m; dangle tokenizer.json; try "the same, of the tokenizer"
copy_model m; rm m/*.safetensors*; dangle model.safetensors; try "the same, of the weights"
pointer() { printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0a\nsize 9\n'; }
copy_model m; pointer > m/$shard; try "a Git LFS pointer for weights"
copy_model m; pointer > m/tokenizer.json; try "a Git LFS pointer for the tokenizer"
copy_model m; truncate -s -100 m/$shard; try "a truncated shard"
copy_model m; truncate -s 4 m/$shard; try "no header"
copy_model m; printf '\377\377\377\377\377\377\377\177' | dd of=m/$shard conv=notrunc 2> /dev/null
try "a header of absurd length"
copy_model m; rm m/model.safetensors.index.json; try "no index"
copy_model m; sed -i 's/"weight_map"/"wieght_map"/' m/model.safetensors.index.json; try "an index without a map"
copy_model m; sed -i 's/lm_head.weight/lm_haed.weight/' m/model.safetensors.index.json; try "a wrong name in the index"
copy_model m; echo '{' > m/config.json; try "broken config"
copy_model m; set_value vocab_size 318; try "a wrong shape"
copy_model m; set_value hidden_size 41; try "a wrong width"
copy_model m; sed -i s/DeepseekForCausalLM/LlamaForCausalLM/ m/config.json; try "an unknown architecture"
copy_model m; set_value hidden_act '"relu"'; try "an unknown activation"
copy_model m; set_value scoring_func '"tanh"'; try "an unknown scoring"
copy_model m; set_value rope_scaling '{"type": "spiral", "factor": 2.0}'; try "an unknown rope scaling"
copy_model m; sed -i 's/"rope_theta"/"quantization_config": {"quant_method": "hqq"}, "rope_theta"/' m/config.json
try "quantised weights"
copy_model m; set_value n_routed_experts 0; try "no experts"
copy_model m; set_value num_experts_per_tok 13; try "more choices than experts"
copy_model m; set_value hidden_size '"forty"'; try "not a number"
copy_model m; set_value rms_norm_eps 1e999; try "not finite"
copy_model m; sed -i '/vocab_size/d; s/"use_cache": true,/"use_cache": true/' m/config.json; try "a value missing"
copy_model m; sed -i 's/"rope_theta"/"my_lora_rank": 8,\n  "rope_theta"/' m/config.json
cp -r m known
gm-probe info known | grep unknown
gm-steer generate --model known --prompt salt --max-tokens 1 --quiet > /dev/null
try "a key that nobody knows: a warning" | grep -v "tokens"
cp -rL "$SRC/tests/golden/models/olmoe-clip" m; cp "$TINY/tokenizer.json" m
gm-steer generate --model m --prompt salt --max-tokens 1
try "a tokenizer with more tokens than the model"
copy_model m; rm m/tokenizer.json; try "no tokenizer"
copy_model m; echo '[]' > m/tokenizer.json; try "not a tokenizer"
copy_model m; sed -i 's/"type": "ByteLevel"/"type": "CharLevel"/' m/tokenizer.json; try "an unknown component"
copy_model m; sed -i 's/"type": "BPE"/"type": "Unigram"/' m/tokenizer.json; try "an unknown model"
