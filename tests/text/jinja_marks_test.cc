// SPDX-License-Identifier: Apache-2.0
// No operation turns the conversation's text into the template's. Each expression below is rendered
// over two inputs that have no letter in common: what is not marked as input must be the same in
// both. A native that is in no case fails the test, so a new one brings its case.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "text/chat_template.h"
#include "text/jinja/filters.h"
#include "text/jinja/methods.h"

namespace mirage::text {
namespace {

using Cases = std::map<std::string, std::vector<std::string>>;

// Of one shape: white space and lengths agree, letters differ, and so does what escapes touch.
constexpr const char* kInputs[] = {
    R"({"messages": [], "vars": {"s": "<|x|> ab", "w": " one  two ", "c": "<", "m": "a\nb\"'",
        "l": ["p", "q"], "d": {"k": "v", "m": "w"}, "f": "1%sa%%", "b": "2{}n{{", "v": "%sYY",
        "o": [{"g": "u", "h": "Aa"}, {"g": "ro", "h": "Bb"}], "x": "-0ab"}})",
    R"({"messages": [], "vars": {"s": "</z>& cd", "w": " SIX  TEN ", "c": "&", "m": "c\nd\\>",
        "l": ["r", "s"], "d": {"j": "y", "i": "z"}, "f": "3%sb%%", "b": "4{}m{{", "v": "%sZZ",
        "o": [{"g": "L", "h": "Cc"}, {"g": "fi", "h": "Dd"}], "x": "-9cd"}})"};

struct Parts {
  std::string error;
  std::string of_template;  // with a bar for every run of the input's
  bool has_input = false;
};

Parts Render(const std::string& source, const char* input) {
  const Result<ChatTemplate> chat_template = ChatTemplate::Parse(source);
  if (!chat_template) return {chat_template.error().message, {}};
  const Result<Rendered> rendered = chat_template->Render({input, 1700000000, {}});
  if (!rendered) return {rendered.error().message, {}};
  Parts parts;
  size_t at = 0;
  for (const ByteSpan& span : rendered->input_spans) {
    parts.of_template += rendered->text.substr(at, span.begin - at) + "|";
    at = span.end;
  }
  parts.of_template += rendered->text.substr(at);
  parts.has_input = !rendered->input_spans.empty();
  return parts;
}

std::string SourceOf(const std::string& written) {
  return written.find("{%") == std::string::npos ? "{{ " + written + " }}" : written;
}

void ExpectMarked(const std::string& written) {
  const std::string source = SourceOf(written);
  const Parts first = Render(source, kInputs[0]);
  const Parts second = Render(source, kInputs[1]);
  EXPECT_EQ(first.error + second.error, "") << source;
  EXPECT_EQ(first.of_template, second.of_template) << source;
  EXPECT_TRUE(first.has_input) << source;
}

void ExpectAllMarked(const Cases& cases) {
  for (const auto& [name, sources] : cases)
    for (const std::string& source : sources) ExpectMarked(source);
}

// Every native of the tables has a case or gives no text.
void ExpectComplete(std::initializer_list<std::span<const jinja::NativeFunction>> tables,
                    const Cases& cases, const std::set<std::string>& without_text) {
  for (const auto& table : tables)
    for (const jinja::NativeFunction& native : table) {
      const std::string name(native.name);
      EXPECT_TRUE(cases.contains(name) || without_text.contains(name)) << name << " has no case";
    }
}

