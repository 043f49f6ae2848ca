"""Chat rendering against Jinja, which executes the templates that the program only reads.

  chat_parity.py RENDER_CHATS [SHARED_DATA] [GGUF]

The templates below are written for this test in the shapes that the models' own have; those of
SHARED_DATA and of the GGUF file are the models' own.
"""
import json
import pathlib
import subprocess
import sys

LLAMA2 = """{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}\
{% set system_message = messages[0]['content'] %}{% else %}{% set rest = messages %}\
{% set system_message = DEFAULT %}{% endif %}{% for message in rest %}\
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('turns') }}{% endif %}\
{% if loop.index0 == 0 and system_message != false %}\
{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}\
{% else %}{% set content = message['content'] %}{% endif %}\
{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}\
{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}\
{% endfor %}"""
LLAMA3 = """{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] \
+ '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' %}\
{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}\
{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"""
MISTRAL_PLAIN = """{{ bos_token }}{% for message in messages %}\
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('turns') }}{% endif %}\
{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}\
{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token END }}\
{% else %}{{ raise_exception('roles') }}{% endif %}{% endfor %}"""
MISTRAL_SYSTEM = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set rest = messages[1:] %}
{%- else %}
    {%- set rest = messages %}
{%- endif %}
{%- for message in rest %}
    {%- if (message["role"] == "user") != (loop.index0 % 2 == 0) %}
        {{- raise_exception("turns") }}
    {%- endif %}
{%- endfor %}

