"""chat - questions inside chat templates by transformers' apply_chat_template: templates written here in the ways of families of
models, as far as text needs them; and expressions and statements of Jinja by themselves."""

import datetime

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
    "harmony": (
        "{%- macro about() -%}\n    {{- 'You are ' ~ (model_identity or 'kind') + '.\\n' }}\n"
        "    {{- 'Current date: ' + strftime_now('%Y-%m-%d') + '\\n\\n' }}\n"
        "    {%- if reasoning_effort is not defined %}\n        {%- set reasoning_effort = 'medium' %}\n    {%- endif %}\n"
        "    {{- 'Reasoning: ' + reasoning_effort }}\n{%- endmacro -%}\n"
        "{{- '<|start|>system<|message|>' }}\n{{- about() }}\n{{- '<|end|>' }}\n"
        "{%- if messages[0].role in ['developer', 'system'] %}\n    {%- set developer = messages[0].content %}\n"
        "    {%- set rest = messages[1:] %}\n{%- else %}\n    {%- set developer = '' %}\n    {%- set rest = messages %}\n{%- endif %}\n"
        "{%- if developer or tools %}\n    {{- '<|start|>developer<|message|>' }}\n"
        "    {%- if developer %}\n        {{- '# Instructions\\n\\n' }}\n        {{- developer }}\n    {%- endif %}\n"
        "    {{- '<|end|>' }}\n{%- endif %}\n"
        "{%- set last = namespace(call=none) %}\n{%- for message in rest -%}\n"
        "    {%- if message.role == 'user' -%}\n        {{- '<|start|>user<|message|>' + message.content + '<|end|>' }}\n"
        "    {%- elif last.call is none %}\n        {{- raise_exception('a role') }}\n    {%- endif -%}\n{%- endfor -%}\n"
        "{%- if add_generation_prompt -%}\n<|start|>assistant\n{%- endif -%}", None),
    "deepseek-v3": (
        "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}"
        "{% set ns = namespace(is_first=false, system='', first_system=true) %}"
        "{%- for message in messages %}{%- if message['role'] == 'system' %}{%- if ns.first_system %}"
        "{% set ns.system = ns.system + message['content'] %}{% set ns.first_system = false %}{%- else %}"
        "{% set ns.system = ns.system + '\\n\\n' + message['content'] %}{%- endif %}{%- endif %}{%- endfor %}"
        "{{ bos_token }}{{ ns.system }}{%- for message in messages %}{%- if message['role'] == 'user' %}"
        "{{'<\uff5cUser\uff5c>' + message['content']}}{%- endif %}{%- endfor -%}"
        "{% if add_generation_prompt and not ns.is_first %}{{'<\uff5cAssistant\uff5c><think>\\n'}}{% endif %}",
        "<\uff5cbegin\u2581of\u2581sentence\uff5c>"),
    "glm": (
        "[gMASK]<sop>\n{%- macro visible(content) -%}\n    {%- if content is string -%}\n        {{- content }}\n"
        "    {%- elif content is iterable and content is not mapping -%}\n        {%- for item in content -%}\n"
        "            {{- item.text }}\n        {%- endfor -%}\n    {%- endif -%}\n{%- endmacro -%}\n"
        "{% for m in messages %}\n{%- if m.role == 'user' -%}<|user|>\n{{ visible(m.content) }}\n"
        "{{- '/nothink' if (enable_thinking is defined and not enable_thinking and not visible(m.content).endswith('/nothink')) else '' -}}\n"
        "{%- elif m.role == 'system' -%}\n<|system|>\n{{ visible(m.content) }}\n{%- endif -%}\n{%- endfor -%}\n"
        "{%- if add_generation_prompt -%}\n    <|assistant|>{{- '\\n<think></think>' if (enable_thinking is defined and not"
        " enable_thinking) else '' -}}\n{%- endif -%}", None),
    "granite, dated": (
        "{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content'] %}{%- set loop_messages = messages[1:] %}"
        "{%- else %}{%- set system_message = \"Today's Date: \" + strftime_now('%B %d, %Y') + '.\\nYou are kind.' %}"
        "{%- if tools and documents %}{%- set system_message = system_message + 'x' %}{%- endif %}"
        "{%- set loop_messages = messages %}{%- endif %}"
        "{{- '<|start_of_role|>system<|end_of_role|>' + system_message + '<|end_of_text|>\n' }}"
        "{%- for message in loop_messages %}{{- '<|start_of_role|>' + message['role'] + '<|end_of_role|>' + message['content']"
        " + '<|end_of_text|>\n' }}{%- if loop.last and add_generation_prompt %}{{- '<|start_of_role|>assistant' }}"
        "{%- if controls %}{{- ' ' + controls | tojson() }}{%- endif %}{{- '<|end_of_role|>' }}{%- endif %}{%- endfor %}", None),
    "trimmed": (
        "{%- for message in messages %}{{- '<|' + message['role'] + '|>\\n' + message['content'] | trim + '\\n' }}{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '<|assistant|>\\n' }}{%- endif %}", None),
}
SPECIAL = ["<|role_sep|>", "<|message_sep|>", "[", "]"]  # what GigaChat's calls additional_special_tokens
QUESTIONS = ("Who was Ada Lovelace?", "", " blanks around ", "\nlines\n\n", "[x] <|im_end|> [/INST] <s>", "Кто ты?", "'quoted' \"too\"")
MESSAGES = (None, "You are terse.", "", "Отвечай\n")