TEST(JinjaMarksOfAll, Filters) {
  const Cases cases = {
      {"attr", {"{% set n = namespace(x=s) %}{{ n|attr('x') }}"}},
      {"batch", {"l|batch(2)|list", "l|batch(3, s)|list"}},
      {"capitalize", {"s|capitalize", "('a' ~ s)|capitalize"}},
      {"center", {"c|center(9)", "('a' ~ c)|center(6)"}},
      {"d", {"nope|d(s)"}},
      {"default", {"s|default('x')", "''|default(s, true)"}},
      {"dictsort", {"d|dictsort", "d|dictsort(by='value', reverse=true)"}},
      {"e", {"s|e"}},
      {"escape", {"('<' ~ s)|escape"}},
      {"first", {"l|first", "s|first", "d|first"}},
      {"float", {"s|float(c)"}},
      {"forceescape", {"(s|safe)|forceescape"}},
      {"format",
       {"'%s-%9s'|format(s, c)", "f|format(c)", "('a' ~ f)|format('x')", "'%(k)r'|format(k=s)",
        "'%-9s|'|format(c)", "'%.2s'|format(s)", "(f|safe)|format(c)", "'%c'|format(c)"}},
      {"groupby",
       {"o|groupby('g')", "o|groupby('z', default=s)", "o|groupby('g')|map('first')|join"}},
      {"indent", {"m|indent(3)", "m|indent(c, true)", "'a\nb'|indent(s, blank=true)"}},
      {"int", {"s|int(c)"}},
      {"items", {"d|items|list"}},
      {"join", {"l|join", "l|join('-')", "['a', 'b']|join(s)", "o|join(', ', attribute='g')"}},
      {"last", {"l|last", "s|last", "(s|safe)|last"}},
      {"list", {"s|list", "d|list"}},
      {"lower", {"w|lower", "(w|safe)|lower"}},
      {"map",
       {"l|map('upper')|list", "l|map('replace', 'zz', c)|list", "o|map(attribute='g')|list",
        "o|map(attribute='z', default=s)|list"}},
      {"max", {"l|max", "o|max(attribute='h')"}},
      {"min", {"l|min", "o|min(attribute='h')"}},
      {"reject", {"l|reject('undefined')|list"}},
      {"rejectattr", {"o|rejectattr('z')|list"}},
      {"replace",
       {"s|replace('a', 'Z')|replace('c', 'Z')", "'one two'|replace('two', s)",
        "'ab'|replace('', c)", "('a' ~ s)|replace('a', 'b', 1)"}},
      {"reverse", {"s|reverse", "l|reverse|list"}},
      {"safe", {"s|safe"}},
      {"select", {"l|select|list"}},
      {"selectattr", {"o|selectattr('g')|list"}},
      {"slice", {"l|slice(2)|list", "l|slice(3, s)|list"}},
      {"sort", {"l|sort", "o|sort(attribute='g,h')"}},
      {"string", {"s|string", "l|string", "d|string"}},
      {"sum", {"[[s], [c]]|sum(start=[])", "[l, l]|sum(start=l)"}},
      {"title", {"w|title", "('ab' ~ w)|title"}},
      {"tojson",
       {"s|tojson", "l|tojson", "d|tojson", "o|tojson(indent=2)", "m|tojson(ensure_ascii=true)",
        "[1, 2]|tojson(indent=c)", "{'a': [1]}|tojson(indent=c)",
        "[1, 2]|tojson(separators=(c, s))", "{'a': 1}|tojson(separators=(c, s))",
        "d|tojson(sort_keys=true)"}},
      {"trim", {"w|trim", "('a' ~ s ~ 'a')|trim('a')", "(w|safe)|trim"}},
      {"truncate", {"s|truncate(5, true, '..', 0)", "'abcdefgh'|truncate(6, true, c, 0)"}},
      {"unique", {"l|unique|list"}},
      {"upper", {"w|upper", "('a' ~ w)|upper"}},
      {"urlencode", {"s|urlencode", "d|urlencode", "('a b' ~ s)|urlencode"}},
  };
  ExpectAllMarked(cases);
  ExpectComplete({jinja::TextFilters(), jinja::SequenceFilters(), jinja::ValueFilters()}, cases,
                 {"abs", "count", "filesizeformat", "length", "round", "wordcount"});
}

TEST(JinjaMarksOfAll, MethodsOfStrings) {
  const Cases cases = {
      {"capitalize", {"s.capitalize()", "('a' ~ s).capitalize()"}},
      {"center", {"c.center(9)", "'a'.center(9, c)"}},
      {"format",
       {"'{}-{:>12}'.format(s, c)", "b.format(c)", "('a' ~ b).format(1)",
        "'{0[k]}'.format({'k': s})", "'{:{f}>9}'.format('a', f=c)", "'{:{f}^9}'.format(1, f=c)",
        "'{!r:9}'.format(m)", "(c ~ '{:' ~ c ~ '<7}').format(1)", "(b|safe).format(s)",
        "'{:.2}'.format(s)"}},
      {"format_map", {"'{k}-{k!r}'.format_map({'k': s})"}},
      {"join", {"c.join(['a', 'b'])", "'-'.join(l)", "(c|safe).join(['a', 'b'])"}},
      {"ljust", {"c.ljust(4)", "'a'.ljust(4, c)"}},
      {"lower", {"w.lower()"}},
      {"lstrip", {"w.lstrip()", "('aa' ~ s).lstrip('a')"}},
      {"partition", {"('a,' ~ s).partition(',')", "s.partition(' ')", "s.partition('zz')"}},
      {"removeprefix", {"('ab' ~ s).removeprefix('ab')", "s.removeprefix('zz')"}},
      {"removesuffix", {"(s ~ 'ab').removesuffix('ab')"}},
      {"replace", {"s.replace(' ', '_')", "'ab'.replace('b', s)", "('<b>'|safe).replace('b', s)"}},
      {"rjust", {"c.rjust(4)", "'a'.rjust(4, c)"}},
      {"rpartition", {"(s ~ ',a').rpartition(',')", "s.rpartition('zz')"}},
      {"rsplit", {"w.rsplit()", "w.rsplit(None, 1)", "(s ~ ',a').rsplit(',', 1)"}},
      {"rstrip", {"w.rstrip()"}},
      {"split", {"w.split()", "('a,' ~ s).split(',')", "s.split(' ')"}},
      {"splitlines", {"m.splitlines()", "m.splitlines(true)"}},
      {"strip", {"w.strip()", "('a' ~ s ~ 'a').strip('a')"}},
      {"swapcase", {"w.swapcase()"}},
      {"title", {"w.title()"}},
      {"upper", {"w.upper()"}},
      {"zfill", {"c.zfill(5)", "x.zfill(9)"}},
  };
  ExpectAllMarked(cases);
  ExpectComplete({jinja::StringMethods()}, cases,
                 {"count", "endswith", "find", "index", "isalnum", "isalpha", "isascii",
                  "isdecimal", "isdigit", "islower", "isnumeric", "isprintable", "isspace",
                  "istitle", "isupper", "rfind", "rindex", "startswith"});
}