{{- bos_token }}
{%- for message in rest %}
    {%- if message["role"] == "user" %}
        {%- if loop.WHERE and system_message is defined %}
            {{- "OPEN" + system_message + "\\n\\n" + message["content"] + "CLOSE" }}
        {%- else %}
            {{- "OPEN" + message["content"] + "CLOSE" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- ANSWER + eos_token}}
    {%- endif %}
{%- endfor %}
"""
ZEPHYR = """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""
CHATML = """{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + \
message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}\
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
CHATML_BOS_TRIM = "{{ bos_token }}" + CHATML.replace("message['content']", "message['content'] | trim")
CHATML_OPEN = """{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}\
{{ '<|im_start|>system\nBe kind, don\\'t shout.<|im_end|>\n' }}{% endif %}\
{{'<|im_start|>' + message['role'] + '\n' + message['content']}}\
{% if (loop.last and add_generation_prompt) or not loop.last %}{{ '<|im_end|>' + '\n'}}{% endif %}\
{% endfor %}{% if add_generation_prompt and messages[-1]['role'] != 'assistant' %}\
{{ '<|im_start|>assistant\n' }}{% endif %}"""
THINKING = """{%- set ns = namespace(open=true, last_query_index=messages|length - 1) %}
{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages[::-1] %}
    {%- if ns.open and message.role == "user" %}
        {%- set ns.open = false %}
        {%- set ns.last_query_index = (messages|length - 1) - loop.index0 %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content %}
    {%- if message.role == "user" or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set thought = '' %}
        {%- if '</think>' in content %}
            {%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index and (loop.last or thought) %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""


def mistral(where, opening, closing, answer):
    return (MISTRAL_SYSTEM.replace("WHERE", where).replace("OPEN", opening)
            .replace("CLOSE", closing).replace("ANSWER", answer))


TEMPLATES = {  # name: (template, expected format, bos, eos)
    "Llama-2": (LLAMA2.replace("DEFAULT", "false"), "llama2", "<s>", "</s>"),
    "Llama-2 with default": (LLAMA2.replace("DEFAULT", "'Be honest.\\nBe brief.'"), "llama2",
                             "<s>", "</s>"),
    "Llama-3": (LLAMA3, "llama3", "<|begin_of_text|>", "<|eot_id|>"),
    "Mistral v0.1": (MISTRAL_PLAIN.replace("END", "+ ' '"), "mistral", "<s>", "</s>"),
    "Mistral v0.2": (MISTRAL_PLAIN.replace("END", ""), "mistral", "<s>", "</s>"),
    "Mistral v0.2 with system": (mistral("first", " [INST] ", " [/INST]",
                                         '" " + message["content"]'), "mistral", "<s>", "</s>"),
    "Mistral v0.3": (mistral("last", "[INST] ", "[/INST]", '" " + message["content"]|trim'),
                     "mistral", "<s>", "</s>"),
    "Mistral Nemo": (mistral("last", "[INST]", "[/INST]", 'message["content"]'), "mistral",
                     "<s>", "</s>"),
    "Zephyr": (ZEPHYR, "zephyr", "<s>", "</s>"),
    "ChatML": (CHATML, "chatml", "", "<|im_end|>"),
    "ChatML, BOS and trim": (CHATML_BOS_TRIM, "chatml", "<s>", "<|im_end|>"),
    "ChatML, last left open": (CHATML_OPEN, "chatml", "", "<|im_end|>"),
    "ChatML with thoughts": (THINKING, "chatml", "", "<|im_end|>"),
    "another": ("{% for m in messages %}{{ '### ' + m['role'] + ': ' + m['content'] }}{% endfor %}",
                "", "<s>", "</s>"),
    "another with ChatML's tokens": (CHATML.replace("'<|im_end|>' + '\\n'", "'<|im_sep|>'"), "",
                                     "", "<|im_end|>"),
    "none": ("", "", "", ""),
}


def own_templates(shared, gguf):
    templates = {}
    for path in sorted(shared.glob("tokenizers/chat_templates/*.jinja")):
        expected = "chatml" if "Qwen" in path.name else "llama3"
        templates[path.name] = (path.read_text(), expected, "<|begin_of_text|>", "<|eot_id|>")
    for path in sorted(shared.glob("tokenizers/*/tokenizer_config.json")):
        text = json.loads(path.read_text()).get("chat_template")
        if text:
            templates[str(path.parent.name)] = (text, "chatml", "", "<|im_end|>")
    if gguf is not None and gguf.exists():
        import gguf as gguf_package
        field = gguf_package.GGUFReader(str(gguf)).fields["tokenizer.chat_template"]
        templates[gguf.name] = (field.contents(), "chatml", "<|im_start|>", "<|im_end|>")
    return templates


def chat(*contents, system=None):
    messages = [] if system is None else [{"role": "system", "content": system}]
    for i, content in enumerate(contents):
        messages.append({"role": "assistant" if i % 2 else "user", "content": content})
    return messages


CHATS = [
    chat("What is a head?"),
    chat("What is a head?", system="You are terse."),
    chat(" \n spaces around \t", system="\n system \n"),
    chat("Hi", " Hello. ", "And now?"),
    chat("Hi", "Hello.", "And now?", "Nothing.", "Why?", system="Count."),
    chat("Hi", "Hello."),
    chat("Hi", "<think>\nhm\n</think>\n\nHello.", "And?", "<think>\n\nwell\n</think>\n\nFine."),
    chat("", system=""),
    chat("quote ' and \" and {{ braces }} and \\n 你好 \u00a0"),
]


def render(template, bos, eos, messages, prompt):
    from jinja2.exceptions import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message):
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = refuse
    try:
        return environment.from_string(template).render(
            messages=messages, bos_token=bos, eos_token=eos, add_generation_prompt=prompt)
    except TemplateError:
        return None


def main():
    program = sys.argv[1]
    shared = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else pathlib.Path("/nonexistent")
    gguf = pathlib.Path(sys.argv[3]) if len(sys.argv) > 3 else None
    try:
        import jinja2  # noqa: F401
        templates = {**TEMPLATES, **own_templates(shared, gguf)}
    except ImportError as error:
        print(f"SKIPPED: the Python package {error.name} is not installed")
        return 0
    cases = [(name, messages, prompt) for name in templates for messages in CHATS
             for prompt in (True, False)]
    requests = [{"template": templates[name][0], "bos": templates[name][2],
                 "eos": templates[name][3], "messages": messages, "prompt": prompt}
                for name, messages, prompt in cases]
    output = subprocess.run([program], input=json.dumps(requests), capture_output=True,
                            encoding="utf-8", check=True)
    bad = 0
    for (name, messages, prompt), line in zip(cases, output.stdout.split("\n")[:-1], strict=True):
        ours = json.loads(line)
        template, expected_format, bos, eos = templates[name]
        expected = render(template, bos, eos, messages, prompt) if expected_format else None
        if ours["format"] == expected_format and ours.get("rendered") == expected:
            continue
        bad += 1
        if bad <= 10:
            print(f"{name}, {messages}, prompt {prompt}:\n  ours {ours}\n  Jinja {expected!r}")
    print(f"{len(cases) - bad} of {len(cases)} chats of {len(templates)} templates agree")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
