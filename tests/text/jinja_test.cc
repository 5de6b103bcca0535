// SPDX-License-Identifier: Apache-2.0
// The template engine where goldens do not reach: marks of input, limits, errors, the input's
// checks.
#include <gtest/gtest.h>
#include <pthread.h>

#include <string>
#include <thread>
#include <vector>

#include "text/chat_template.h"

namespace mirage::text {
namespace {

constexpr std::string_view kNoMessages = R"({"messages": []})";

Result<Rendered> RenderWith(std::string_view source, std::string_view json,
                            const jinja::Limits& limits = {}) {
  MIRAGE_TRY_ASSIGN(const ChatTemplate chat_template, ChatTemplate::Parse(source));
  return chat_template.Render({json, 0, limits});
}

std::string TextOf(std::string_view source, std::string_view json = kNoMessages) {
  const Result<Rendered> rendered = RenderWith(source, json);
  return rendered ? rendered->text : "<" + rendered.error().message + ">";
}

Error ErrorOf(std::string_view source, std::string_view json = kNoMessages,
              const jinja::Limits& limits = {}) {
  const Result<Rendered> rendered = RenderWith(source, json, limits);
  return rendered ? Error{Code::kOk, "rendered: " + rendered->text, 0, 0} : rendered.error();
}

bool Mentions(const Error& error, std::string_view words) {
  return error.message.find(words) != std::string::npos;
}

std::string Repeat(std::string_view text, size_t count) {
  std::string repeated;
  for (size_t i = 0; i < count; ++i) repeated += text;
  return repeated;
}

// --- Marks: `s` is the conversation's "<|x|>, y" and `l` its list of two strings ---

// The text with what is the input's in square brackets.
std::string Marked(std::string_view source) {
  const Result<Rendered> rendered =
      RenderWith(source, R"({"messages": [{"role": "user", "content": "hi"}], "bos_token": "<s>",
                  "vars": {"s": "<|x|>, y", "l": ["p", "q"], "d": {"k": "v"}, "q": "a\"\n"}})");
  if (!rendered) return "<" + rendered.error().message + ">";
  std::string marked;
  size_t at = 0;
  for (const ByteSpan& span : rendered->input_spans) {
    marked += rendered->text.substr(at, span.begin - at) + "[" +
              rendered->text.substr(span.begin, span.end - span.begin) + "]";
    at = span.end;
  }
  return marked + rendered->text.substr(at);
}

TEST(JinjaMarks, MessagesAreInputAndTheTemplateIsNot) {
  EXPECT_EQ(Marked("{% for m in messages %}<u>{{ m.content }}</u>{% endfor %}"), "<u>[hi]</u>");
}

TEST(JinjaMarks, TokensOfTheModelAreTheTemplates) { EXPECT_EQ(Marked("{{ bos_token }}x"), "<s>x"); }

TEST(JinjaMarks, OutlivesConcatenation) {
  EXPECT_EQ(Marked("{{ 'a' + s + 'b' }}"), "a[<|x|>, y]b");
  EXPECT_EQ(Marked("{{ 'a' ~ s ~ 1 }}"), "a[<|x|>, y]1");
  EXPECT_EQ(Marked("{{ s * 2 }}"), "[<|x|>, y<|x|>, y]");
}

TEST(JinjaMarks, OutlivesSlicing) {
  EXPECT_EQ(Marked("{{ ('ab' ~ s)[1:5] }}"), "b[<|x]");
  EXPECT_EQ(Marked("{{ ('ab' ~ s)[::-1] }}"), "[y ,>|x|<]ba");
  EXPECT_EQ(Marked("{{ s[0] }}"), "[<]");
}

TEST(JinjaMarks, OutlivesReplace) {
  EXPECT_EQ(Marked("{{ s|replace('x', 'Z') }}"), "[<|]Z[|>, y]");
  EXPECT_EQ(Marked("{{ 'one two'|replace('two', s) }}"), "one [<|x|>, y]");
  EXPECT_EQ(Marked("{{ s.replace(',', '') }}"), "[<|x|> y]");
}

TEST(JinjaMarks, OutlivesSplittingAndJoining) {
  EXPECT_EQ(Marked("{{ s.split(', ')|join('-') }}"), "[<|x|>]-[y]");
  EXPECT_EQ(Marked("{{ l|join(', ') }}"), "[p], [q]");
  EXPECT_EQ(Marked("{{ '<|'.join(l) }}"), "[p]<|[q]");
}

TEST(JinjaMarks, OutlivesChangesOfCase) {
  EXPECT_EQ(Marked("{{ ('a ' ~ s)|upper }}"), "A [<|X|>, Y]");
  EXPECT_EQ(Marked("{{ ('a ' ~ s)|title }}"), "A [<|x|>, Y]");
}

TEST(JinjaMarks, OutlivesTrimAndIndent) {
  EXPECT_EQ(Marked("{{ ('  ' ~ s ~ '  ')|trim }}"), "[<|x|>, y]");
  EXPECT_EQ(Marked("{{ (s ~ '\n' ~ s)|indent(2) }}"), "[<|x|>, y]\n  [<|x|>, y]");
}

TEST(JinjaMarks, OutlivesJson) {
  EXPECT_EQ(Marked("{{ d|tojson }}"), R"({"[k]": "[v]"})");
  EXPECT_EQ(Marked("{{ q|tojson }}"), R"("[a\"\n]")");
}

TEST(JinjaMarks, OutlivesRepr) { EXPECT_EQ(Marked("{{ l }}"), "['[p]', '[q]']"); }

TEST(JinjaMarks, OutlivesFormatting) {
  EXPECT_EQ(Marked("{{ '<%5s>' % l[0] }}"), "<    [p]>");
  EXPECT_EQ(Marked("{{ '<{:>3}>'.format(l[0]) }}"), "<  [p]>");
  EXPECT_EQ(Marked("{{ s|escape }}"), "[&lt;|x|&gt;, y]");
}

TEST(JinjaMarks, OutlivesMacrosAndBlocks) {
  EXPECT_EQ(Marked("{% macro m(a) %}({{ a }}){% endmacro %}{{ m(s) }}"), "([<|x|>, y])");
  EXPECT_EQ(Marked("{% set b %}({{ l[0] }}){% endset %}{{ b }}"), "([p])");
  EXPECT_EQ(Marked("{% filter upper %}({{ l[0] }}){% endfilter %}"), "([P])");
}

TEST(JinjaMarks, ACharacterFromANumberIsInput) { EXPECT_EQ(Marked("{{ '%c|' % 60 }}"), "[<]|"); }

// --- Limits ---

TEST(JinjaLimits, RepeatingAStringIsBounded) {
  EXPECT_TRUE(Mentions(ErrorOf("{{ 'a' * 10 ** 9 }}"), "string_bytes = 67108864"));
  EXPECT_TRUE(Mentions(ErrorOf("{{ 'a' * 9223372036854775807 }}"), "string_bytes"));
  EXPECT_TRUE(Mentions(ErrorOf("{{ [1] * 10 ** 12 }}"), "live_bytes"));
}

TEST(JinjaLimits, PowersThatDoNotFitAreErrors) {
  EXPECT_TRUE(Mentions(ErrorOf("{{ 10 ** 10 ** 10 }}"), "does not fit 64 bits"));
  EXPECT_TRUE(Mentions(ErrorOf("{{ 9223372036854775807 + 1 }}"), "does not fit 64 bits"));
  EXPECT_EQ(TextOf("{{ 2 ** 62 }}"), "4611686018427387904");
}

TEST(JinjaLimits, WidthsOfFormatsAreBounded) {
  EXPECT_TRUE(Mentions(ErrorOf("{{ '%1000000000d' % 1 }}"), "string_bytes"));
  EXPECT_TRUE(Mentions(ErrorOf("{{ '%1000000000s' % 1 }}"), "string_bytes"));
  EXPECT_TRUE(Mentions(ErrorOf("{{ '{:99999999999}'.format(1) }}"), "string_bytes"));
  EXPECT_TRUE(Mentions(ErrorOf("{{ '%.99999999f' % 1 }}"), "precision exceeds 1000"));
  EXPECT_TRUE(Mentions(ErrorOf("{{ 'a'|center(10 ** 12) }}"), "string_bytes"));
  EXPECT_TRUE(Mentions(ErrorOf("{{ [1]|tojson(indent=10 ** 12) }}"), "string_bytes"));
}

TEST(JinjaLimits, RangesAreBounded) {
  EXPECT_TRUE(Mentions(ErrorOf("{{ range(100001) }}"), "range_items = 100000"));
  EXPECT_TRUE(
      Mentions(ErrorOf("{{ range(-9223372036854775807, 9223372036854775807) }}"), "range_items"));
  EXPECT_EQ(TextOf("{{ range(100000)|length }}"), "100000");
}

TEST(JinjaLimits, StepsAreBounded) {
  jinja::Limits limits;
  limits.steps = 1000;
  EXPECT_TRUE(Mentions(ErrorOf("{% for i in range(1000) %}{% endfor %}", kNoMessages, limits),
                       "steps = 1000"));
  EXPECT_TRUE(Mentions(ErrorOf("{% for a in range(100000) %}{% for b in range(100000) %}"
                               "{% endfor %}{% endfor %}"),
                       "steps = 10000000"));
}

TEST(JinjaLimits, OutputIsBounded) {
  jinja::Limits limits;
  limits.output_bytes = 100;
  EXPECT_TRUE(Mentions(ErrorOf("{% for i in range(99) %}abc{% endfor %}", kNoMessages, limits),
                       "output_bytes = 100"));
}

TEST(JinjaLimits, LiveMemoryIsBounded) {
  jinja::Limits limits;
  limits.live_bytes = 1 << 20;
  const std::string_view source =
      "{% set ns = namespace(l=[]) %}{% for i in range(9999) %}"
      "{% set ns.l = ns.l + ['abcdefghijklmnopqrstuvwxyz' * 100] %}{% endfor %}";
  EXPECT_TRUE(Mentions(ErrorOf(source, kNoMessages, limits), "live_bytes = 1048576"));
}

TEST(JinjaLimits, MemoryThatIsNoLongerHeldIsFree) {
  jinja::Limits limits;
  limits.live_bytes = 1 << 20;
  const Result<Rendered> rendered =
      RenderWith("{% for i in range(999) %}{% set x = 'abcdefghij' * 1000 %}{% endfor %}done",
                 kNoMessages, limits);
  ASSERT_TRUE(rendered) << rendered.error().message;
  EXPECT_EQ(rendered->text, "done");
}

TEST(JinjaLimits, MacrosMayNotCallEndlessly) {
  EXPECT_TRUE(Mentions(ErrorOf("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"), "call_depth"));
  EXPECT_TRUE(
      Mentions(ErrorOf("{% for x in [[1]] recursive %}{{ loop([x]) }}{% endfor %}"), "call_depth"));
  EXPECT_TRUE(Mentions(ErrorOf("{{ 'a'|map(*(['map'] * 99999))|list }}"), "call_depth"));
}

TEST(JinjaLimits, NestingOfTheSourceIsBounded) {
  EXPECT_TRUE(Mentions(ErrorOf("{{ " + Repeat("(", 300) + "1" + Repeat(")", 300) + " }}"),
                       "AST depth = 256"));
  EXPECT_TRUE(Mentions(ErrorOf("{{ 1" + Repeat("+1", 300) + " }}"), "AST depth = 256"));
  EXPECT_TRUE(Mentions(ErrorOf("{{ x" + Repeat("|d", 300) + " }}"), "AST depth = 256"));
  EXPECT_TRUE(Mentions(ErrorOf("{{ " + Repeat("not ", 300) + "1 }}"), "AST depth = 256"));
  EXPECT_TRUE(Mentions(ErrorOf("{{ " + Repeat("-", 300) + "1 }}"), "AST depth = 256"));
  EXPECT_TRUE(
      Mentions(ErrorOf("{{ " + Repeat("[", 300) + Repeat("]", 300) + " }}"), "AST depth = 256"));
  EXPECT_TRUE(
      Mentions(ErrorOf(Repeat("{% if 1 %}", 300) + Repeat("{% endif %}", 300)), "AST depth = 256"));
  EXPECT_EQ(TextOf("{{ 1" + Repeat("+1", 200) + " }}"), "201");
}

TEST(JinjaLimits, NestingOfValuesIsBounded) {
  EXPECT_TRUE(Mentions(ErrorOf("{% set ns = namespace(x=[]) %}{% for i in range(1000) %}"
                               "{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}"),
                       "value depth = 256"));
  const std::string deep =
      R"({"messages": [], "vars": {"x": )" + Repeat("[", 300) + Repeat("]", 300) + "}}";
  EXPECT_TRUE(Mentions(ErrorOf("", deep), "JSON depth = 256"));
}

TEST(JinjaLimits, ANamespaceMayHoldItself) {
  EXPECT_EQ(TextOf("{% set ns = namespace() %}{% set ns.me = ns %}{{ ns.me.me is defined }}"),
            "True");
  EXPECT_TRUE(
      Mentions(ErrorOf("{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}"), "value depth"));
}

TEST(JinjaLimits, ALongSourceIsRefused) {
  EXPECT_TRUE(Mentions(ErrorOf(std::string((1 << 20) + 1, 'a')), "more than 1048576"));
}

// Runs on a thread whose stack is small, as an application's may be.
Error ErrorOnSmallStack(const std::string& source) {
  // Frames are several times larger without optimization, and under a sanitizer.
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  constexpr size_t kStackBytes = 1u << 20;
#else
  constexpr size_t kStackBytes = 16u << 20;
#endif
  struct Job {
    const std::string& source;
    Error error;
  } job{source, {}};
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  pthread_t thread;
  const auto run = [](void* argument) -> void* {
    auto* given = static_cast<Job*>(argument);
    given->error = ErrorOf(given->source);
    return nullptr;
  };
  EXPECT_EQ(pthread_create(&thread, &attributes, run, &job), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  return job.error;
}

TEST(JinjaLimits, TheDeepestRecursionFitsASmallStack) {
  const auto recursive = [](const std::string& before, const std::string& after) {
    return "{% macro m(n) %}" + before + after + "{% endmacro %}{{ m(1) }}";
  };
  for (const std::string& source : {
           recursive("{{ " + Repeat("[", 200) + "m(n)", Repeat("]", 200) + " }}"),
           recursive("{{ " + Repeat("(1 + ", 200) + "m(n)", Repeat(")", 200) + " }}"),
           recursive(Repeat("{% if 1 %}", 200) + "{{ m(n) }}", Repeat("{% endif %}", 200)),
           recursive(Repeat("{% for i in [1] %}", 200) + "{{ m(n) }}", Repeat("{% endfor %}", 200)),
           recursive(Repeat("{% filter trim %}", 200) + "{{ m(n) }}",
                     Repeat("{% endfilter %}", 200)),
           recursive("{{ n|default(m(n)) }}", ""),
           recursive("{{ caller is defined }}{% call m(n) %}", "{% endcall %}"),
       }) {
    const Error error = ErrorOnSmallStack(source);
    EXPECT_TRUE(Mentions(error, "evaluation depth") || Mentions(error, "call_depth"))
        << error.message;
  }
}

TEST(JinjaLimits, TheDeepestSourceAndValueFitASmallStack) {
  const std::string deep_list = Repeat("[", 250) + Repeat("]", 250);
  const std::string deep_dict = Repeat("{1:", 250) + "1" + Repeat("}", 250);
  for (const std::string& value : {deep_list, deep_dict}) {
    const Error error =
        ErrorOnSmallStack("{% set a = " + value + " %}{% set b = " + value +
                          " %}{{ a == b }}{{ a }}{{ a|tojson(indent=1) }}{{ [a, b]|sort }}");
    EXPECT_TRUE(Mentions(error, "rendered") || Mentions(error, "not supported")) << error.message;
  }
  EXPECT_TRUE(Mentions(ErrorOnSmallStack("{{ " + Repeat("(", 255) + "1" + Repeat(")", 255) + " }}"),
                       "rendered"));
}

// --- Errors ---

TEST(JinjaErrors, ParseErrorsNameTheLine) {
  const Error error = ErrorOf("a\nb\n{% if %}{% endif %}");
  EXPECT_EQ(error.code, Code::kInvalidArgument);
  EXPECT_TRUE(Mentions(error, "template line 3: ")) << error.message;
}

TEST(JinjaErrors, RenderErrorsNameTheLineOfTheInnermostStatement) {
  const Error error =
      ErrorOf("{% for i in [1] %}\n{% if 1 %}\n{{ nope.x }}{% endif %}{% endfor %}");
  EXPECT_EQ(error.code, Code::kInvalidArgument);
  EXPECT_EQ(error.message, "template line 3: 'nope' is undefined");
}

TEST(JinjaErrors, RaiseExceptionIsARefusalInTheTemplatesWords) {
  const Error error = ErrorOf("{{ raise_exception('Roles must alternate') }}");
  EXPECT_EQ(error.code, Code::kRefused);
  EXPECT_EQ(error.message, "Roles must alternate");
}

TEST(JinjaErrors, TagsOfOtherTemplatesAreUnsupportedByName) {
  for (const std::string tag : {"include 'a'", "import 'a' as b", "from 'a' import b",
                                "extends 'a'", "block a", "autoescape true"}) {
    const Error error = ErrorOf("{% " + tag + " %}");
    EXPECT_EQ(error.code, Code::kUnsupported) << tag;
    EXPECT_TRUE(Mentions(error, "'" + tag.substr(0, tag.find(' ')) + "'")) << error.message;
  }
}

TEST(JinjaErrors, UnknownFiltersTestsAndMethodsAreNamed) {
  EXPECT_TRUE(Mentions(ErrorOf("{{ 1|frob }}"), "no filter named 'frob'"));
  EXPECT_TRUE(Mentions(ErrorOf("{{ 1 is frob }}"), "no test named 'frob'"));
  EXPECT_TRUE(Mentions(ErrorOf("{{ 'a'.frob() }}"), "has no attribute 'frob'"));
  EXPECT_EQ(ErrorOf("{{ 'a'|wordwrap }}").code, Code::kUnsupported);
  EXPECT_EQ(ErrorOf("{{ 'a'.encode() }}").code, Code::kUnsupported);
}

TEST(JinjaErrors, WhatChangesAListOrDictIsUnsafe) {
  EXPECT_TRUE(Mentions(ErrorOf("{{ [].append(1) }}"), "'append' of 'list' object is unsafe"));
  EXPECT_TRUE(Mentions(ErrorOf("{{ {}.update() }}"), "'update' of 'dict' object is unsafe"));
}

TEST(JinjaErrors, ASourceThatIsNotUtf8IsRefused) {
  EXPECT_TRUE(Mentions(ErrorOf("ab\xFF"), "byte 2"));
}

// --- The render's input ---

TEST(JinjaInput, EveryMistakeNamesItsKey) {
  EXPECT_TRUE(Mentions(ErrorOf("", "{}"), "'messages' is missing"));
  EXPECT_TRUE(Mentions(ErrorOf("", R"({"messages": 1})"), "'messages' must be a list"));
  EXPECT_TRUE(Mentions(ErrorOf("", R"({"messages": [{}, 1]})"), "messages[1] must be an object"));
  EXPECT_TRUE(Mentions(ErrorOf("", R"({"messages": [], "mesages": 1})"), "'mesages'"));
  EXPECT_TRUE(
      Mentions(ErrorOf("", R"({"messages": [], "add_generation_prompt": 1})"), "true or false"));
  EXPECT_TRUE(Mentions(ErrorOf("", R"({"messages": [], "bos_token": 1})"), "'bos_token'"));
  EXPECT_TRUE(Mentions(ErrorOf("", R"({"messages": [], "vars": []})"), "'vars'"));
  EXPECT_TRUE(Mentions(ErrorOf("", R"({"messages": [], "vars": {"tools": 1}})"), "'tools'"));
  EXPECT_TRUE(Mentions(ErrorOf("", "[1, 2"), "JSON byte"));
  EXPECT_TRUE(Mentions(ErrorOf("", "{\"messages\": [\"\xFF\"]}"), "JSON byte"));
}

TEST(JinjaInput, IntegersBeyond64BitsAreNamed) {
  for (const std::string digits :
       {"9223372036854775808", "-9223372036854775809", "99999999999999999999999"}) {
    const Error error = ErrorOf("", R"({"messages": [], "vars": {"x": )" + digits + "}}");
    EXPECT_TRUE(Mentions(error, "does not fit 64 bits")) << error.message;
  }
  EXPECT_EQ(TextOf("{{ x }}", R"({"messages": [], "vars": {"x": -9223372036854775808}})"),
            "-9223372036854775808");
}

TEST(JinjaInput, TheOrderOfKeysIsKeptAndTheLastOfTwoWins) {
  EXPECT_EQ(TextOf("{{ x }}", R"({"messages": [], "vars": {"x": {"b": 1, "a": 2, "b": 3}}})"),
            "{'b': 3, 'a': 2}");
}

TEST(JinjaInput, NullIsAsGoodAsAbsent) {
  EXPECT_EQ(TextOf("{{ tools }}{{ bos_token is defined }}{{ add_generation_prompt }}",
                   R"({"messages": [], "tools": null, "bos_token": null,
                       "add_generation_prompt": null})"),
            "NoneFalseFalse");
}

TEST(JinjaInput, WhatIsNullInAMessageIsNotThere) {
  EXPECT_EQ(TextOf("{{ messages[0].content is defined }}{{ messages[0].a.b }}",
                   R"({"messages": [{"content": null, "a": {"b": null}}]})"),
            "FalseNone");
}

TEST(JinjaInput, ReasoningAnswersToBothItsNames) {
  EXPECT_EQ(TextOf("{{ messages[0].thinking }}{{ messages[1].reasoning_content }}",
                   R"({"messages": [{"role": "a", "reasoning_content": "x"},
                                    {"role": "a", "thinking": "y"}]})"),
            "xy");
}

