// SPDX-License-Identifier: Apache-2.0

// Answers of a model of random logits, held to grammars by the engine.

#include "session/grammar_constraint.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "engine/engine.h"
#include "format/open.h"
#include "platform/file.h"
#include "session/vocabulary.h"
#include "tests/engine/blocker.h"
#include "tests/engine/engine_test.h"
#include "text/tokenizer.h"

namespace mirage::session {
namespace {

using engine::Finish;
using engine::Outcome;
using grammar::Grammar;
using grammar::Spelling;
using grammar::TokenMasks;
using grammar::TokenTrie;
using Json = nlohmann::ordered_json;

// Tokens below kTexts have a text; the others have none, one of them ends an answer.
const std::vector<std::string>& Texts() {
  static const std::vector<std::string> texts = [] {
    std::vector<std::string> all;
    for (int byte = 0; byte < 256; ++byte) all.emplace_back(1, static_cast<char>(byte));
    for (const char* piece :
         {"{\"",  "\"}",  "\":",   "\": ",     "\",",  ", ",           "]",   "}",   "\"",   "[]",
          "{}",   "true", "false", "null",     "name", "foo",          "bar", "12",  "00",   " a",
          " the", "é",    "\xC3",  "\xE6\x97", "日",   "\xF0\x9F\x98", "\\n", "\\u", "\n  ", "\n",
          "yes",  "no",   "call",  ">",        "abc",  "abcd"})
      all.emplace_back(piece);
    return all;
  }();
  return texts;
}
const auto kTexts = static_cast<int32_t>(Texts().size());
const int32_t kControl = kTexts, kEnd = kTexts + 1, kTool = kTexts + 2;
const int32_t kVocabulary = kTexts + 8;  // more rows than tokens

std::shared_ptr<const TokenTrie> Trie() {
  static const auto trie =
      std::make_shared<const TokenTrie>(static_cast<size_t>(kTexts + 3), [](int32_t token) {
        return token < kTexts ? std::string_view(Texts()[static_cast<size_t>(token)])
                              : std::string_view();
      });
  return trie;
}

std::string TextOf(const std::vector<int32_t>& tokens) {
  std::string text;
  for (const int32_t token : tokens) text += Trie()->Text(token);
  return text;
}

ConstraintOptions Ends() {
  ConstraintOptions options;
  options.stop_tokens = {kEnd};
  options.vocabulary = static_cast<size_t>(kVocabulary);
  return options;
}

std::unique_ptr<GrammarConstraint> Hold(const Grammar& grammar, ConstraintOptions options = Ends(),
                                        std::shared_ptr<const TokenTrie> trie = Trie()) {
  auto made = GrammarConstraint::Create(std::make_shared<TokenMasks>(grammar, std::move(trie)),
                                        std::move(options));
  EXPECT_TRUE(made) << made.error().message;
  return *std::move(made);
}

engine::FakeModel::Options Rows() {
  engine::FakeModel::Options options;
  options.vocabulary = kVocabulary;
  return options;
}

engine::RequestOptions Held(const std::shared_ptr<engine::FakeModel>& model, const Grammar& grammar,
                            uint64_t seed, int64_t max_tokens,
                            ConstraintOptions constraint = Ends()) {
  engine::RequestOptions options =
      engine::Greedy(model, engine::Prompt(static_cast<int>(seed), 12), max_tokens);
  options.sampling.temperature = 1;
  options.sampling.top_k = seed % 2 == 0 ? 0 : 40;
  options.sampling.seed = seed;
  options.stop_tokens = constraint.stop_tokens;
  options.queue_capacity = 1000;
  options.constraint = Hold(grammar, std::move(constraint));
  return options;
}

bool Allows(const Grammar& grammar, const std::string& text) {
  grammar::Matcher matcher = *grammar.Begin();
  const Result<size_t> taken = matcher.Push(text);
  return taken && *taken == text.size() && matcher.CanEnd();
}

bool Begins(const Grammar& grammar, const std::string& text) {
  grammar::Matcher matcher = *grammar.Begin();
  const Result<size_t> taken = matcher.Push(text);
  return taken && *taken == text.size();
}

// One answer by a schema: whole if it ends by itself, else the beginning of one.
void ExpectAnswer(engine::Engine& engine, const std::shared_ptr<engine::FakeModel>& model,
                  const std::string& schema, uint64_t seed, int* whole) {
  SCOPED_TRACE(schema);
  const auto bounded = Grammar::FromJsonSchema(schema, Spelling::kBounded);
  const auto any = Grammar::FromJsonSchema(schema);
  ASSERT_TRUE(bounded && any);
  const auto request = engine::MustSubmit(engine, Held(model, *bounded, seed, 200));
  const Outcome outcome = engine::Collect(*request);
  const std::string text = TextOf(outcome.tokens);
  if (outcome.finish == Finish::kStop) {
    EXPECT_TRUE(Allows(*any, text)) << text;
    EXPECT_TRUE(Json::accept(text)) << text;
    ++*whole;
  } else {
    EXPECT_EQ(outcome.finish, Finish::kLength) << outcome.error.message;
    EXPECT_TRUE(Begins(*any, text)) << text;
  }
}

TEST(GrammarConstraint, AnswersAreValidBySchemas) {
  engine::FakeHost host;
  const auto model = engine::FakeModel::Make(host, Rows());
  engine::Engine engine(host.clock);
  int whole = 0;
  uint64_t seed = 0;
  for (const char* schema :
       {"true", R"({"type":"integer"})", R"({"enum":["é","日本",null,{"a":[1]}]})",
        R"({"type":"array","items":{"enum":["a","b"]},"maxItems":4})",
        R"({"type":"object","properties":{"name":{"type":"string","maxLength":8},
            "foo":{"type":"boolean"}},"required":["foo","name"],"additionalProperties":false})",
        R"({"type":"object","minProperties":2,"maxProperties":2,
            "additionalProperties":{"type":"null"}})"})
    for (int i = 0; i < 10; ++i) ExpectAnswer(engine, model, schema, seed++, &whole);
  EXPECT_GT(whole, 30);
}

