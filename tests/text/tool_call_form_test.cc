// SPDX-License-Identifier: Apache-2.0

// Messages with calls, in the form that their template takes.

#include "text/tool_call_form.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "text/chat_template.h"

namespace mirage::text {
namespace {

constexpr std::string_view kCalled =
    R"({"messages": [{"role": "assistant", "reasoning_content": "r", "content": "c", "tool_calls":
        [{"function": {"name": "f", "arguments": {"a": 1}}}]}]})";
constexpr std::string_view kCalledByText =
    R"({"messages": [{"role": "assistant", "content": "", "tool_calls":
        [{"function": {"name": "f", "arguments": "{\"a\": 1}"}}]}]})";

// What a template with a loop over messages and their calls makes of it in the form found for it.
std::string Rendered(const std::string& message, const std::string& call, std::string_view json) {
  const std::string source = "{% for m in messages %}{% if m.tool_calls %}" + message +
                             "{% for c in m.tool_calls %}" + call + "{% endfor %}{% endif %}" +
                             "{% endfor %}";
  const Result<ChatTemplate> chat_template = ChatTemplate::Parse(source);
  EXPECT_TRUE(chat_template.has_value());
  RenderInput input;
  input.json = json;
  input.tool_calls = FindToolCallForm(*chat_template);
  const Result<text::Rendered> rendered = chat_template->Render(input);
  return rendered ? rendered->text : rendered.error().message;
}

constexpr const char* kAsObject = "{{ c.function.name }} {{ c.function.arguments | tojson }}";
constexpr const char* kAsText = "{{ c.function.name }} {{ '' + c.function.arguments }}";

TEST(ToolCallForm, ArgumentsAreAnObjectOrItsText) {
  EXPECT_EQ(Rendered("", kAsObject, kCalled), R"(f {"a": 1})");
  EXPECT_EQ(Rendered("", kAsObject, kCalledByText), R"(f {"a": 1})");
  EXPECT_EQ(Rendered("", kAsText, kCalled), R"(f {"a": 1})");
  EXPECT_EQ(Rendered("", kAsText, kCalledByText), R"(f {"a": 1})");
}

TEST(ToolCallForm, ContentThatIsNotThereIsEmptyOrNone) {
  EXPECT_EQ(Rendered("[{{ m.content }}]", kAsObject, kCalledByText), R"([]f {"a": 1})");
  EXPECT_EQ(Rendered("{% if m.content is string and not m.content %}"
                     "{{ raise_exception('empty') }}{% endif %}[{{ m.content }}]",
                     kAsObject, kCalledByText),
            R"([None]f {"a": 1})");
}

TEST(ToolCallForm, BothTextsStayWhereTheTemplateTakesBoth) {
  EXPECT_EQ(Rendered("<{{ m.reasoning_content }}>{{ m.content }} ", kAsObject, kCalled),
            R"(<r>c f {"a": 1})");
}

TEST(ToolCallForm, ContentJoinsTheReasoningWhereTheTemplateTakesOne) {
  for (const std::string name : {"thinking", "reasoning_content"}) {
    const std::string text = "m." + name;
    EXPECT_EQ(Rendered("{% if m.content and " + text +
                           " %}{{ raise_exception('not both') }}{% endif %}<{{ " + text +
                           " }}>{{ m.content }} ",
                       kAsObject, kCalled),
              "<r\nc> f {\"a\": 1}");
  }
}

}  // namespace
}  // namespace mirage::text