TEST(JinjaInput, TimeIsTheOneGiven) {
  const Result<ChatTemplate> chat_template =
      ChatTemplate::Parse("{{ strftime_now('%Y-%m-%d %H:%M:%S %j %V') }}");
  ASSERT_TRUE(chat_template);
  const auto at = [&](int64_t seconds) {
    return chat_template->Render({kNoMessages, seconds, {}})->text;
  };
  EXPECT_EQ(at(0), "1970-01-01 00:00:00 001 01");
  EXPECT_EQ(at(-1), "1969-12-31 23:59:59 365 01");
  EXPECT_EQ(at(951782400), "2000-02-29 00:00:00 060 09");
  EXPECT_EQ(at(1609459199), "2020-12-31 23:59:59 366 53");
}

TEST(JinjaThreads, OneTemplateRendersOnManyThreads) {
  const Result<ChatTemplate> chat_template = ChatTemplate::Parse(
      "{% macro m(a) %}<{{ a }}>{% endmacro %}{% for i in range(50) %}{{ m('x' ~ i) }}{% endfor "
      "%}");
  ASSERT_TRUE(chat_template);
  const std::string expected = chat_template->Render({kNoMessages, 0, {}})->text;
  std::vector<std::string> texts(4);
  std::vector<std::thread> threads;
  for (std::string& text : texts) {
    threads.emplace_back([&] { text = chat_template->Render({kNoMessages, 0, {}})->text; });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& text : texts) EXPECT_EQ(text, expected);
}

}  // namespace
}  // namespace mirage::text