TEST(GrammarConstraint, AnswersAreValidByTheSuitesSchemas) {
  const char* const folder = std::getenv("MIRAGE_TEST_JSON_SCHEMA");
  if (folder == nullptr || !std::filesystem::exists(folder))
    GTEST_SKIP() << "MIRAGE_TEST_JSON_SCHEMA names no test suite: see tools/fetch_test_data.sh";
  engine::FakeHost host;
  const auto model = engine::FakeModel::Make(host, Rows());
  engine::Engine engine(host.clock);
  int whole = 0, schemas = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".json") continue;
    std::ifstream file(entry.path());
    for (const Json& group : Json::parse(file)) {
      const std::string schema = group["schema"].dump();
      const auto grammar = Grammar::FromJsonSchema(schema, Spelling::kBounded);
      if (!grammar || grammar->Begin()->Accepts('x')) continue;
      const auto masks = std::make_shared<TokenMasks>(*grammar, Trie());
      if (!GrammarConstraint::Create(masks, Ends())) continue;  // no value is valid
      ExpectAnswer(engine, model, schema, static_cast<uint64_t>(++schemas), &whole);
    }
  }
  EXPECT_GT(schemas, 150);
  EXPECT_GT(whole, 50);
}

// The same constraint without a word of what must come.
class Unforced final : public engine::Constraint {
 public:
  explicit Unforced(std::unique_ptr<engine::Constraint> held) : held_(std::move(held)) {}
  Result<const BitSet*> Allowed() override { return held_->Allowed(); }
  Result<bool> Push(int32_t token) override { return held_->Push(token); }
  int64_t CountAllowed(std::span<const int32_t> tokens) const override {
    return held_->CountAllowed(tokens);
  }
  std::vector<int32_t> Forced(int64_t) const override { return {}; }

 private:
  std::unique_ptr<engine::Constraint> held_;
};

