// SPDX-License-Identifier: Apache-2.0
#include "grammar/json_schema.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "grammar/grammar.h"

namespace mirage::grammar {
namespace {

bool Allows(const Grammar& grammar, const std::string& text) {
  Matcher matcher = *grammar.Begin();
  const Result<size_t> taken = matcher.Push(text);
  return taken && *taken == text.size() && matcher.CanEnd();
}

struct Case {
  const char* schema;
  std::vector<const char*> yes, no;
};

void Check(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    const Result<Grammar> grammar = Grammar::FromJsonSchema(c.schema);
    ASSERT_TRUE(grammar) << c.schema << ": " << grammar.error().message;
    for (const char* text : c.yes) EXPECT_TRUE(Allows(*grammar, text)) << c.schema << ' ' << text;
    for (const char* text : c.no) EXPECT_FALSE(Allows(*grammar, text)) << c.schema << ' ' << text;
  }
}

TEST(JsonSchema, AnyJson) {
  Check({{"{}",
          {"null", " true ", "-0.5e+7", "\"a\\n\\u00e9\\ud83d\\ude00\"", "[]", "[ 1 , [ ] ]", "{}",
           "{ \"a\" : { \"\" : [ { } ] } }", "{\"a\":1,\"a\":2}", "\t[\n1\r]\n"},
          {"", "nul", "01", "1.", "\"a", "\"\\x\"", "\"\\ud800\"", "[1,]", "[,1]", "{\"a\"}",
           "{\"a\":}", "{\"a\":1,}", "{a:1}", "[1}", "1 2", "\"\n\""}},
         {"true", {"1"}, {"x"}},
         {"false", {}, {"1", "null", ""}}});
}

TEST(JsonSchema, ObjectsHaveTheirMembersInAnyOrderOnce) {
  Check({{R"({"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"}},
              "required":["name"],"additionalProperties":false})",
          {R"({"name":"x"})", R"({"age":3,"name":""})", R"({ "name" : "x" , "age" : -3 })"},
          {"{}", R"({"age":3})", R"({"name":1})", R"({"name":"x","name":"y"})",
           R"({"name":"x","other":1})", R"({"name":"x",})", "[]", "null"}},
         {R"({"properties":{"a":{"type":"null"}},"additionalProperties":{"type":"integer"}})",
          {"{}", R"({"a":null})", R"({"b":1,"ab":2,"":3})", "7"},
          {R"({"a":1})", R"({"b":null})"}},
         {R"({"type":"object","required":["x","y"],"maxProperties":3})",
          {R"({"x":1,"y":2})", R"({"z":0,"y":1,"x":2})"},
          {R"({"x":1})", R"({"a":1,"b":2,"x":1})", R"({"a":1,"x":1,"y":2,"c":3})"}},
         {R"({"type":"object","minProperties":2})",
          {R"({"a":1,"b":2})", R"({"a":1,"\u00e9":2,"c":3})"},
          {"{}", R"({"a":1})", R"({"a":1,"a":2})", "{\"\\u00e9\":1,\"\xC3\xA9\":2}"}},
         {R"({"type":"object","properties":{"no":false},"required":["no"]})",
          {},
          {"{}", "{\"no\":1}"}}});
}