DATE = datetime.datetime(2025, 1, 1)  # chat.h: GM_CHAT_DATE
SETTINGS = {"chatml, thinking at will": {"enable_thinking": False}, "harmony": {"reasoning_effort": "high"},
            "glm": {"enable_thinking": False}}  # another half of the cases has these

VARIABLES = {"t": " a b\u00a0", "u": "\u042f-x-x", "n": -7, "l": [3, "x", None, True], "d": {"a": {"b": [1, 2]}, "k": 1}, "no": None, "e": "",
             "m": [{"role": "user", "content": "q", "on": True}, {"role": "system", "content": "s"}]}
# Each is said between bars; what Jinja fails at must be refused.
EXPRESSIONS = (
    "1 + 2 * 3 - 4", "n // 2", "n % 4", "7 // -2", "-7 % -4", "-n", "- 2 + 3", "(1 + 2) * 3", "1_000", "'a' 'b'", "'a' ~ 1 ~ none ~ true ~ zz", "t + u",
    "[1] + [2] == [1, 2]", "(1, 2) == [1, 2]", "1 == true", "'a' < 'b' < 'c'", "1 < 2 > 3", "2 >= 2", "'\u042f' > 'z'", "none == zz",
    "zz == zy", "not 1 == 2", "not e and 5", "e or l[1]", "1 and 0 or 'z'", "'b' in t", "'B' not in t", "3 in l", "'k' in d", "4 in (1, 2)",
    "'x' in zz", "1 if n else 2", "1 if e", "(1 if e else 2 if e else 3)", "l[0]", "l[-1]", "l[9]", "l[1:][0]", "l[::-1][0]", "l[-2:]|length",
    "l[:-9]|length", "l[3:1]|length", "l[2::-1]|length", "t[1:3]", "u[0]", "u[-1]", "u[:1]", "u[-3:]", "u[5:2]", "t[none:2]",
    "d.k", "d['k']", "d.a.b[1]", "d.zz", "d['zz'] is defined", "d.zz.zz", "zz.a", "no.a is defined", "t.a is defined", "n.a is defined",
    "t.strip()", "t.lstrip()", "t.rstrip()", "'xxaxx'.strip('x')", "u.lstrip('\u042f-')", "t.split()|length", "u.split('-')[-1]", "u.split('-', 1)[1]",
    "''.split('-')|length", "' '.split()|length", "t.split('')", "u.startswith('\u042f')", "u.endswith(('z', 'x'))", "u.replace('x', 'yy')",
    "u.replace('x', 'y', 1)", "'-'.join(['a', 'b'])", "'aB'.upper()", "'aB'.lower()", "d.get('k')", "d.get('zz', 4)", "d.get('zz')",
    "d.items()|length", "d.keys()|join", "d.a.values()|first|join(',')", "t|trim", "e|default('x')", "zz|default('x')", "e|default('x', true)",
    "e|d('x', boolean=true)", "zz|d", "u|length", "l|length", "d|length", "zz|length", "n|length", "n|string + 'a'", "true|string", "u|list|length",
    "u|first", "u|last", "[1, 'a']|join('-')", "zz|join('-')", "m|map(attribute='role')|join(',')",
    "m|selectattr('role', 'equalto', 'user')|list|length", "m|rejectattr('role', '==', 'user')|map(attribute='content')|join",
    "m|selectattr('on')|list|length", "m|selectattr('on', 'defined')|list|length", "[1, 2, 3]|select('odd')|list|length",
    "[0, 1]|reject|list|length", "no|selectattr('a')|list|length", "'aB'|upper", "'aB'|lower", "'aba'|replace('a', 'c')", "(3, 4)|last",
    "zz is defined", "zz is not defined", "not zz is undefined", "no is none", "l is sequence", "d is mapping", "t is string", "n is number",
    "true is boolean", "1 is true", "1 is boolean", "false is false", "n is odd", "n is even", "3 is integer",
    "t is iterable", "d is iterable", "n is iterable", "no is iterable", "zz is iterable", "d is sequence", "1 is eq 1", "1 is ne(1)", "'a' is in 'ab'",
    "'a' is in ['b']", "strftime_now is defined", "strftime_now('%d %b %Y, %A %j')", "range(3)|join(',')", "range(5, 1, -2)|join(',')",
    "range(1, 3)|join", "dict(a=1).a", "{'a': 1, 'b': 2}|length", "{'a': {}}.a|length", "namespace(x=3).x", "'\\n\\t\\x41\\u042f\\\\\\''", "\"'\"", "'\\q'", "[]|first",
    "t.zz()", "n()", "zz()", "raise_exception('no')", "1 + 'a'", "'a' < 1", "1 // 0", "loop", "e.zzz", "no|length", "[1, 2, 3][1:][::-1]|join",
    "[d]|selectattr('a.b')|list|length", "[d]|map(attribute='a.b.1')|join", "[d]|map(attribute='a.zz')|join", "[d]|selectattr('zz.b')|list", "zz is callable",
    "','.join(['a', 1])", "'x'.startswith(['x'])", "1 if m|selectattr('zz') else 2", "(m|map(attribute='role'))[0] is defined", "m|map(attribute='role')|last",
    "m|select|length", "m|select is sequence", "'user' in m|map(attribute='role')", "[1] + m|select", "(m|select)[:1]",
    "(-9223372036854775807 - 1) % 3", "(-9223372036854775807 - 1) // 3", "8 % -3", "'a'|d(other='b')", "e|d('a', default_value='b')", "[1, 2]|join(sep=',')", "[1, 2]|join(d=',')",
    "'xax'|trim(chars='x')", "t|trim(none)", "t|trim(1)", "t.strip(none)", "t.rstrip(zz)", "'a'|upper(1)", "m|map('role')|list", "l in d", "d.get({})", "d.get(none)",
    "strftime_now(format='%d')", "strftime_now(zz='%d')", "n is odd is boolean", "1 is eq(1) is boolean", "n is number if n", "n is number or n", "1 is eq(b=1)", "1 is eq {}",
)
STATEMENTS = (
    "a\n  {% if n %}\n  b\n  {% endif %}\nc", "a {%- if n -%} b {%- endif +%} c\n", "a\n  {{ n }}\n  {{- n -}}\n  b\n\n", "{# x #}\na{#- y -#} b", "  {%+ if n %}\n x{% endif %}",
    "{% if e %}1{% elif n %}2{% else %}3{% endif %}", "{% for x in l if x %}{{ loop.index }}{{ loop.first }}{{ loop.last }}{{ x }},{% endfor %}",
    "{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}{{ v }}{% endfor %}", "{% for x in [] %}1{% else %}2{% endfor %}",
    "{% for x in 'a\u042f' %}{{ loop.revindex0 }}{{ x }}{{ loop.previtem }}{{ loop.nextitem }}{% endfor %}",
    "{% set x = 1 %}{% for y in [1, 2] %}{{ x }}{% set x = 5 %}{{ x }}{% endfor %}{{ x }}",
    "{% set ns = namespace(x=1) %}{% for y in [1, 2] %}{% set ns.x = ns.x + y %}{% endfor %}{{ ns.x }}",
    "{% if n %}{% set x = 2 %}{% endif %}{{ x }}", "{% set x %} a{{ n }} {% endset %}[{{ x }}]", "{% set x | trim | upper %} a {% endset %}[{{ x }}]",
    "{% filter upper %}a{{ 'b' }}{% endfilter %}", "{% macro f(a, b='z', c=none) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ f(1) }}{{ f(1, c=3) }}{{ f(1, 2, 3) }}{{ f() }}",
    "{% macro f(x) %}{{ f(x - 1) if x else '' }}{{ x }}{% endmacro %}{{ f(3) }}", "{% macro f() %}{{ g }}{% endmacro %}{% set g = 4 %}{{ f() }}",
    "{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}", "{% for x in l %}{% if loop.index == 2 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in l %}{% if loop.index == 2 %}{% continue %}{% endif %}{{ x }}{% endfor %}", "{% generation %}a{{ n }}{% endgeneration %}",
    "{{ '{{' }}{{ \"%}\" }}{{ {'a': 1}['a'] }}", "a\r\n{% if n %}\r\nb\r{% endif %}\r\n", "{% for x in n %}{% endfor %}", "{% set zz.a = 1 %}", "{{ n", "{% if n %}", "{% endif %}",
    "{% zz %}", "{{ }}", "{{ 1 + }}", "{{ 'a }}", "{# a", "{{ a b }}", "{{ [1, }}", "{{ (1,)[0] }}{{ ()|length }}{{ [1, ]|length }}",
    "{% for x in l %}{{ loop.index }}{% break %}{% else %}2{% endfor %}", "{% for x in l %}{% continue %}{% else %}2{% endfor %}",
    "{% for x in l %}{% if x %}{% continue %}{% endif %}{% else %}2{% endfor %}", "{% if 1 if 1 else 0 %}1{% endif %}", "{% if 0 %}{% elif 1 if 1 else 0 %}1{% endif %}",
    "{% for a in l %}{{ loop.index0 }}{% for b in l %}{{ loop.index }}{% endfor %}{{ loop.length }}{% endfor %}", "{{ x.y.z }}", "{{- '\\n' }}\n{{- 'a' -}} \n", "{%- set x = 1 -%}\n\n {{ x }}",
)