TEST(JinjaMarksOfAll, MethodsOfContainers) {
  const Cases cases = {
      {"copy", {"d.copy()", "l.copy()"}},
      {"cycle", {"{% for i in [1, 2, 3] %}{{ loop.cycle(s, 'a', c) }}{% endfor %}"}},
      {"get", {"{'k': s}.get('k')", "{}.get('k', s)"}},
      {"items", {"d.items()", "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}"}},
      {"keys", {"d.keys()", "d.keys()|list"}},
      {"next", {"{% set y = cycler(s, 'a') %}{{ y.next() }}{{ y.next() }}{{ y.current }}"}},
      {"values", {"d.values()", "d.values()|list"}},
  };
  ExpectAllMarked(cases);
  ExpectComplete({jinja::DictMethods(), jinja::SequenceMethods(), jinja::LoopMethods(),
                  jinja::CyclerMethods()},
                 cases, {"changed", "count", "index", "reset"});
}

TEST(JinjaMarksOfAll, Operators) {
  for (const char* source : {"s",
                             "s + 'a'",
                             "'a' + s",
                             "s ~ 'a' ~ 1 ~ c",
                             "1 ~ s",
                             "s * 3",
                             "3 * c",
                             "s[0]",
                             "s[-1]",
                             "s[1:3]",
                             "s[::-1]",
                             "('ab' ~ s)[1:4]",
                             "'a%sb' % s",
                             "'%s %s' % (s, c)",
                             "f % c",
                             "('x' ~ f) % 1",
                             "'%(k)s' % {'k': s}",
                             "v % 1",
                             "v % ''",
                             "s if s else 'a'",
                             "'' or s",
                             "s and c",
                             "l",
                             "l + ['a']",
                             "l * 2",
                             "(s, c)",
                             "[s, (c,), {s: c}]",
                             "{'a': s}",
                             "d",
                             "o",
                             "l[0]",
                             "d.items()|list",
                             "o[0].g",
                             "o[0]['g']",
                             "(s|safe) ~ c",
                             "(s|escape) + c",
                             "('<'|escape) ~ s",
                             "('%s'|safe) % s",
                             "('<'|safe) + s"}) {
    ExpectMarked(source);
  }
}

TEST(JinjaMarksOfAll, Statements) {
  for (const char* source : {
           "{% set a = s %}{{ a }}",
           "{% set a %}x{{ s }}y{% endset %}{{ a }}{{ a|upper }}",
           "{% set a | upper %}x{{ w }}{% endset %}{{ a }}",
           "{% set a, b = s, c %}{{ b }}{{ a }}",
           "{% set n = namespace(x=s) %}{{ n.x }}{% set n.y = c %}{{ n.y }}{{ n }}",
           "{% set n = namespace(**d) %}{{ n }}",
           "{% for a in l %}{{ a }}{{ loop.previtem }}{{ loop.nextitem }}{% endfor %}",
           "{% for a in s %}{{ a }}-{% endfor %}",
           "{% for k in d %}{{ k }}{{ d[k] }}{% endfor %}",
           "{% macro m(a, b=c) %}<{{ a }}{{ b }}>{% endmacro %}{{ m(s) }}{{ m(b=s, a=1) }}",
           "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(s, c, a=s) }}{{ m(*l, **d) "
           "}}",
           "{% macro m() %}[{{ caller(s) }}]{% endmacro %}{% call(a) m() %}({{ a }}){% endcall %}",
           "{% filter upper %}a{{ w }}{% endfilter %}",
           "{% generation %}a{{ s }}{% endgeneration %}",
           "{% if s %}{{ s }}{% endif %}",
           "{% set j = joiner(c) %}{{ j() }}{{ j() }}",
           "dict(**d)",
           "dict(d, a=s)",
           "dict([(s, c)])",
           "strftime_now(c)",
           "strftime_now('%Y' ~ c)",
           "'%(a)s'|format(**{'a': s})",
       }) {
    ExpectMarked(source);
  }
}

}  // namespace
}  // namespace mirage::text