TEST(JsonSchema, NoMemberIsBegunThatCannotEnd) {
  const Grammar grammar = *Grammar::FromJsonSchema(
      R"({"type":"object","properties":{"ab":true,"ac":true},"required":["ac"],
          "additionalProperties":false,"maxProperties":1})");
  Matcher matcher = *grammar.Begin();
  EXPECT_EQ(*matcher.Push(R"({"a)"), 3u);
  EXPECT_FALSE(matcher.Accepts('b'));
  EXPECT_TRUE(matcher.Accepts('c'));
  EXPECT_EQ(*matcher.Push(R"(c":1)"), 4u);
  EXPECT_FALSE(matcher.Accepts(','));
  EXPECT_TRUE(matcher.Accepts('}'));
}

TEST(JsonSchema, Arrays) {
  Check({{R"({"type":"array","items":{"type":"integer"},"minItems":1,"maxItems":3})",
          {"[1]", "[1,2]", "[ 1 , 2 , 3 ]"},
          {"[]", "[1,2,3,4]", "[\"a\"]", "[1,]"}},
         {R"({"type":"array","prefixItems":[{"type":"null"},{"type":"string"}],"items":false})",
          {"[]", "[null]", "[null,\"a\"]"},
          {"[1]", "[null,null]", "[null,\"a\",1]"}},
         {R"({"type":"array","prefixItems":[true,false]})", {"[]", "[1]"}, {"[1,2]", "[1,"}},
         {R"({"type":"array","maxItems":0})", {"[]", "[ ]"}, {"[1]"}}});
}

TEST(JsonSchema, ScalarsEnumsAndUnions) {
  Check({{R"({"enum":["a","b",1,null,[1,{"x":true}]]})",
          {"\"a\"", "1", "1.0", "null", "[1,{\"x\":true}]"},
          {"\"c\"", "2", "true", "[1]", "[1,{\"x\":false}]", "[1,{\"x\":true,\"y\":1}]"}},
         {R"({"type":["string","null"],"minLength":2,"maxLength":3})",
          {"null", "\"ab\"", "\"a\\n\\u00e9\""},
          {"\"a\"", "\"abcd\"", "1"}},
         {R"({"type":"string","pattern":"^[a-z]+$"})", {"\"abc\""}, {"\"\"", "\"aBc\""}},
         {R"({"type":"integer","minimum":1,"exclusiveMaximum":10.5,"multipleOf":3})",
          {"3", "9", "6.0"},
          {"0", "12", "4", "3.5"}},
         {R"({"anyOf":[{"type":"integer"},{"type":"string","maxLength":1}]})",
          {"5", "\"a\""},
          {"\"ab\"", "1.5"}},
         {R"({"oneOf":[{"type":"integer"},{"minimum":2}]})", {"1", "2.5", "\"x\""}, {"3", "1.5"}},
         {R"({"allOf":[{"properties":{"a":{"type":"integer"}},"required":["a"]},
                        {"properties":{"a":{"minimum":5},"b":{"type":"null"}}}],"type":"object"})",
          {"{\"a\":5}", "{\"b\":null,\"a\":7,\"c\":1}"},
          {"{\"a\":4}", "{\"b\":null}", "{\"a\":5,\"b\":1}"}},
         {R"({"if":{"type":"integer"},"then":{"minimum":5},"else":{"type":"null"}})",
          {"5", "null"},
          {"4", "4.5", "\"a\"", "[]"}},
         {R"({"not":{"required":["a"]},"type":"object"})", {"{}", "{\"b\":1}"}, {"{\"a\":1}"}},
         {R"({"oneOf":[{"type":"object","properties":{"k":{"const":"a"},"x":{"type":"integer"}},
                        "required":["k"],"additionalProperties":false},
                       {"type":"object","properties":{"k":{"const":"b"}},"required":["k"],
                        "additionalProperties":false}]})",
          {R"({"k":"a","x":1})", R"({"k":"b"})"},
          {R"({"k":"b","x":1})", R"({"k":"c"})", "{}"}}});
}

// Lengths are counted, or states where they meet other sets of texts: both say the same.
TEST(JsonSchema, LengthsOfStrings) {
  Check({{R"({"type":"string","minLength":2,"maxLength":3})",
          {R"("ab")", R"("abc")", "\"\xF0\x9F\x98\x80\u6f22\"", R"("\ud83d\ude00\n\"")"},
          {R"("")", R"("a")", R"("abcd")", R"("\ud83d\ude00")", R"("a\ud83d")", "\"a\xF0\x9F\"",
           "7"}},
         {R"({"type":"string","maxLength":0})", {R"("")"}, {R"("a")"}},
         {R"({"type":"string","minLength":4,"maxLength":3})", {}, {R"("abc")", R"("abcd")", "\""}},
         {R"({"minLength":2})", {R"("ab")", R"("abcdefgh")", "1", "[]"}, {R"("a")"}},
         {R"({"allOf":[{"maxLength":5},{"minLength":2},{"maxLength":3}],"type":"string"})",
          {R"("ab")", R"("abc")"},
          {R"("a")", R"("abcd")"}},
         {R"({"type":"string","maxLength":3,"pattern":"^a"})",
          {R"("a")", R"("abc")"},
          {R"("")", R"("b")", R"("abcd")"}},
         {R"({"type":"string","anyOf":[{"maxLength":1},{"minLength":4,"maxLength":5}]})",
          {R"("")", R"("a")", R"("abcd")", R"("abcde")"},
          {R"("ab")", R"("abc")", R"("abcdef")"}},
         {R"({"type":"string","anyOf":[{"maxLength":2},{"minLength":3,"maxLength":4}]})",
          {R"("")", R"("abcd")"},
          {R"("abcde")"}},
         {R"({"type":"string","not":{"minLength":2,"maxLength":3}})",
          {R"("")", R"("a")", R"("abcd")"},
          {R"("ab")", R"("abc")"}},
         {R"({"type":"string","maxLength":3,"not":{"const":"ab"}})",
          {R"("")", R"("abc")"},
          {R"("ab")", R"("abcd")"}},
         {R"({"oneOf":[{"type":"string","maxLength":2},{"type":"string","minLength":2}]})",
          {R"("a")", R"("abc")"},
          {R"("ab")"}},
         {R"({"items":{"type":"string","maxLength":1},"minItems":2,"type":"array"})",
          {R"(["a",""])", R"(["a","b","c"])"},
          {R"(["a"])", R"(["a","bc"])"}}});
  const Result<Grammar> large = Grammar::FromJsonSchema(R"({"type":"string","maxLength":20000})");
  ASSERT_TRUE(large);
  EXPECT_LT(large->automaton().nodes.size(), 1000u);
  EXPECT_TRUE(Allows(*large, '"' + std::string(20000, 'a') + '"'));
  EXPECT_FALSE(Allows(*large, '"' + std::string(20001, 'a') + '"'));
}

