# SPDX-License-Identifier: Apache-2.0
"""The conversations that the published templates are rendered with: written ones times variants, and drawn ones."""
import json
import random

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
TYPICAL = {"user", "turns", "call_dict", "calls_parallel", "call_string", "reasoning", "parts", "call_content",
           "system", "image"}

# --- Drawn conversations: what nobody thought of putting together ---

DRAWN = 500

TEXTS = ["", " ", "\n", "Hi.", "What is 2+2?", "  two\n\nparagraphs \n", "\u4f60\u597d\uff0c\u4e16\u754c", "\U0001f600\U0001f469\u200d\U0001f467",
         "e\u0301\u0323", "\u0645\u0631\u062d\u0628\u0627", "\u0130\u0131\u00df\ufb01\u01c5", "</think>", "<think>a</think>b", "<think>\n\n</think>\n\nc",
         "<tool_call>{}</tool_call>", "<|im_end|>", "[INST]x[/INST]", "{{ 1 }}{% if %}", "'q' \"d\" \\ &<>", "a\tb\r\nc", "\u2028\x85\u00a0\ufeff", "0",
         "None", "{\"a\": [1, {\"b\": null}]}", "line\n" * 5, "x" * 300, "/think", "/no_think do it", "\ue000\U0010ffff", "\x00\x1f\x7f"]
VALUES = [None, True, False, 0, -1, 7, 2 ** 53, 1.0, 0.1, -2.5e-9, 1e22, "", "s", "\u00e9\n", "it's", [], {}, [1, "a", None],
          {"k": {"n": [True, {"\u00fc": 1.5}]}}, [[{"a": "<b>"}]], "2026-07-26"]
NAMES = ["get_weather", "search", "ping", "a.b", "caf\u00e9", "f-1"]
FLAGS = {"enable_thinking": [True, False], "thinking": [True, False], "reasoning_effort": ["low", "medium", "high", "max", None],
         "thinking_budget": [0, 512, -1], "preserve_thinking": [True, False], "clear_thinking": [True, False],
         "keep_past_thinking": [True, False], "add_vision_id": [True, False], "date_string": ["26 Jul 2026"],
         "tools_in_user_message": [True, False], "builtin_tools": [[], ["code_interpreter"]], "thinking_mode": ["thinking", "chat"],
         "model_identity": ["You are \u00c6.", ""], "drop_thinking": [True, False], "system_prompt": ["SP"]}