const char* const kForms =
    R"({"type":"object","properties":{"certificate":{"type":"string","maxLength":30},
        "description":{"enum":["a long known text","another known text"]}},
        "required":["certificate","description"],"additionalProperties":false})";

TEST(GrammarConstraint, GuessingBatchingAndPreemptionChangeNoToken) {
  const Grammar grammar = *Grammar::FromJsonSchema(kForms, Spelling::kBounded);
  constexpr uint64_t kRequests = 6;
  std::vector<std::vector<int32_t>> alone;
  int64_t forced = 0, passes_alone = 0;
  {
    engine::FakeHost host;
    const auto model = engine::FakeModel::Make(host, Rows());
    engine::Engine engine(host.clock);
    for (uint64_t seed = 0; seed < kRequests; ++seed) {
      engine::RequestOptions options = Held(model, grammar, seed, 150);
      options.constraint = std::make_unique<Unforced>(std::move(options.constraint));
      const auto request = engine::MustSubmit(engine, std::move(options));
      alone.push_back(engine::Collect(*request).tokens);
      EXPECT_EQ(request->stats().guessed_tokens, 0);
    }
    passes_alone = model->passes;
  }
  for (const int64_t guesses : {0, 6})
    for (const uint64_t pages : {uint64_t{12}, uint64_t{10'000}}) {
      engine::FakeModel::Options rows = Rows();
      rows.geometry = {{kv::CacheKind::kFull, 0, 1, 32, {0}}};
      engine::FakeHost host(pages * engine::FakeModel::kPageBytes);
      const auto model = engine::FakeModel::Make(host, std::move(rows));
      engine::FakeHost elsewhere;
      engine::Engine engine(host.clock);
      engine::Blocker blocker(elsewhere, engine);
      std::vector<std::shared_ptr<engine::Request>> requests;
      for (uint64_t seed = 0; seed < kRequests; ++seed) {
        engine::RequestOptions options = Held(model, grammar, seed, 150);
        options.most_guesses = guesses;
        requests.push_back(engine::MustSubmit(engine, std::move(options)));
      }
      blocker.gate.Open();
      int64_t preemptions = 0;
      for (uint64_t seed = 0; seed < kRequests; ++seed) {
        EXPECT_EQ(engine::Collect(*requests[seed]).tokens, alone[seed]) << seed;
        forced += requests[seed]->stats().accepted_tokens;
        preemptions += requests[seed]->stats().preemptions;
      }
      EXPECT_EQ(preemptions > 0, pages == 12);
      EXPECT_LT(model->passes, passes_alone);
    }
  EXPECT_GT(forced, 0);
}

TEST(GrammarConstraint, ForcedTextIsGuessedAndTakesFewerPasses) {
  const Grammar grammar = *Grammar::FromRegex("[xy]abcdabcdabcdabcdabcdabcd[xy]");
  engine::FakeHost host;
  const auto model = engine::FakeModel::Make(host, Rows());
  engine::Engine engine(host.clock);
  // The likeliest spelling is "abcd"; the model may spell it otherwise, and then does.
  const auto request = engine::MustSubmit(engine, [&] {
    engine::RequestOptions options = Held(model, grammar, 1, 100);
    options.sampling.logit_bias = {{kTexts - 1, 100.0f}};
    return options;
  }());
  const Outcome outcome = engine::Collect(*request);
  EXPECT_EQ(outcome.finish, Finish::kStop);
  EXPECT_EQ(outcome.tokens.size(), 8u);
  EXPECT_TRUE(Allows(grammar, TextOf(outcome.tokens)));
  EXPECT_EQ(request->stats().guessed_tokens, 4);
  EXPECT_EQ(request->stats().accepted_tokens, 4);
  EXPECT_EQ(model->passes, 4);
}

TEST(GrammarConstraint, EndTokensAreAllowedExactlyWhereTheTextMayEnd) {
  const auto constraint = Hold(*Grammar::FromRegex("ab?"));
  EXPECT_FALSE(constraint->Allowed().value()->Has(static_cast<size_t>(kEnd)));
  EXPECT_TRUE(constraint->Allowed().value()->Has('a'));
  EXPECT_FALSE(constraint->Allowed().value()->Has(static_cast<size_t>(kControl)));
  EXPECT_FALSE(*constraint->Push('a'));
  EXPECT_TRUE(constraint->Allowed().value()->Has(static_cast<size_t>(kEnd)));
  EXPECT_TRUE(constraint->Allowed().value()->Has('b'));
  EXPECT_FALSE(constraint->Allowed().value()->Has(static_cast<size_t>(kVocabulary - 1)));
  EXPECT_TRUE(*constraint->Push('b'));
  EXPECT_FALSE(constraint->Push('b'));
}

TEST(GrammarConstraint, AStopTokenThatHasATextAddsNone) {
  ConstraintOptions options = Ends();
  options.stop_tokens.push_back('b');
  const auto constraint = Hold(*Grammar::FromRegex("abc|x"), options);
  EXPECT_FALSE(*constraint->Push('a'));
  EXPECT_FALSE(constraint->Allowed().value()->Any());  // only 'b' could go on
  EXPECT_EQ(constraint->CountAllowed(std::vector<int32_t>{'b'}), 0);
  const auto other = Hold(*Grammar::FromRegex("(ab)*"), options);
  EXPECT_TRUE(other->Allowed().value()->Has('b'));
}

TEST(GrammarConstraint, GuessesAreCountedWithoutTakingThem) {
  const auto constraint = Hold(*Grammar::FromRegex("[ab]{3}"));
  EXPECT_EQ(constraint->CountAllowed(std::vector<int32_t>{'a', 'b', 'c'}), 2);
  EXPECT_EQ(constraint->CountAllowed(std::vector<int32_t>{'a', 'b', 'a', kEnd}), 4);
  EXPECT_EQ(constraint->CountAllowed(std::vector<int32_t>{kEnd}), 0);
  EXPECT_EQ(constraint->CountAllowed(std::vector<int32_t>{kControl}), 0);
  EXPECT_EQ(constraint->CountAllowed(std::vector<int32_t>{}), 0);
}

TEST(GrammarConstraint, TheFirstSpaceMayBeOneThatTheTextLoses) {
  ConstraintOptions options = Ends();
  options.drop_space = true;
  const Grammar grammar = *Grammar::FromRegex("a+");
  const auto spaced = Hold(grammar, options);
  const auto space_a = std::find(Texts().begin(), Texts().end(), " a") - Texts().begin();
  EXPECT_TRUE(spaced->Allowed().value()->Has(static_cast<size_t>(space_a)));
  EXPECT_TRUE(spaced->Allowed().value()->Has(' '));
  EXPECT_FALSE(*spaced->Push(' '));
  EXPECT_FALSE(spaced->Allowed().value()->Has(static_cast<size_t>(space_a)));
  EXPECT_TRUE(spaced->Allowed().value()->Has('a'));
  EXPECT_FALSE(Hold(grammar)->Allowed().value()->Has(static_cast<size_t>(space_a)));
}

TEST(GrammarConstraint, AVocabularyWithoutTheBytesIsAnErrorNotAnInvalidAnswer) {
  engine::FakeHost host;
  const auto model = engine::FakeModel::Make(host, Rows());
  engine::Engine engine(host.clock);
  const auto letters = std::make_shared<const TokenTrie>(4, [](int32_t token) {
    return std::string_view("abcd").substr(static_cast<size_t>(token), 1);
  });
  engine::RequestOptions options = engine::Greedy(model, engine::Prompt(1, 5), 10);
  options.constraint = Hold(*Grammar::FromRegex("ab1"), Ends(), letters);
  const Outcome outcome = engine::Collect(*engine::MustSubmit(engine, std::move(options)));
  EXPECT_EQ(outcome.finish, Finish::kError);
  EXPECT_EQ(outcome.tokens, (std::vector<int32_t>{0, 1}));
  EXPECT_NE(outcome.error.message.find("the grammar"), std::string::npos) << outcome.error.message;
}

TEST(GrammarConstraint, AGrammarOfNoTextIsRefused) {
  for (const char* schema : {"false", R"({"type":"string","enum":[1]})"}) {
    const auto masks = std::make_shared<TokenMasks>(*Grammar::FromJsonSchema(schema), Trie());
    const auto made = GrammarConstraint::Create(masks, Ends());
    ASSERT_FALSE(made) << schema;
    EXPECT_EQ(made.error().code, Code::kInvalidArgument);
  }
}

TEST(GrammarConstraint, TriggersEndFreeText) {
  const Grammar lazy = *Grammar::FromRegex("[0-9]{2}")->AfterTriggers({"call>"});
  ConstraintOptions options = Ends();
  options.trigger_tokens = {kTool};
  const auto text = [&](std::vector<int32_t> tokens) {
    const auto constraint = Hold(lazy, options);
    bool complete = false;
    for (const int32_t token : tokens) {
      if (!constraint->Allowed().value()->Has(static_cast<size_t>(token)))
        return std::string("refused");
      complete = *constraint->Push(token);
    }
    if (complete) return std::string("complete");
    return std::string(constraint->Allowed().value()->Has(static_cast<size_t>(kEnd)) ? "may end"
                                                                                     : "goes on");
  };
  const auto call =
      static_cast<int32_t>(std::find(Texts().begin(), Texts().end(), "call") - Texts().begin());
  EXPECT_EQ(text({'x', kControl, kVocabulary - 1, '\xFF' & 0xFF}), "may end");
  EXPECT_EQ(text({call, 'x', '>'}), "may end");
  EXPECT_EQ(text({call, '>'}), "goes on");
  EXPECT_EQ(text({call, '>', kControl}), "refused");
  EXPECT_EQ(text({call, '>', '1', '2'}), "complete");
  EXPECT_EQ(text({call, '>', '1', 'x'}), "refused");
  EXPECT_EQ(text({'x', kTool, '1', '2'}), "complete");
  EXPECT_EQ(text({'x', kTool, kTool}), "refused");
}

TEST(GrammarConstraint, MasksOfARealVocabularyAreWhatPushingEachTokenSays) {
  const char* const folder = std::getenv("MIRAGE_TEST_MODELS");
  const std::string path = std::string(folder == nullptr ? "" : folder) + "/smollm2-135m.gguf";
  if (!std::filesystem::exists(path))
    GTEST_SKIP() << "MIRAGE_TEST_MODELS names no folder with smollm2-135m.gguf";
  std::shared_ptr<const ByteSource> file = *platform::File::Open(path);
  const auto model = format::OpenModel({file});
  ASSERT_TRUE(model);
  const std::shared_ptr<const text::Tokenizer> tokenizer =
      *text::Tokenizer::Create(*ReadVocabulary(model->metadata()));
  const auto trie =
      std::make_shared<const TokenTrie>(tokenizer->token_count(), [tokenizer](int32_t token) {
        return tokenizer->is_control(token) ? std::string_view() : tokenizer->TokenText(token);
      });
  const Grammar grammar = *Grammar::FromJsonSchema(kForms, Spelling::kBounded);
  TokenMasks masks(grammar, trie);
  grammar::Matcher matcher = *grammar.Begin();
  for (const char* text :
       {"{", " \"cert", "ificate\"", ": \"", "a b\xC3", "\xA9 \\", "u00", "1f\""}) {
    ASSERT_EQ(*matcher.Push(text), std::string_view(text).size());
    const auto mask = masks.After(matcher, false).value();
    for (size_t token = 0; token < trie->token_count(); ++token) {
      const std::string_view bytes = trie->Text(static_cast<int32_t>(token));
      grammar::Matcher copy = matcher;
      const bool taken = !bytes.empty() && *copy.Push(bytes) == bytes.size();
      ASSERT_EQ(mask->Has(token), taken) << text << " then " << bytes;
    }
  }
}

}  // namespace
}  // namespace mirage::session
