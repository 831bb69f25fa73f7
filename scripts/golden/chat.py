"""chat - questions inside chat templates by transformers' apply_chat_template: templates written here in the ways of the families
that engine/tokenizer/chat.c knows, as far as text needs them."""

from . import common

SYSTEM = "{%- if messages[0]['role'] == 'system' %}{%- set first = messages[0]['content'] %}" \
    "{%- set rest = messages[1:] %}{%- else %}{%- set rest = messages %}{%- endif %}\n"

TEMPLATES = {  # name: (text, the token that begins a text)
    "gigachat": (
        "{%- if messages[0]['role'] == 'system' %}\n"
        "    {%- set opening = bos_token + messages[0]['content'] + additional_special_tokens[1] %}\n"
        "    {%- set rest = messages[1:] %}\n"
        "{%- else %}\n    {%- set opening = bos_token + '' %}\n    {%- set rest = messages %}\n{%- endif %}\n"
        "{{- opening -}}\n"
        "{%- for message in rest %}\n"
        "    {%- if message['role'] not in ('user', 'assistant') %}\n        {{ raise_exception('a role') }}\n    {% endif %}\n"
        "    {{- message['role'] + additional_special_tokens[0] + message['content'] + additional_special_tokens[1] -}}\n"
        "    {%- if message['role'] == 'user' %}\n"
        "        {{- 'available functions' + additional_special_tokens[0] + additional_special_tokens[2]"
        " + additional_special_tokens[3]  + additional_special_tokens[1] -}}\n"
        "    {%- endif %}\n"
        "{%- endfor %}\n"
        "{%- if add_generation_prompt %}\n    {{- 'assistant' + additional_special_tokens[0] -}}\n{%- endif %}", "<s>"),
    "chatml": (
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}", None),
    "chatml after a token": (
        "{{ bos_token }}{% for message in messages %}"
        "{{\"<|im_start|>\" + message[\"role\"] + \"\\n\" + message[\"content\"] + \"<|im_end|>\" + \"\\n\"}}"
        "{% endfor %}{% if add_generation_prompt %}{{ \"<|im_start|>assistant\\n\" }}{% endif %}", "<s>"),
    "chatml, thinking at will": (
        "{%- if messages[0].role == 'system' %}\n"
        "    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}\n{%- endif %}\n"
        "{%- for message in messages %}\n"
        "    {%- set content = message.content if message.content is string else '' %}\n"
        "    {%- if message.role == \"user\" or (message.role == \"system\" and not loop.first) %}\n"
        "        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}\n"
        "    {%- elif message.role == \"assistant\" %}\n"
        "        {{- '<|im_start|>' + message.role + '\\n' + content.split('</think>')[-1].lstrip('\\n') }}\n"
        "        {{- '<|im_end|>\\n' }}\n    {%- endif %}\n{%- endfor %}\n"
        "{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n' }}\n"
        "    {%- if enable_thinking is defined and enable_thinking is false %}\n"
        "        {{- '<think>\\n\\n</think>\\n\\n' }}\n    {%- endif %}\n{%- endif %}", None),
    "chatml-think": (
        "{%- if messages[0].role == 'system' %}\n"
        "    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}\n{%- endif %}\n"
        "{%- for message in messages %}\n"
        "    {%- if (message.role == \"user\") or (message.role == \"system\" and not loop.first) %}\n"
        "        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}\n"
        "    {%- endif %}\n{%- endfor %}\n"
        "{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n<think>\\n' }}\n{%- endif %}", None),
    "chatml, a system message of its own": (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\nYou are kind, -- always.<|im_end|>\n' }}{% endif %}"
        "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}", None),
    "granite": (
        "{%- for message in messages %}\n    {%- if message['role'] == 'system' %}\n"
        "    {{- '<|start_of_role|>system<|end_of_role|>' + message['content'] + '<|end_of_text|>\\n' }}\n"
        "    {%- elif message['role'] == 'user' %}\n"
        "    {{- '<|start_of_role|>user<|end_of_role|>' + message['content'] + '<|end_of_text|>\\n' }}\n"
        "    {%- endif %}\n    {%- if loop.last and add_generation_prompt %}\n"
        "    {{- '<|start_of_role|>assistant<|end_of_role|>' }}\n    {%- endif %}\n{%- endfor %}", None),
    "tulu": (
        "{{ bos_token }}{% for message in messages %}"
        "{% if message['role'] == 'system' %}{{ '<|system|>\n' + message['content'] + '\n' }}"
        "{% elif message['role'] == 'user' %}{{ '<|user|>\n' + message['content'] + '\n' }}"
        "{% else %}{{ '<|assistant|>\n' + message['content'] + eos_token }}{% endif %}"
        "{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}{% endfor %}", "<|endoftext|>"),
    "mistral": (
        SYSTEM + "{{- bos_token }}\n{%- for message in rest %}\n"
        "    {%- if (message[\"role\"] == \"user\") != (loop.index0 % 2 == 0) %}\n"
        "        {{- raise_exception(\"user and assistant take turns\") }}\n    {%- endif %}\n"
        "    {%- if message[\"role\"] == \"user\" and loop.first and first is defined %}\n"
        "        {%- set system_message = first %}\n"
        "        {{- \" [INST] \" + system_message + \"\\n\\n\" + message[\"content\"] + \" [/INST]\" }}\n"
        "    {%- elif message[\"role\"] == \"user\" %}\n"
        "        {{- \" [INST] \" + message[\"content\"] + \" [/INST]\" }}\n"
        "    {%- else %}\n        {{- \" \" + message[\"content\"] + eos_token}}\n    {%- endif %}\n{%- endfor %}", "<s>"),
    "mistral, no system": (
        "{{ bos_token }}{% for message in messages %}"
        "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
        "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}"
        "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}", "<s>"),
    "deepseek": (
        "{{ bos_token }}{% for message in messages %}"
        "{% if message['role'] == 'user' %}{{ 'User: ' + message['content'] + '\n\n' }}"
        "{% elif message['role'] == 'assistant' %}{{ 'Assistant: ' + message['content'] + eos_token }}"
        "{% elif message['role'] == 'system' %}{{ message['content'] + '\n\n' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}", "<\uff5cbegin\u2581of\u2581sentence\uff5c>"),
}
SPECIAL = ["<|role_sep|>", "<|message_sep|>", "[", "]"]  # what GigaChat's calls additional_special_tokens
QUESTIONS = ("Who was Ada Lovelace?", "", " blanks around ", "\nlines\n\n", "[x] <|im_end|> [/INST] <s>", "Кто ты?", "'quoted' \"too\"")
MESSAGES = (None, "You are terse.", "", "Отвечай\n")


def render(tokenizer, template, bos, system, question, **how):
    """What transformers makes of a question; `how`: tokenize=True for ids."""
    tokenizer.bos_token, tokenizer.eos_token = bos, "</s>"
    messages = [{"role": "user", "content": question}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    return tokenizer.apply_chat_template(messages, chat_template=template, add_generation_prompt=True,
                                         additional_special_tokens=SPECIAL, **how)


def make(out):
    """tests/golden/tokenizers/chat.json; a part of the part `tokenizer`."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()))
    found = []
    for name, (text, bos) in TEMPLATES.items():
        cases = []
        for system in MESSAGES:
            if system is not None and name == "mistral, no system":
                continue
            cases += [{"system": system, "question": question,
                       "rendered": render(tokenizer, text, bos, system, question, tokenize=False)} for question in QUESTIONS]
        found.append({"name": name, "template": text, "bos": bos or "", "cases": cases})
    common.write_json(out / "tokenizers" / "chat.json", {"versions": common.versions("transformers", "jinja2"), "templates": found})