TEST(JsonSchema, ReferencesRecur) {
  Check({{R"({"$defs":{"node":{"type":"object","properties":{"v":{"type":"integer"},
              "next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]}},
              "required":["v","next"],"additionalProperties":false}},"$ref":"#/$defs/node"})",
          {R"({"v":1,"next":null})", R"({"v":1,"next":{"next":{"v":3,"next":null},"v":2}})"},
          {R"({"v":1})", R"({"v":1,"next":{}})"}},
         {R"({"properties":{"a/b~c%":{"type":"null"}},"additionalProperties":
              {"$ref":"#/properties/a~1b~0c%25"}})",
          {"{\"x\":null}"},
          {"{\"x\":1}"}},
         {R"({"type":"array","items":{"$ref":"#"}})", {"[]", "[[],[[]]]"}, {"[1]"}}});
}

TEST(JsonSchema, ASchemaThatOnlyEndlessValuesSatisfyAllowsNothing) {
  Check({{R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})",
          {},
          {"{}", "{", "{\"a\":{}}"}}});
}

TEST(JsonSchema, WhatIsNotKnownIsRefusedByNameAndPlace) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"properties":{"a":{"uniqueItems":true}}})", "#/properties/a: the keyword 'uniqueItems'"},
      {R"({"items":{"patternProperties":{}}})", "#/items: the keyword 'patternProperties'"},
      {R"({"format":"hostname"})", "#/format: the format 'hostname'"},
      {"{\"pattern\":\"(?=a)\"}", "#/pattern: position 3: look-ahead"},
      {R"({"$ref":"other.json"})", "#/$ref: the reference 'other.json'"},
      {R"({"properties":{"a":{"$id":"x"}}})", "#/properties/a: the keyword '$id'"},
      {R"({"items":[{}]})", "#/items: a list of schemas"},
      {R"({"allOf":[{"$ref":"#"}]})", "leads back to itself"},
      {R"({"multipleOf":123456789})", "#/multipleOf"},
      {R"({"maxLength":1000000,"pattern":"a"})", "#/pattern"},
      {R"({"$schema":"http://json-schema.org/draft-04/schema#"})", "#: the '$schema'"},
      {R"({"misspelt":1})", "#: the keyword 'misspelt'"},
  };
  for (const auto& [schema, message] : cases) {
    const Result<Grammar> grammar = Grammar::FromJsonSchema(schema);
    ASSERT_FALSE(grammar) << schema;
    EXPECT_EQ(grammar.error().code, Code::kUnsupported) << schema;
    EXPECT_NE(grammar.error().message.find(message), std::string::npos) << grammar.error().message;
  }
}

TEST(JsonSchema, MistakesAreNamedWithTheirPlace) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{", "not JSON"},
      {"[]", "#: an object, true or false is expected"},
      {R"({"type":"text"})", "#/type: there is no type 'text'"},
      {R"({"properties":{"a":{"minimum":"1"}}})", "#/properties/a/minimum: a number"},
      {R"({"minItems":-1})", "#/minItems: a whole number"},
      {R"({"required":"a"})", "#/required"},
      {R"({"enum":1})", "#/enum: an array"},
      {R"({"multipleOf":0})", "#/multipleOf: a number above 0"},
      {R"({"$ref":"#/$defs/none"})", "#/$ref: there is no '#/$defs/none'"},
      {"{\"pattern\":\"(\"}", "#/pattern: position"},
      {R"({"anyOf":[true,7]})", "#/anyOf/1: an object"},
  };
  for (const auto& [schema, message] : cases) {
    const Result<Grammar> grammar = Grammar::FromJsonSchema(schema);
    ASSERT_FALSE(grammar) << schema;
    EXPECT_EQ(grammar.error().code, Code::kInvalidArgument) << schema;
    EXPECT_NE(grammar.error().message.find(message), std::string::npos) << grammar.error().message;
  }
}

TEST(JsonSchema, HostileSchemasEndInAnError) {
  std::string doubling = R"({"$defs":{"d0":{"type":"string"})";
  for (int i = 1; i < 20; ++i) {
    const std::string below = R"({"$ref":"#/$defs/d)" + std::to_string(i - 1) + "\"}";
    doubling += ",\"d" + std::to_string(i) + R"(":{"allOf":[)" + below + "," + below + "]}";
  }
  doubling += R"(},"$ref":"#/$defs/d19"})";
  const Result<Grammar> grammar = Grammar::FromJsonSchema(doubling);
  ASSERT_FALSE(grammar);
  EXPECT_EQ(grammar.error().code, Code::kUnsupported);
}

}  // namespace
}  // namespace mirage::grammar