class Draw:
    """One conversation with everything around it; the seed is its name."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.calls = 0

    def chance(self, share):
        return self.random.random() < share

    def text(self):
        return "".join(self.random.choices(TEXTS, k=self.random.choice((1, 1, 1, 2, 3))))

    def content(self):
        if self.chance(0.88):
            return self.text()
        if self.chance(0.15):
            return None
        kinds = (lambda: {"type": "text", "text": self.text()}, lambda: {"type": "text", "text": self.text()},
                 lambda: {"type": "image"}, lambda: {"type": "image_url", "image_url": {"url": self.text()}},
                 lambda: {"type": "audio"}, lambda: {"type": "video"}, lambda: {"text": self.text()})
        return [self.random.choice(kinds)() for _ in range(self.random.randrange(4))]

    def arguments(self):
        names = self.random.sample(["city", "query", "n", "\u00e9t\u00e9", "a b", "nested", "type"], self.random.randrange(4))
        drawn = {name: self.random.choice(VALUES) for name in names}
        return json.dumps(drawn, ensure_ascii=self.chance(0.5)) if self.chance(0.3) else drawn

    def tool_calls(self):
        drawn = []
        for _ in range(self.random.choice((1, 1, 2, 3))):
            self.calls += 1
            one = call(self.random.choice(NAMES), self.arguments(), f"call{self.calls:05}")
            if self.chance(0.1):
                del one["id"]
            drawn.append(one["function"] if self.chance(0.05) else one)
        return drawn

    def results(self, calls):
        for one in calls:
            message = say("tool", self.random.choice((self.text, self.text, self.content, lambda: self.random.choice(VALUES)))())
            if self.chance(0.8):
                message["tool_call_id"] = one.get("id")
            if self.chance(0.5):
                message["name"] = one.get("function", one)["name"]
            yield message

    def assistant(self):
        message = say("assistant", self.content())
        if self.chance(0.3):
            message[self.random.choice(("reasoning_content", "reasoning_content", "thinking", "reasoning"))] = self.text()
        if self.chance(0.35):
            message["tool_calls"] = self.tool_calls()
        elif self.chance(0.1):
            message["tool_calls"] = self.random.choice(([], None))
        if self.chance(0.05):
            del message["content"]
        return message

    def messages(self):
        drawn = []
        if self.chance(0.5):
            drawn.append(say(self.random.choice(("system", "system", "system", "developer")), self.content()))
        for _ in range(self.random.choice((1, 1, 2, 2, 3, 4))):
            drawn.append(say("user", self.content()))
            answer = self.assistant()
            drawn.append(answer)
            if answer.get("tool_calls") and self.chance(0.9):
                drawn += self.results(answer["tool_calls"])
                if self.chance(0.7):
                    drawn.append(self.assistant())
        if self.chance(0.6):
            drawn.append(say("user", self.content()))
        return drawn

    def schema(self, depth):
        kind = self.random.choice(("string", "integer", "number", "boolean", "array", "object", ["string", "null"], None))
        drawn = {} if kind is None else {"type": kind}
        if self.chance(0.5):
            drawn["description"] = self.text()
        if self.chance(0.2):
            drawn["enum"] = self.random.sample(["a", "b", 1, None, "\u00e9"], 2)
        if self.chance(0.15):
            drawn["default"] = self.random.choice(VALUES)
        if self.chance(0.1):
            drawn["nullable"] = self.chance(0.5)
        if depth > 0 and kind == "array":
            drawn["items"] = self.schema(depth - 1)
        if depth > 0 and kind == "object":
            names = self.random.sample(["x", "y", "name", "type", "properties", "\u00fc"], self.random.randrange(4))
            drawn["properties"] = {name: self.schema(depth - 1) for name in names}
            drawn["required"] = names[:1]
        if depth > 0 and self.chance(0.1):
            drawn[self.random.choice(("anyOf", "oneOf"))] = [self.schema(depth - 1) for _ in range(2)]
        return drawn

    def tool(self):
        if self.chance(0.4):
            return self.random.choice((WEATHER, SEARCH, EMPTY_TOOL))
        names = self.random.sample(["city", "q", "opts", "\u00e9"], self.random.randrange(1, 4))
        function = {"name": self.random.choice(NAMES), "description": self.text(),
                    "parameters": {"type": "object", "properties": {name: self.schema(2) for name in names},
                                   "required": names[:self.random.randrange(len(names) + 1)]}}
        if self.chance(0.15):
            function["strict"] = True
        return {"type": "function", "function": function}

    def input(self):
        drawn = {"messages": self.messages()}
        if self.chance(0.9):
            drawn |= TOKENS
        if self.chance(0.7):
            drawn["add_generation_prompt"] = self.chance(0.8)
        if self.chance(0.5):
            drawn["tools"] = [self.tool() for _ in range(self.random.randrange(4))]
        if self.chance(0.4):
            flags = self.random.sample(sorted(FLAGS), self.random.randrange(1, 4))
            drawn["vars"] = {flag: self.random.choice(FLAGS[flag]) for flag in flags}
        return drawn


def make_inputs():
    inputs = {}
    for name, messages in CONVERSATIONS.items():
        for variant, more in VARIANTS.items():
            if variant in SPARSE and name not in TYPICAL:
                continue
            inputs[f"{name}/{variant}"] = {"messages": messages, **more}
    inputs |= {f"drawn/{seed}": Draw(seed).input() for seed in range(DRAWN)}
    return inputs