def render(tokenizer, template, bos, system, question, **how):
    """What transformers makes of a question; `how`: tokenize=True for ids."""
    tokenizer.bos_token = bos
    messages = [{"role": "user", "content": question}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    return tokenizer.apply_chat_template(messages, chat_template=template, add_generation_prompt=True,
                                         additional_special_tokens=SPECIAL, **how)


def freeze(utils):
    """strftime_now tells DATE."""
    class Frozen(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return DATE
    utils.datetime = Frozen


def say(utils, template):
    """What Jinja makes of a template and VARIABLES; None where it fails."""
    try:
        return utils._cached_compile_jinja_template(template).render(**VARIABLES)  # pylint: disable=protected-access
    except Exception:  # pylint: disable=broad-exception-caught
        return None


def make(out):
    """tests/golden/tokenizers/chat.json and jinja.json; a part of the part `tokenizer`."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast
    from transformers.utils import chat_template_utils

    freeze(chat_template_utils)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), eos_token="</s>")
    found = []
    for name, (text, bos) in TEMPLATES.items():
        cases = []
        for system in MESSAGES:
            if system is not None and name == "mistral, no system":
                continue
            for i, question in enumerate(QUESTIONS):
                if system and i > 2:
                    continue
                settings = SETTINGS.get(name, {}) if i % 2 else {}
                case = {"system": system, "question": question,
                        "rendered": render(tokenizer, text, bos, system, question, tokenize=False, **settings)}
                cases.append(case | ({"settings": settings} if settings else {}))
        config = {"additional_special_tokens": SPECIAL, "eos_token": "</s>"} | ({"bos_token": bos} if bos else {})
        found.append({"name": name, "template": text, "config": config, "cases": cases})
    versions = common.versions("transformers", "jinja2")
    common.write_json(out / "tokenizers" / "chat.json", {"versions": versions, "templates": found})
    said = [[text, say(chat_template_utils, text)] for text in [f"|{{{{ {e} }}}}|" for e in EXPRESSIONS] + list(STATEMENTS)]
    common.write_json(out / "tokenizers" / "jinja.json", {"versions": versions, "variables": VARIABLES, "said": said})
