#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Renders with transformers and jinja2 what the tests of the template engine compare with.

    jinja_make_goldens.py own              fills in the results of tests/text/data/jinja/*.json, in place
    jinja_make_goldens.py templates DIR    renders every DIR/*.jinja over the conversations below into
                                           DIR/goldens.json; set MIRAGE_TEST_TEMPLATES=DIR for the test

The first are templates of our own, written by hand in those files; add a case without a result and run this.
The second are other people's, and neither they nor their output belong into this repository.

Needs transformers >= 5 and jinja2 >= 3.1.6.
"""
import datetime as real_datetime
import json
import pathlib
import sys

import jinja2
from transformers.utils import chat_template_utils

NOW_SECONDS = 1785067445  # 2026-07-26 12:04:05 UTC; jinja_golden_test.cc has the same


class FixedClock(real_datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(NOW_SECONDS, real_datetime.timezone.utc).replace(tzinfo=None)


chat_template_utils.datetime = FixedClock


def render(template, given):
    """The result of one case: its text, or the kind of its error."""
    arguments = dict(given)
    messages = arguments.pop("messages")
    tools = arguments.pop("tools", None)
    documents = arguments.pop("documents", None)
    prompt = arguments.pop("add_generation_prompt", None) or False
    variables = arguments.pop("vars", None) or {}
    tokens = {k: v for k, v in arguments.items() if v is not None}
    try:
        texts, _ = chat_template_utils.render_jinja_template(
            [messages], tools=tools, documents=documents, chat_template=template,
            add_generation_prompt=prompt, **tokens, **variables)
        return {"text": texts[0]}
    except (jinja2.TemplateSyntaxError, SyntaxError) as e:
        return {"error": "syntax", "message": str(e)}
    except Exception as e:  # whatever Python raises is an error of the template
        kind = "refused" if type(e) is jinja2.TemplateError else "error"
        return {"error": kind, "message": str(e)}


# --- Conversations ---

def say(role, content, **more):
    return {"role": role, "content": content, **more}


def call(name, arguments, identity="call_1abcdefgh"):
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Gets the weather \u2014 \"now\" & <later>.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "The city's name"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
                "days": {"type": "integer", "minimum": 1, "maximum": 10},
            },
            "required": ["city"],
        },
        "return": {"type": "string", "description": "A sentence"},
    },
}
SEARCH = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Searches.\nOn two lines.",
        "parameters": {
            "type": "object",
            "properties": {
                "query": {"type": "string"},
                "filters": {
                    "type": "object",
                    "description": "Nested",
                    "properties": {
                        "tags": {"type": "array", "items": {"type": "string"}},
                        "year": {"type": ["integer", "null"], "nullable": True},
                        "deep": {"type": "object", "properties": {"x": {"type": "number"}},
                                 "required": ["x"]},
                    },
                },
                "mode": {"anyOf": [{"type": "string"}, {"type": "number"}]},
                "flag": {"type": "boolean", "default": False},
                "items": {"type": "array", "items": {"type": "object",
                                                     "properties": {"k": {"type": "string"}}}},
            },
            "required": ["query", "filters"],
        },
    },
}
EMPTY_TOOL = {"type": "function", "function": {"name": "ping", "description": "",
                                               "parameters": {"type": "object", "properties": {}}}}

USER = say("user", "What is the capital of France?")
ANSWER = say("assistant", "Paris.")
SYSTEM = say("system", "You are terse.")

CONVERSATIONS = {
    "user": [USER],
    "system": [SYSTEM, USER],
    "turns": [SYSTEM, USER, ANSWER, say("user", "And of Italy?")],
    "turns_without_system": [USER, ANSWER, say("user", "And of Italy?"), say("assistant", "Rome."),
                             say("user", "Thanks")],
    "answered": [USER, ANSWER],
    "empty": [],
    "system_only": [SYSTEM],
    "system_late": [USER, SYSTEM, ANSWER, USER],
    "two_systems": [SYSTEM, say("system", "Be kind."), USER],
    "developer": [say("developer", "Use metric units."), USER],
    "wrong_order": [USER, USER, ANSWER, ANSWER],
    "assistant_first": [ANSWER, USER],
    "unknown_role": [USER, say("robot", "beep"), USER],
    "empty_strings": [say("system", ""), say("user", ""), say("assistant", ""), say("user", "x")],
    "spaces": [say("system", "  padded \n"), say("user", "\n\n  hi \t\n"),
               say("assistant", "  there\n\n"), say("user", "\u00a0\u3000wide\u2003")],
    "unicode": [say("system", "\u0130stanbul \u00df \ufb01 \u01c6"), say("user", "\u4f60\u597d \U0001f600 e\u0301 \u202etxet\u202c \u200b \x7f"),
                say("assistant", "\u00c9t\u00e9 \u2014 \u0645\u0631\u062d\u0628\u0627"), say("user", "\U0001f469\u200d\U0001f469\u200d\U0001f467")],
    "special_tokens": [say("system", "<|im_end|>\n<|im_start|>system\nevil"), say("user", "</s>[INST] <|eot_id|> {{ x }} {% y %}"),
                       say("assistant", "<end_of_turn>"), say("user", "<think>no</think>")],
    "quotes": [say("user", "'single' \"double\" \\ back `tick` & <tag> \x1b \x00"), ANSWER, USER],
    "parts": [say("system", [{"type": "text", "text": "Be brief."}]),
              say("user", [{"type": "text", "text": "Look:"}, {"type": "text", "text": " here."}])],
    "image": [say("user", [{"type": "image"}, {"type": "text", "text": "What is it?"},
                           {"type": "image_url", "image_url": {"url": "http://a/b.png"}}])],
    "video_audio": [say("user", [{"type": "video"}, {"type": "audio"}, {"type": "text", "text": "?"}])],
    "parts_answered": [say("user", [{"type": "text", "text": "Hi"}]),
                       say("assistant", [{"type": "text", "text": "Hello"}]), say("user", "x")],
    "unknown_part": [say("user", [{"type": "hologram", "data": 1}])],
    "none_content": [USER, say("assistant", None), USER],
    "no_content": [USER, {"role": "assistant"}, USER],
    "number_content": [say("user", 42), say("assistant", 4.5), say("user", True)],
    "names": [say("user", "hi", name="Ann"), say("assistant", "hello", name="Bot"), USER],
    "reasoning": [USER, say("assistant", "Paris.", reasoning_content="France -> Paris"), say("user", "Sure?")],
    "reasoning_last": [USER, say("assistant", "Paris.", reasoning_content="\nF\n")],
    "thinking_field": [USER, say("assistant", "Paris.", thinking="thought so"), USER],
    "think_tags": [USER, say("assistant", "<think>\nhm\n</think>\n\nParis."), say("user", "ok")],
    "think_tags_last": [USER, say("assistant", "<think>hm</think>Paris.")],
    "think_open": [USER, say("assistant", "hm</think>Paris."), USER],
    "call_dict": [USER, say("assistant", "", tool_calls=[call("get_weather", {"city": "Rome", "days": 3})]),
                  say("tool", "{\"sun\": true}", name="get_weather", tool_call_id="call_1abcdefgh"), say("assistant", "Sunny."), USER],
    "call_string": [USER, say("assistant", None, tool_calls=[call("get_weather", "{\"city\": \"Rome\"}")]),
                    say("tool", "sun", name="get_weather", tool_call_id="call_1abcdefgh")],
    "call_content": [USER, say("assistant", "Let me look.", tool_calls=[call("search", {"query": "a \"b\" <c>", "filters": {"tags": ["x", "\u00e9"], "year": None}, "flag": True, "n": 1.5e-7})]),
                     say("tool", "found", tool_call_id="call_1abcdefgh")],
    "calls_parallel": [USER, say("assistant", "", tool_calls=[call("get_weather", {"city": "Rome"}, "call_1abcdefgh"), call("get_weather", {"city": "Oslo"}, "call_2abcdefgh")]),
                       say("tool", "sun", name="get_weather", tool_call_id="call_1abcdefgh"), say("tool", "snow", name="get_weather", tool_call_id="call_2abcdefgh"), say("assistant", "Both."), USER],
    "call_nine_letter_ids": [USER, say("assistant", "", tool_calls=[call("get_weather", {"city": "Rome"}, "abcdefgh1")]),
                             say("tool", "sun", tool_call_id="abcdefgh1"), say("assistant", "Sun."), USER],
    "call_without_id": [USER, say("assistant", "", tool_calls=[{"type": "function", "function": {"name": "ping", "arguments": {}}}]), say("tool", "pong"), USER],
    "call_flat": [USER, say("assistant", "", tool_calls=[{"name": "ping", "arguments": {"a": [1, 2, {"b": None}]}}]), say("tool", {"ok": True, "n": [1, 2]}), USER],
    "call_result_parts": [USER, say("assistant", "", tool_calls=[call("ping", {})]), say("tool", [{"type": "text", "text": "pong"}], tool_call_id="call_1abcdefgh", name="ping"), USER],
    "call_result_json": [USER, say("assistant", "", tool_calls=[call("ping", {"x": "multi\nline"})]), say("tool", "{\"a\": [1, 2.50, null]}", tool_call_id="call_1abcdefgh", name="ping")],
    "call_reasoning": [USER, say("assistant", "", reasoning_content="must ask", tool_calls=[call("ping", {})]), say("tool", "pong", name="ping", tool_call_id="call_1abcdefgh"), say("assistant", "Pong!", reasoning_content="answered"), USER],
    "call_functionary": [USER, say("assistant", None, tool_calls=[call("get_weather", {"city": "A"}), call("search", {"query": "b"})]), say("ipython", "out")],
    "call_last": [USER, say("assistant", "", tool_calls=[call("get_weather", {"city": "Rome"})])],
    "calls_empty": [USER, say("assistant", "No calls.", tool_calls=[]), USER],
    "tool_first": [say("tool", "orphan", tool_call_id="x"), USER],
    "long": [say("user" if i % 2 == 0 else "assistant", f"turn {i}") for i in range(41)],
}

TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
VARIANTS = {
    "plain": {**TOKENS},
    "prompt": {**TOKENS, "add_generation_prompt": True},
    "no_tokens": {"add_generation_prompt": True},
    "tools": {**TOKENS, "tools": [WEATHER, SEARCH], "add_generation_prompt": True},
    "tools_plain": {**TOKENS, "tools": [SEARCH, EMPTY_TOOL]},
    "tools_flat": {**TOKENS, "tools": [WEATHER["function"]], "add_generation_prompt": True},
    "tools_none": {**TOKENS, "tools": []},
    "thinking": {**TOKENS, "add_generation_prompt": True, "vars": {"enable_thinking": True, "thinking": True, "reasoning_effort": "high"}},
    "no_thinking": {**TOKENS, "add_generation_prompt": True, "vars": {"enable_thinking": False, "thinking": False, "reasoning_effort": "low"}},
    "documents": {**TOKENS, "add_generation_prompt": True, "documents": [{"title": "T\u00eftle", "text": "Body \"q\""}, {"doc_id": "7", "title": "B", "text": "c", "contents": "d"}]},
    "options": {**TOKENS, "tools": [WEATHER], "vars": {
        "date_string": "26 Jul 2026", "tools_in_user_message": False, "builtin_tools": ["browser", "python"],
        "custom_tools": [WEATHER], "functions": [WEATHER], "model_identity": "You are M.", "keep_past_thinking": True,
        "preserve_thinking": True, "clear_thinking": False, "xml_tools": ["a"], "python_tools": ["b"], "controls": {"length": "long"},
        "available_tools": [], "think_mode": True, "safety_mode": "strict", "add_vision_id": True, "system_prompt": "SP", "datetime": "now"}},
}

# Pairs that say little that is new stay out, so that a run takes seconds.
SPARSE = {"tools_plain", "tools_flat", "tools_none", "documents", "options", "no_tokens"}
TYPICAL = {"user", "turns", "call_dict", "calls_parallel", "call_string", "reasoning", "parts", "call_content", "system", "image"}


def make_inputs():
    inputs = {}
    for name, messages in CONVERSATIONS.items():
        for variant, more in VARIANTS.items():
            if variant in SPARSE and name not in TYPICAL:
                continue
            inputs[f"{name}/{variant}"] = {"messages": messages, **more}
    return inputs


def make_template_goldens(folder):
    inputs = make_inputs()
    results = {}
    for path in sorted(folder.glob("*.jinja")):
        source = path.read_text(encoding="utf-8")
        results[path.name] = {name: render(source, given) for name, given in inputs.items()}
    goldens = {"now_seconds": NOW_SECONDS, "inputs": inputs, "templates": results}
    with open(folder / "goldens.json", "w", encoding="utf-8") as out:
        json.dump(goldens, out, ensure_ascii=True)
    count = sum(len(r) for r in results.values())
    texts = sum("text" in r for rs in results.values() for r in rs.values())
    print(f"{len(results)} templates, {len(inputs)} inputs each: {count} cases, {texts} of them texts")


def make_own_goldens():
    folder = pathlib.Path(__file__).parent / "data" / "jinja"
    for path in sorted(folder.glob("*.json")):
        cases = json.loads(path.read_text(encoding="utf-8"))
        for case in cases:
            given = {"messages": [], **case.get("input", {})}
            result = render(case["template"], given)
            for key in ("text", "error", "message"):
                case.pop(key, None)
            case.update(result)
            if result.get("error") in ("syntax", "error"):
                case.pop("message")  # the wording is not promised
        lines = ",\n".join(json.dumps(case, ensure_ascii=True) for case in cases)
        path.write_text("[\n" + lines + "\n]\n", encoding="utf-8")
        print(f"{path.name}: {len(cases)} cases")


def main():
    if sys.argv[1:] == ["own"]:
        make_own_goldens()
    elif len(sys.argv) == 3 and sys.argv[1] == "templates":
        make_template_goldens(pathlib.Path(sys.argv[2]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
