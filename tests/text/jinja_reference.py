# SPDX-License-Identifier: Apache-2.0
"""How transformers renders a chat template, with jinja2 alone: what our engine is held to.

render() does what tokenizer.apply_chat_template(..., tokenize=False) does in transformers 5.24.0
(utils/chat_template_utils.py and tokenization_utils_base.py): keys of a message that are None are dropped, its
reasoning is copied to the names templates read, and the template runs in the immutable sandbox with the settings
below. `jinja_make_goldens.py verify` compares this file with an installed transformers over all templates and inputs.
Only the clock differs: it stands still.
"""
import datetime
import functools
import json

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW_SECONDS = 1785067445  # 2026-07-26 12:04:05 UTC; jinja_golden_test.cc has the same
REASONING_FIELDS = ("reasoning_content", "thinking", "reasoning")


def now():
    return datetime.datetime.fromtimestamp(NOW_SECONDS, datetime.timezone.utc).replace(tzinfo=None)


class Generation(jinja2.ext.Extension):
    """{% generation %}: a block that renders as its body."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    @staticmethod
    def _body(caller):
        return caller()


class CheckedNamespace(jinja2.utils.Namespace):
    """Jinja's namespace, without names that begin with an underscore."""

    def __init__(*args, **kwargs):  # no parameter names: namespace(self=...) is allowed
        self, args = args[0], args[1:]
        members = dict(*args, **kwargs)
        for name in members:
            check_member(name)
        jinja2.utils.Namespace.__init__(self, members)

    def __setitem__(self, name, value):
        check_member(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)


def check_member(name):
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(f"underscore-prefixed attribute {name!r}")


class Dict:
    """dict(...) and dict.fromkeys(...), and nothing else of the type."""

    def __call__(self, *args, **kwargs):
        return dict(*args, **kwargs)

    def fromkeys(self, *args, **kwargs):
        return dict.fromkeys(*args, **kwargs)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


@functools.lru_cache(maxsize=4)
def compiled(source):
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                                extensions=[Generation, jinja2.ext.loopcontrols])
    environment.filters["tojson"] = tojson
    environment.globals |= {"raise_exception": raise_exception, "dict": Dict(), "namespace": CheckedNamespace,
                            "strftime_now": lambda format: now().strftime(format)}
    return environment.from_string(source)


def normal(message):
    message = {key: value for key, value in message.items() if value is not None}
    reasoning = next((message[field] for field in REASONING_FIELDS if field in message), None)
    if reasoning is None:
        return message
    return {"thinking": reasoning, **message, "reasoning_content": reasoning}


def arguments(given):
    """The keyword arguments that a golden's input stands for: messages apart."""
    plain = {"tools": given.get("tools"), "documents": given.get("documents"),
             "add_generation_prompt": given.get("add_generation_prompt") or False}
    tokens = {key: given[key] for key in ("bos_token", "eos_token") if given.get(key) is not None}
    return {**plain, **tokens, **(given.get("vars") or {})}


def render(source, given):
    return compiled(source).render(messages=[normal(message) for message in given["messages"]], **arguments(given))


def outcome(render_one, source, given):
    """The result of one case: its text, or the kind of its error."""
    try:
        return {"text": render_one(source, given)}
    except (jinja2.TemplateSyntaxError, SyntaxError) as e:
        return {"error": "syntax", "message": str(e)}
    except Exception as e:  # whatever Python raises is an error of the template
        return {"error": "refused" if type(e) is jinja2.TemplateError else "error", "message": str(e)}
