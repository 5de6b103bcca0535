// SPDX-License-Identifier: Apache-2.0

// The spellings, exit codes and JSON keys of the `mirage` command that scripts rely on, on the tiny
// model.

#include "command.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>

namespace mirage::test {
namespace {

using Json = nlohmann::json;

// Exactly one JSON value on standard output.
Json ParseOne(const Outcome& outcome) {
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  Json json = Json::parse(outcome.out, nullptr, false);
  EXPECT_FALSE(json.is_discarded()) << outcome.out;
  return json;
}

// One line on standard error that says `text`.
void ExpectComplaint(const Outcome& outcome, int code, const std::string& text) {
  EXPECT_EQ(outcome.code, code) << outcome.err;
  EXPECT_NE(outcome.err.find(text), std::string::npos) << outcome.err;
  EXPECT_EQ(outcome.err.find('\n'), outcome.err.size() - 1) << outcome.err;
}

std::vector<std::string> Ask(std::vector<std::string> more) {
  std::vector<std::string> words = {"run", "-m", TinyModel(), "-p", "hello"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

TEST(Command, SaysItsVersion) {
  const Outcome outcome = RunMirage({"--version"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out.substr(0, 7), "mirage ");
}

TEST(Command, BadUseExitsWithTwoAndOneLine) {
  ExpectComplaint(RunMirage({}), 2, "required");
  ExpectComplaint(RunMirage({"dance"}), 2, "dance");
  ExpectComplaint(RunMirage({"--dance"}), 2, "--dance");
  ExpectComplaint(RunMirage({"run", "-p", "x"}), 2, "--model");
  ExpectComplaint(RunMirage(Ask({"--no-such-flag"})), 2, "--no-such-flag");
  ExpectComplaint(RunMirage(Ask({"-n", "many"})), 2, "many");
  ExpectComplaint(RunMirage(Ask({"--memory", "3X"})), 2, "--memory '3X'");
  ExpectComplaint(RunMirage(Ask({"--logit-bias", "7:1"})), 2, "--logit-bias '7:1'");
  ExpectComplaint(RunMirage(Ask({"--raw", "--system", "x"})), 2, "--system");
  ExpectComplaint(RunMirage(Ask({"--stop", "\xff"})), 2, "stop string 0");
}

TEST(Command, NumbersThatDoNotFitAreBadUse) {
  ExpectComplaint(RunMirage(Ask({"--seed", "-1"})), 2, "--seed");
  ExpectComplaint(RunMirage(Ask({"--seed", "18446744073709551616"})), 2, "--seed");
  ExpectComplaint(RunMirage(Ask({"-n", "99999999999999999999"})), 2, "--max-tokens");
  ExpectComplaint(RunMirage({"inspect", TinyModel(), "-c", "-5"}), 2, "--context");
  ExpectComplaint(RunMirage({"inspect", TinyModel(), "-c", "99999999999999"}), 2, "context");
  ExpectComplaint(RunMirage({"inspect", TinyModel(), "--sessions", "-1"}), 2, "--sessions");
}

TEST(Command, AComplaintIsOneLineWhateverItNames) {
  ExpectComplaint(RunMirage({"run", "-m", "no\nsuch\x1b[2J", "-p", "x"}), 2, "no\\nsuch\\x1b[2J");
}

TEST(Command, WhatIsNotThereIsNamed) {
  for (const char* absent : {"serve"}) ExpectComplaint(RunMirage({absent}), 2, absent);
  ExpectComplaint(RunMirage(Ask({"--policy", "p"})), 2, "policy 'p'");
  ExpectComplaint(RunMirage({"sim", "--policy", "swap"}), 2, "policy 'swap' is not simulated");
  ExpectComplaint(RunMirage(Ask({"--kv-type", "q5_0"})), 2, "q5_0");
  ExpectComplaint(RunMirage(Ask({"--device", "cuda"})), 2, "cuda");
  ExpectComplaint(RunMirage(Ask({"--device", "cpu:abacus"})), 2, "abacus");
}

TEST(Run, AnswersAreHeldToAGrammar) {
  const TemporaryFile schema(
      "{\"type\": \"array\", \"items\": {\"enum\": [1, \"a\"]}, \"maxItems\": 2}");
  const TemporaryFile list("root ::= [0-9] (\",\" [0-9]){3}\n");
  const std::vector<std::vector<std::string>> grammars = {
      {"--json-schema", schema.path()}, {"--grammar", list.path()}, {"--regex", "yes|no"}};
  for (const std::vector<std::string>& grammar : grammars) {
    std::vector<std::string> words = grammar;
    words.insert(words.end(), {"--temp", "1", "-n", "100"});
    const Outcome answer = RunMirage(Ask(words));
    ASSERT_EQ(answer.code, 0) << answer.err;
    ASSERT_FALSE(answer.out.empty());
    const std::string text = answer.out.substr(0, answer.out.size() - 1);  // without the line's end
    EXPECT_EQ(RunMirage({"grammar-check", grammar[0], grammar[1], "--text", text}).code, 0) << text;
  }
  const Outcome triggered =
      RunMirage(Ask({"--regex", "[0-9]{4}", "--grammar-trigger", "a", "--temp", "1", "-n", "300"}));
  EXPECT_EQ(triggered.code, 0) << triggered.err;
  ExpectComplaint(RunMirage(Ask({"--grammar-trigger", "a"})), 2, "--grammar-trigger");
  ExpectComplaint(RunMirage(Ask({"--json-schema", "/no/such.json"})), 2, "/no/such.json");
  ExpectComplaint(RunMirage(Ask({"--regex", "(a"})), 2, "--regex: position 3");
  ExpectComplaint(RunMirage(Ask({"--regex", "a", "--grammar", list.path()})), 2, "--grammar");
}

TEST(GrammarCheck, ExitCodesSayAcceptedRejectedAndBadGrammar) {
  const TemporaryFile list("root ::= \"[\" [0-9]+ (\",\" [0-9]+)* \"]\"\n");
  const auto check = [](std::vector<std::string> words, const std::string& text) {
    words.insert(words.begin(), "grammar-check");
    words.insert(words.end(), {"--text", text});
    return RunMirage(words);
  };
  EXPECT_EQ(check({"--grammar", list.path()}, "[1,23]").code, 0);
  const Outcome rejected = check({"--grammar", list.path()}, "[1;2]");
  EXPECT_EQ(rejected.code, 1);
  EXPECT_EQ(rejected.out, "rejected at byte 2\n");
  EXPECT_EQ(check({"--grammar", list.path()}, "[1,").out, "rejected: the text ends too early\n");
  EXPECT_EQ(check({"--regex", "a+"}, "aaa").code, 0);
  EXPECT_EQ(check({"--regex", "a+"}, "").code, 1);
  EXPECT_EQ(check({"--regex", ""}, "").code, 0);
  const TemporaryFile schema("{\"type\": \"array\", \"items\": {\"enum\": [1, \"a\"]}}");
  EXPECT_EQ(check({"--json-schema", schema.path()}, "[1, \"a\"]").code, 0);
  EXPECT_EQ(check({"--json-schema", schema.path()}, "[1, 2]").code, 1);
  const TemporaryFile unknown("{\"items\": {\"contains\": {}}}");
  ExpectComplaint(check({"--json-schema", unknown.path()}, "[]"), 2,
                  "#/items: the keyword 'contains'");
  const TemporaryFile broken("root ::= item\n");
  ExpectComplaint(check({"--grammar", broken.path()}, "x"), 2, "1:10: rule 'item'");
  ExpectComplaint(check({"--regex", "(a"}, "x"), 2, "--regex");
  ExpectComplaint(check({"--grammar", "/no/such.gbnf"}, "x"), 2, "/no/such.gbnf");
  ExpectComplaint(check({}, "x"), 2, "--grammar");
  ExpectComplaint(check({"--regex", "a", "--grammar", list.path()}, "x"), 2, "--grammar");
}

TEST(Command, AMissingModelIsBadInput) {
  ExpectComplaint(RunMirage({"run", "-m", "/no/such.gguf", "-p", "x"}), 2, "/no/such.gguf");
}

TEST(Command, AFileThatIsNoModelIsBadInput) {
  const TemporaryFile file("this is not a model, it only has enough bytes to look at");
  ExpectComplaint(RunMirage({"run", "-m", file.path(), "-p", "x"}), 2, file.path());
}

TEST(Run, JsonHasItsKeys) {
  const Json json = ParseOne(RunMirage(Ask({"--temp", "0", "-n", "5", "--ignore-eos", "--json"})));
  EXPECT_TRUE(json["text"].is_string());
  EXPECT_EQ(json["tokens"].size(), 5u);
  EXPECT_EQ(json["prompt_tokens"][0], 260);  // the begin token
  EXPECT_EQ(json["finish"], "length");
  EXPECT_FALSE(json.contains("logprobs"));
  for (const char* key : {"load_s", "prefill_tok_s", "decode_tok_s", "ttft_s"})
    EXPECT_TRUE(json["timings"][key].is_number()) << key;
  for (const char* key : {"limit", "weights", "kv", "slots", "tables", "workspace",
                          "streamed_bytes_per_token", "hidden_s", "unhidden_s"})
    EXPECT_TRUE(json["memory"][key].is_number()) << key;
  EXPECT_GT(json["memory"]["kv"], 0);
}

TEST(Run, GreedyAnswersRepeat) {
  const auto answer = [] {
    return ParseOne(RunMirage(Ask({"--temp", "0", "-n", "20", "--json"})))["tokens"];
  };
  EXPECT_EQ(answer(), answer());
}

TEST(Tune, KeepsWhatItMeasuredForOtherCommands) {
  const TemporaryFile kept("");
  const Json tuning = ParseOne(RunMirage({"tune", "--out", kept.path(), "--json"}));
  EXPECT_EQ(tuning["format"], "mirage-tuning");
  EXPECT_GE(tuning["threads"]["decode"], 1);
  EXPECT_GE(tuning["trials"].size(), 15u);
  const auto answer = [](const std::string& file) {
    const Outcome outcome = RunMirage(Ask({"--temp", "0", "-n", "20", "--json", "--tuning", file}));
    EXPECT_EQ(outcome.err, "");
    return ParseOne(outcome)["tokens"];
  };
  EXPECT_EQ(answer(kept.path()), answer("none"));
  const Outcome other =
      RunMirage(Ask({"-n", "1", "--device", "cpu:generic", "--tuning", kept.path()}));
  EXPECT_EQ(other.code, 0) << other.err;
  EXPECT_NE(other.err.find("the tuning is not used"), std::string::npos) << other.err;
}

TEST(Tune, BadUseIsNamed) {
  const TemporaryFile kept("{}");
  ExpectComplaint(RunMirage({"tune", "--out", "/nowhere/t.json"}), 2, "/nowhere");
  ExpectComplaint(RunMirage({"tune", "--out", kept.path(), "--device", "gpu"}), 2, "gpu");
  ExpectComplaint(RunMirage(Ask({"--tuning", kept.path()})), 2, "'format'");
  ExpectComplaint(RunMirage(Ask({"--tuning", "/nowhere/t.json"})), 2, "/nowhere/t.json");
}

TEST(Pack, AnswersAsTheFileItWasMadeOf) {
  const TemporaryFile pack("");
  const Outcome packed = RunMirage({"pack", TinyModel(), pack.path()});
  EXPECT_EQ(packed.code, 0) << packed.err;
  EXPECT_NE(packed.out.find("regions"), std::string::npos) << packed.out;
  const auto answer = [](const std::string& model) {
    return ParseOne(RunMirage(
        {"run", "-m", model, "-p", "hello", "--temp", "0", "-n", "20", "--json"}))["tokens"];
  };
  EXPECT_EQ(answer(pack.path()), answer(TinyModel()));
  const Outcome described = RunMirage({"inspect", pack.path()});
  EXPECT_EQ(described.code, 0) << described.err;
  EXPECT_NE(described.out.find("mirage.pack.source_xxh3_128"), std::string::npos) << described.out;
}

TEST(Pack, BadUseIsNamed) {
  const TemporaryFile pack("");
  ExpectComplaint(RunMirage({"pack", TinyModel()}), 2, "out");
  ExpectComplaint(RunMirage({"pack", TinyModel(), pack.path(), "--quant", "Q3_K"}), 2, "Q3_K");
  ExpectComplaint(RunMirage({"pack", "/no/such.gguf", pack.path()}), 2, "/no/such.gguf");
}

TEST(Run, AdaptersChangeTheAnswerByTheirScale) {
  const auto answer = [](const std::vector<std::string>& lora) {
    std::vector<std::string> more = {"--temp", "0", "-n", "20", "--ignore-eos", "--json"};
    for (const std::string& use : lora) more.insert(more.end(), {"--lora", use});
    return ParseOne(RunMirage(Ask(more)));
  };
  const std::string& file = TinyAdapter();
  const Json without = answer({});
  const Json with = answer({file});
  EXPECT_NE(with["tokens"], without["tokens"]);
  EXPECT_EQ(without["memory"]["adapters"], 0);
  EXPECT_GT(with["memory"]["adapters"], 0);
  EXPECT_EQ(answer({file + "=1.0"})["tokens"], with["tokens"]);
  EXPECT_NE(answer({file + "=-1"})["tokens"], with["tokens"]);
  EXPECT_EQ(answer({file + "=0"})["tokens"], without["tokens"]);
  // Twice half of it, as two adapters.
  const Json halves = answer({file + "=0.5", file + "=0.5"});
  EXPECT_GT(halves["memory"]["adapters"], with["memory"]["adapters"]);
}

TEST(Run, WhatIsNoAdapterOfTheModelIsBadInput) {
  ExpectComplaint(RunMirage(Ask({"--lora", TinyModel()})), 2, "no LoRA adapter");
  ExpectComplaint(RunMirage(Ask({"--lora", "/no/such.gguf=0.5"})), 2, "/no/such.gguf");
  ExpectComplaint(RunMirage(Ask({"--lora", TinyAdapter() + "=much"})), 2, "=much");
  ExpectComplaint(RunMirage(Ask({"--lora", TinyAdapter() + "=inf"})), 2, "scale");
}

TEST(Run, ASeedRepeatsAndIsReported) {
  const Json first = ParseOne(RunMirage(Ask({"--temp", "2", "-n", "20", "--json"})));
  const Json second = ParseOne(RunMirage(
      Ask({"--temp", "2", "-n", "20", "--json", "--seed", first["sampling"]["seed"].dump()})));
  EXPECT_EQ(first["tokens"], second["tokens"]);
  EXPECT_EQ(second["sampling"]["seed"], first["sampling"]["seed"]);
}

TEST(Run, TheModelsOwnSamplingHoldsUnlessOverridden) {
  const Json own = ParseOne(RunMirage(Ask({"-n", "1", "--json"})))["sampling"];
  EXPECT_EQ(own["temperature"], 0.5);
  EXPECT_EQ(own["top_k"], 7);
  EXPECT_NEAR(own["top_p"].get<double>(), 0.95, 1e-6);
  const Json other = ParseOne(RunMirage(Ask({"-n", "1", "--json", "--top-k", "3"})))["sampling"];
  EXPECT_EQ(other["top_k"], 3);
  EXPECT_EQ(other["temperature"], 0.5);
}

TEST(Run, SamplersAreSpelledAsInLlamaCpp) {
  const Json sampling = ParseOne(RunMirage(Ask({"-n",
                                                "2",
                                                "--json",
                                                "--top-n-sigma",
                                                "1.5",
                                                "--dry-multiplier",
                                                "0.5",
                                                "--dry-base",
                                                "2",
                                                "--dry-allowed-length",
                                                "3",
                                                "--dry-penalty-last-n",
                                                "99",
                                                "--dry-sequence-breaker",
                                                "none",
                                                "--xtc-probability",
                                                "0.25",
                                                "--xtc-threshold",
                                                "0.125",
                                                "--dynatemp-range",
                                                "0.25",
                                                "--dynatemp-exp",
                                                "2",
                                                "--mirostat",
                                                "2",
                                                "--mirostat-ent",
                                                "4",
                                                "--mirostat-lr",
                                                "0.5",
                                                "--samplers",
                                                "top_k;temperature"})))["sampling"];
  EXPECT_EQ(sampling["top_n_sigma"], 1.5);
  EXPECT_EQ(sampling["dry_multiplier"], 0.5);
  EXPECT_EQ(sampling["dry_base"], 2);
  EXPECT_EQ(sampling["dry_allowed_length"], 3);
  EXPECT_EQ(sampling["dry_penalty_last_n"], 99);
  EXPECT_EQ(sampling["xtc_probability"], 0.25);
  EXPECT_EQ(sampling["xtc_threshold"], 0.125);
  EXPECT_EQ(sampling["dynatemp_range"], 0.25);
  EXPECT_EQ(sampling["dynatemp_exponent"], 2);
  EXPECT_EQ(sampling["mirostat"], 2);
  EXPECT_EQ(sampling["mirostat_tau"], 4);
  EXPECT_EQ(sampling["mirostat_eta"], 0.5);
  EXPECT_EQ(sampling["samplers"], "top_k;temperature");
}

TEST(Run, BadSamplersAreBadUseAndNamed) {
  ExpectComplaint(RunMirage(Ask({"--samplers", "top_k;dance"})), 2, "'dance'");
  ExpectComplaint(RunMirage(Ask({"--mirostat", "3"})), 2, "mirostat is 3");
  ExpectComplaint(RunMirage(Ask({"--xtc-threshold", "2"})), 2, "xtc_threshold is 2");
  ExpectComplaint(RunMirage(Ask({"--dry-sequence-breaker", ""})), 2, "dry_breakers");
  ExpectComplaint(RunMirage(Ask({"--bad-word", ""})), 2, "--bad-word");
  ExpectComplaint(RunMirage(Ask({"--allowed-token", "99999"})), 2, "99999");
  ExpectComplaint(RunMirage(Ask({"-n", "3", "--min-tokens", "4"})), 2, "min_tokens is 4");
}

TEST(Run, TokensAreHeldToWhatIsAllowed) {
  const Json json = ParseOne(RunMirage(Ask({"-n", "6", "--json", "--allowed-token", "120",
                                            "--allowed-token", "121", "--bad-word", "x"})));
  EXPECT_EQ(json["text"], "yyyyyy");
}

TEST(Run, LogprobsComeOnRequest) {
  const Json json = ParseOne(
      RunMirage(Ask({"--temp", "0", "-n", "3", "--ignore-eos", "--logprobs", "4", "--json"})));
  ASSERT_EQ(json["logprobs"].size(), 3u);
  EXPECT_EQ(json["logprobs"][0]["token"], json["tokens"][0]);
  EXPECT_EQ(json["logprobs"][0]["top"].size(), 4u);
  EXPECT_EQ(json["logprobs"][0]["top"][0]["token"], json["tokens"][0]);
}

TEST(Run, LogprobsWithoutJsonGoToStandardError) {
  const Outcome outcome = RunMirage(Ask({"-n", "2", "--temp", "0", "--logprobs", "3"}));
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 2) << outcome.err;
}

TEST(Run, ThePromptsTextAndLogprobsComeOnRequest) {
  const std::vector<std::string> answer = {"--temp", "0", "-n", "3", "--ignore-eos", "--json"};
  std::vector<std::string> more = answer;
  more.insert(more.end(), {"--echo", "--prompt-logprobs", "2"});
  const Json plain = ParseOne(RunMirage(Ask(answer)));
  const Json told = ParseOne(RunMirage(Ask(more)));
  EXPECT_EQ(told["tokens"], plain["tokens"]);
  EXPECT_EQ(told["text"], "user\nhello\nassistant\n" + plain["text"].get<std::string>());
  EXPECT_FALSE(plain.contains("prompt_logprobs"));
  const Json& logprobs = told["prompt_logprobs"];
  ASSERT_EQ(logprobs.size(), told["prompt_tokens"].size());
  EXPECT_TRUE(logprobs[0].is_null());
  for (size_t i = 1; i < logprobs.size(); ++i) {
    EXPECT_EQ(logprobs[i]["token"], told["prompt_tokens"][i]);
    EXPECT_LT(logprobs[i]["logprob"], 0);
    EXPECT_EQ(logprobs[i]["top"].size(), 2u);
  }
  const Outcome text = RunMirage(Ask({"-n", "2", "--prompt-logprobs", "1"}));
  EXPECT_EQ(std::count(text.err.begin(), text.err.end(), '\n'),
            static_cast<std::ptrdiff_t>(logprobs.size()) - 1)
      << text.err;
  ExpectComplaint(RunMirage(Ask({"--prompt-logprobs", "65"})), 2, "prompt_logprobs is 65");
}

TEST(Embed, TextsBecomeVectors) {
  const auto embed = [](std::vector<std::string> more, const std::string& input = "") {
    more.insert(more.begin(), {"embed", "-m", TinyModel()});
    return RunMirage(more, input);
  };
  const Json one = ParseOne(embed({"-p", "hello", "--json"}));
  ASSERT_EQ(one["embeddings"].size(), 1u);
  ASSERT_EQ(one["embeddings"][0].size(), 64u);
  double squares = 0;
  for (const Json& value : one["embeddings"][0]) squares += std::pow(value.get<double>(), 2);
  EXPECT_NEAR(squares, 1, 1e-5);
  // Several, from the command line or a line each.
  const Json two = ParseOne(embed({"-p", "hello", "-p", "you", "--json"}));
  ASSERT_EQ(two["embeddings"].size(), 2u);
  EXPECT_EQ(two["embeddings"][0], one["embeddings"][0]);
  EXPECT_EQ(ParseOne(embed({"--json"}, "hello\nyou\n")), two);
  // Of every token: the last is the text's.
  const Json all = ParseOne(embed({"-p", "hello", "--json", "--pooling", "none"}));
  ASSERT_EQ(all["embeddings"].size(), 1u);
  EXPECT_EQ(all["embeddings"][0].back(), one["embeddings"][0]);
  EXPECT_EQ(ParseOne(embed({"-p", "hello", "--json", "--pooling", "last"})), one);
  EXPECT_NE(ParseOne(embed({"-p", "hello", "--json", "--pooling", "mean"})), one);
  const Json plain = ParseOne(embed({"-p", "hello", "--json", "--no-normalize"}));
  EXPECT_GT(std::abs(plain["embeddings"][0][0].get<double>()),
            std::abs(one["embeddings"][0][0].get<double>()));
  const Outcome text = embed({"-p", "hello", "-p", "you"});
  EXPECT_EQ(text.code, 0);
  EXPECT_EQ(std::count(text.out.begin(), text.out.end(), '\n'), 2);
  EXPECT_EQ(std::count(text.out.begin(), text.out.end(), ' '), 2 * 63);

  ExpectComplaint(embed({"-p", "hello", "--pooling", "max"}), 2, "--pooling 'max'");
  ExpectComplaint(embed({}), 2, "no text");
  ExpectComplaint(embed({"-p", std::string(2000, 'x'), "-p", "y"}), 2, "text 0");
  ExpectComplaint(RunMirage({"embed", "-p", "x"}), 2, "--model");
}

TEST(Run, RawTakesThePromptAsItStands) {
  const Json json = ParseOne(RunMirage(Ask({"--raw", "--temp", "0", "-n", "1", "--json"})));
  const Json tokenized = ParseOne(RunMirage({"tokenize", "-m", TinyModel(), "--json"}, "hello"));
  EXPECT_EQ(json["prompt_tokens"], tokenized);
}

TEST(Run, ASystemMessageComesFirst) {
  const Json without = ParseOne(RunMirage(Ask({"-n", "1", "--json"})));
  const Json with = ParseOne(RunMirage(Ask({"-n", "1", "--system", "be brief", "--json"})));
  EXPECT_GT(with["prompt_tokens"].size(), without["prompt_tokens"].size());
}

TEST(Run, AStopStringEndsTheAnswer) {
  const std::vector<std::string> greedy = {"--temp", "0", "-n", "40", "--ignore-eos", "--json"};
  const std::string whole = ParseOne(RunMirage(Ask(greedy)))["text"];
  ASSERT_GT(whole.size(), 8u);
  size_t at = whole.size() / 2;
  while ((static_cast<unsigned char>(whole[at]) & 0xC0u) == 0x80u) ++at;
  size_t end = at + 1;
  while (end < whole.size() && (static_cast<unsigned char>(whole[end]) & 0xC0u) == 0x80u) ++end;
  std::vector<std::string> flags = greedy;
  flags.push_back("--stop=" + whole.substr(at, end - at));
  const Json cut = ParseOne(RunMirage(Ask(flags)));
  EXPECT_EQ(cut["finish"], "stop");
  EXPECT_EQ(cut["text"], whole.substr(0, whole.find(whole.substr(at, end - at))));
  flags.back() = "--stop=[" + whole.substr(at, end - at) + "]";  // one text, not a list of texts
  EXPECT_EQ(ParseOne(RunMirage(Ask(flags)))["text"], whole);
}

TEST(Chat, CtrlCAtThePromptDropsWhatWasTypedAndASecondOneEndsTheConversation) {
  const std::vector<std::string> chat = {"chat", "-m", TinyModel()};
  const Outcome ended = RunAtTerminal(chat, {"half a line" + kCtrlC, kCtrlC});
  EXPECT_EQ(ended.code, 130) << ended.out;
  EXPECT_NE(ended.out.find("(Ctrl-C again, or Ctrl-D, ends the conversation)"), std::string::npos)
      << ended.out;
  EXPECT_EQ(RunAtTerminal(chat, {kCtrlC, kCtrlD}).code, 0);
  EXPECT_EQ(RunAtTerminal(chat, {kCtrlD}).code, 0);
  // An empty line in between: the next Ctrl-C is a first one again.
  EXPECT_EQ(RunAtTerminal(chat, {kCtrlC, "\n", kCtrlC, kCtrlD}).code, 0);
}

TEST(Chat, CtrlCEndsItWhereNobodyTypes) {
  const Outcome outcome =
      RunMirage({"chat", "-m", TinyModel(), "--temp", "0", "-n", "4"}, "hello\n", 1500);
  EXPECT_EQ(outcome.code, 130) << outcome.err;
  EXPECT_FALSE(outcome.out.empty());
}

TEST(Command, AFileWithoutEndIsBadInput) {
  ExpectComplaint(RunMirage({"grammar-check", "--grammar", "/dev/zero", "--text", "a"}), 2,
                  "/dev/zero: more than 256 MiB");
}

TEST(Run, ALimitBelowTheLeastExitsWithFourAndTheNumbers) {
  const Outcome outcome = RunMirage(Ask({"--memory", "4M"}));
  ExpectComplaint(outcome, 4, "needed");
  EXPECT_NE(outcome.err.find("available"), std::string::npos);
}

// "(needed N bytes, available M bytes)": N.
uint64_t Needed(const Outcome& outcome) {
  constexpr std::string_view kNeeded = "(needed ";
  const size_t at = outcome.err.rfind(kNeeded);
  EXPECT_NE(at, std::string::npos) << outcome.err;
  return at == std::string::npos ? 0 : std::stoull(outcome.err.substr(at + kNeeded.size()));
}

TEST(Run, TheLeastLimitThatIsNamedIsEnoughForThePromptAndNoLessIs) {
  for (const size_t bytes : {1, 20, 60, 300}) {
    const auto run = [&](const std::string& limit) {
      return RunMirage({"run", "-m", TinyModel(), "-p", std::string(bytes, 'x'), "-n", "8",
                        "--ignore-eos", "--memory", limit, "--json"});
    };
    const Outcome refused = run("4M");
    ExpectComplaint(refused, 4, "at least");
    const uint64_t least = Needed(refused);
    EXPECT_EQ(ParseOne(run(std::to_string(least)))["tokens"].size(), 8u) << bytes;

    const Outcome less = run(std::to_string(least - 1));
    ExpectComplaint(less, 4, "at least");
    EXPECT_EQ(Needed(less), least) << bytes;
    // What is needed and what there is do not read the same.
    std::smatch said;
    ASSERT_TRUE(std::regex_search(less.err, said, std::regex("at least (.+) and (.+) are there")))
        << less.err;
    EXPECT_NE(said[1], said[2]) << less.err;
  }
}

TEST(Run, AnAnswerOfNoAskedLengthIsCutShortWhereThereIsNoMemoryForMore) {
  const auto run = [](const std::string& limit, const std::vector<std::string>& length) {
    std::vector<std::string> arguments = {
        "run", "-m",       TinyModel(), "-p",    std::string(60, 'x'), "--ignore-eos", "--temp",
        "0",   "--memory", limit,       "--json"};
    arguments.insert(arguments.end(), length.begin(), length.end());
    return RunMirage(arguments);
  };
  const uint64_t least = Needed(run("4M", {}));
  const Json cut = ParseOne(run(std::to_string(least), {}));
  EXPECT_GE(cut["tokens"].size(), 16u);
  EXPECT_LT(cut["tokens"].size(), 400u);
  // One of a length that was asked for is whole or refused.
  const uint64_t enough = Needed(run("4M", {"-n", "400"}));
  EXPECT_GT(enough, least);
  const Json whole = ParseOne(run(std::to_string(enough), {"-n", "400"}));
  ASSERT_EQ(whole["tokens"].size(), 400u);
  for (size_t i = 0; i < cut["tokens"].size(); ++i)
    EXPECT_EQ(cut["tokens"][i], whole["tokens"][i]) << i;
}

TEST(Run, APromptLongerThanTheContextIsBadInput) {
  ExpectComplaint(RunMirage({"run", "-m", TinyModel(), "-c", "32", "-p", std::string(200, 'x')}), 2,
                  "context of 32");
}

TEST(Run, WhatTheContextCannotHoldIsDroppedWhenAskedTo) {
  const std::vector<std::string> answer = {"-c",     "64", "--temp", "0",
                                           "--json", "-n", "100",    "--ignore-eos"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.end(), answer.begin(), answer.end());
    return RunMirage(Ask(more));
  };
  const Json cut = ParseOne(with({}));
  EXPECT_LT(cut["tokens"].size(), 64u);
  EXPECT_FALSE(cut.contains("dropped_tokens"));
  const Outcome shifted = with({"--overflow", "shift", "--keep", "5"});
  const Json json = ParseOne(shifted);
  EXPECT_EQ(json["tokens"].size(), 100u);
  EXPECT_GE(json["shifts"], 2);
  EXPECT_TRUE(json["prompt_tokens"].is_null());
  EXPECT_NE(shifted.err.find(json["dropped_tokens"].dump() + " tokens were dropped"),
            std::string::npos)
      << shifted.err;
  for (size_t i = 0; i < cut["tokens"].size(); ++i) EXPECT_EQ(json["tokens"][i], cut["tokens"][i]);

  const Json truncated =
      ParseOne(RunMirage({"run", "-m", TinyModel(), "-c", "64", "--overflow", "truncate-middle",
                          "-p", std::string(200, 'x'), "-n", "9", "--ignore-eos", "--json"}));
  EXPECT_EQ(truncated["prompt_tokens"].size(), 55u);
  EXPECT_GT(truncated["dropped_tokens"], 100);
  EXPECT_EQ(truncated["tokens"].size(), 9u);

  ExpectComplaint(with({"--overflow", "rotate"}), 2, "--overflow 'rotate'");
  ExpectComplaint(with({"--keep", "4"}), 2, "--keep");
  ExpectComplaint(with({"--overflow", "shift", "--keep", "40"}), 2, "keep_tokens is 40");
}

TEST(Tokenize, NoSpecialLeavesControlTokensAsText) {
  const std::string text = "hi<|im_end|>";
  const Json with = ParseOne(RunMirage({"tokenize", "-m", TinyModel(), "--json"}, text));
  const Json without =
      ParseOne(RunMirage({"tokenize", "-m", TinyModel(), "--no-special", "--json"}, text));
  EXPECT_EQ(with, Json({260, 104, 105, 263}));
  EXPECT_EQ(without.size(), text.size());
}

TEST(Tokenize, DetokenizeGivesTheTextBack) {
  const std::string text = "hi <|im_start|> th\xC3\xA9re\n\n";
  const Outcome tokens = RunMirage({"tokenize", "-m", TinyModel(), "--json"}, text);
  EXPECT_EQ(RunMirage({"detokenize", "-m", TinyModel()}, tokens.out).out, text);
}

TEST(Detokenize, WhatIsNoListOfTokensIsBadInput) {
  ExpectComplaint(RunMirage({"detokenize", "-m", TinyModel()}, "hello"), 2, "JSON array");
  ExpectComplaint(RunMirage({"detokenize", "-m", TinyModel()}, "[1, -2]"), 2, "element 1");
  ExpectComplaint(RunMirage({"detokenize", "-m", TinyModel()}, "[99999]"), 2, "99999");
}

TEST(Render, UsesTheModelsTemplateOrAFile) {
  const TemporaryFile messages(
      R"({"messages": [{"role": "user", "content": "hi"}], "add_generation_prompt": true})");
  EXPECT_EQ(RunMirage({"render", "-m", TinyModel(), "--messages", messages.path()}).out,
            "<|bos|><|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
  const TemporaryFile chat_template("{{ messages | length }}{{ strftime_now('/%Y/%m/%d') }}");
  EXPECT_EQ(RunMirage({"render", "--template", chat_template.path(), "--messages", messages.path(),
                       "--now", "2026-07-26"})
                .out,
            "1/2026/07/26");
}

TEST(Render, TellsRefusalFromBrokenTemplates) {
  const TemporaryFile messages(R"({"messages": []})");
  const TemporaryFile refusing("{{ raise_exception('no') }}");
  ExpectComplaint(
      RunMirage({"render", "--template", refusing.path(), "--messages", messages.path()}), 3, "no");
  const TemporaryFile broken("{% endif %}");
  ExpectComplaint(RunMirage({"render", "--template", broken.path(), "--messages", messages.path()}),
                  2, "1");
  const TemporaryFile no_json("{");
  ExpectComplaint(RunMirage({"render", "-m", TinyModel(), "--messages", no_json.path()}), 2, "");
  ExpectComplaint(RunMirage({"render", "--messages", messages.path()}), 2, "--template");
  ExpectComplaint(RunMirage({"render", "-m", TinyModel(), "--messages", "/no/such"}), 2,
                  "/no/such");
  ExpectComplaint(
      RunMirage({"render", "-m", TinyModel(), "--messages", messages.path(), "--now", "soon"}), 2,
      "soon");
}

TEST(Inspect, JsonHasMetadataTensorsAndPlan) {
  const Json json = ParseOne(RunMirage({"inspect", TinyModel(), "--json"}));
  EXPECT_EQ(json["architecture"], "llama");
  EXPECT_EQ(json["metadata"]["llama.block_count"], 2);
  EXPECT_EQ(json["metadata"]["tokenizer.ggml.tokens"]["count"], 264);
  EXPECT_EQ(json["metadata"]["tokenizer.ggml.merges"].size(), 4u);
  EXPECT_EQ(json["tensors"].size(), 21u);
  EXPECT_EQ(json["tensors"][0]["name"], "token_embd.weight");
  EXPECT_EQ(json["tensors"][0]["shape"], Json({64, 264}));
  EXPECT_EQ(json["plan"]["fits"], "resident");
  const Json& plan = json["plan"];
  EXPECT_EQ(plan["total"].get<uint64_t>(),
            plan["weights"].get<uint64_t>() + plan["kv"].get<uint64_t>() +
                plan["slots"].get<uint64_t>() + plan["tables"].get<uint64_t>() +
                plan["sessions"].get<uint64_t>() + plan["workspace"].get<uint64_t>());
}

TEST(Inspect, ThePlanIsForTheLimitThatIsGiven) {
  const Json json = ParseOne(RunMirage({"inspect", TinyModel(), "--memory", "4M", "--json"}));
  EXPECT_EQ(json["plan"]["fits"], "no");
  EXPECT_GT(json["plan"]["least"], 4 << 20);
}

TEST(Inspect, TextNamesTensorsAndTypes) {
  const Outcome outcome = RunMirage({"inspect", TinyModel()});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_NE(outcome.out.find("blk.1.ffn_down.weight"), std::string::npos);
  EXPECT_NE(outcome.out.find("F32"), std::string::npos);
}

TEST(Perplexity, OfRandomWeightsIsNearOrAboveTheVocabularys) {
  std::string text;
  for (int i = 0; i < 40; ++i) text += "some text that says little ";
  const TemporaryFile file(text);
  const Json json = ParseOne(
      RunMirage({"perplexity", "-m", TinyModel(), "-f", file.path(), "--ctx", "64", "--json"}));
  const size_t tokens = ParseOne(RunMirage({"tokenize", "-m", TinyModel(), "--json"}, text)).size();
  EXPECT_EQ(json["tokens"], tokens / 64 * (64 - 32 - 1));
  EXPECT_GT(json["perplexity"], 50);
}

TEST(Perplexity, ATextShorterThanAWindowIsBadInput) {
  const TemporaryFile file("short");
  ExpectComplaint(RunMirage({"perplexity", "-m", TinyModel(), "-f", file.path(), "--ctx", "64"}), 2,
                  file.path());
}

TEST(Bench, AContextThatHoldsLessThanIsMeasuredIsBadUse) {
  ExpectComplaint(RunMirage({"bench", "-m", TinyModel(), "-c", "24", "--pp", "0", "--tg", "64"}), 2,
                  "--context");
  ExpectComplaint(RunMirage({"bench", "-m", TinyModel(), "-c", "64", "--pp", "0", "--tg", "16",
                             "--batch", "1", "--depth", "48"}),
                  2, "--depth 48");
}

TEST(Bench, DecodesAfterAsManyTokensAsAsked) {
  const Json json = ParseOne(RunMirage({"bench", "-m", TinyModel(), "--pp", "0", "--tg", "4",
                                        "--batch", "2", "--depth", "40", "--json"}));
  EXPECT_EQ(json["tg"][0]["depth"], 40);
  EXPECT_EQ(json["tg"][0]["tokens"], 8);
}

TEST(Bench, JsonHasItsKeysAndLeavesOutWhatIsZero) {
  const Json json = ParseOne(RunMirage({"bench", "-m", TinyModel(), "-t", "1", "--pp", "32", "--tg",
                                        "4", "--batch", "1,2", "--repeats", "1", "--json"}));
  EXPECT_GT(json["pp"]["tok_s"], 0);
  ASSERT_EQ(json["tg"].size(), 2u);
  EXPECT_EQ(json["tg"][1]["batch"], 2);
  EXPECT_GT(json["tg"][1]["tok_s"], 0);
  EXPECT_GT(json["bandwidth_gb_s"], 0);
  EXPECT_TRUE(json["machine"]["cpu"].is_string());
  EXPECT_EQ(json["machine"]["threads"], 1);
  const Json without =
      ParseOne(RunMirage({"bench", "-m", TinyModel(), "--pp", "0", "--tg", "0", "--json"}));
  EXPECT_FALSE(without.contains("pp"));
  EXPECT_FALSE(without.contains("tg"));
}

// Two cells of a tiny model.
std::vector<std::string> Pressure(const std::vector<std::string>& more) {
  std::vector<std::string> words = {"bench",  "pressure", "-m",         TinyModel(),      "--scale",
                                    "1/64",   "--rates",  "1",          "--requests",     "6",
                                    "--runs", "1",        "--policies", "recompute,queue"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

TEST(BenchPressure, MeasuresEveryPolicyAtEveryRate) {
  const Json json = ParseOne(RunMirage(Pressure({"--json"})));
  EXPECT_GT(json["saturation_requests_per_second"], 0);
  ASSERT_EQ(json["cells"].size(), 2u);
  EXPECT_EQ(json["cells"][0]["policy"], "recompute");
  EXPECT_EQ(json["cells"][1]["policy"], "queue");
  for (const Json& cell : json["cells"]) {
    EXPECT_EQ(cell["finished"], 6);
    EXPECT_GT(cell["tokens_per_second"], 0);
    EXPECT_GE(cell["first_token_p99_s"], cell["first_token_p50_s"]);
  }
}

TEST(BenchPressure, CellsThatAreKeptAreNotMeasuredAgain) {
  const TemporaryFile cells("");
  const TemporaryFile plot("");
  const std::vector<std::string> words = Pressure({"--out", cells.path(), "--plot", plot.path()});
  const Outcome first = RunMirage(words);
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_NE(first.out.find("| 1 | queue |"), std::string::npos) << first.out;
  EXPECT_NE(first.out.find("?"), std::string::npos) << "one run resolves nothing";
  const Outcome again = RunMirage(words);
  EXPECT_EQ(again.out, first.out);
  std::ifstream picture(plot.path());
  std::string line;
  ASSERT_TRUE(std::getline(picture, line));
  EXPECT_TRUE(line.starts_with("<svg")) << line;
}

TEST(BenchPressure, ReadsATraceAndNamesWhatItCannot) {
  const TemporaryFile trace(
      "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
      "2023-11-16 18:15:46.6805900,640,320\r\n"
      "2023-11-16 18:15:47.6805900,64,640\r\n");
  const Json json = ParseOne(RunMirage(Pressure({"--trace", trace.path(), "--json"})));
  for (const Json& cell : json["cells"]) EXPECT_EQ(cell["finished"], 2);
  const TemporaryFile bad("TIMESTAMP,ContextTokens,GeneratedTokens\nyesterday,1,2\n");
  ExpectComplaint(RunMirage(Pressure({"--trace", bad.path()})), 2, "line 2");
  ExpectComplaint(RunMirage(Pressure({"--trace", "/no/such.csv"})), 2, "/no/such.csv");
  ExpectComplaint(RunMirage(Pressure({"--scale", "0/0"})), 2, "--scale");
  ExpectComplaint(RunMirage(Pressure({"--policies", "wishful"})), 2, "wishful");
}

TEST(Bench, TakesWhatRunTakes) {
  const std::vector<std::string> bench = {"bench", "-m",   TinyModel(), "-c",      "40", "--pp",
                                          "0",     "--tg", "16",        "--batch", "2",  "--json"};
  const auto with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> all = bench;
    all.insert(all.end(), more.begin(), more.end());
    return RunMirage(all);
  };
  EXPECT_EQ(ParseOne(with({"--logprobs", "2", "--ignore-eos"}))["tg"][0]["tokens"], 32);
  EXPECT_EQ(ParseOne(with({"--lora", TinyAdapter(), "--ignore-eos"}))["tg"][0]["tokens"], 32);
  std::vector<std::string> any_of_them;
  for (char sign = '@'; sign <= 'z'; ++sign)
    any_of_them.insert(any_of_them.end(), {"--stop", std::string(1, sign)});
  EXPECT_LT(ParseOne(with(any_of_them))["tg"][0]["tokens"], 32);
  ExpectComplaint(with({"--system", "Counted with every prompt, this is too long."}), 2,
                  "--context");
  const Json shifted =
      ParseOne(RunMirage({"bench", "-m", TinyModel(), "-c", "32", "--pp", "0", "--tg", "64",
                          "--batch", "2", "--overflow", "shift", "--json"}));
  EXPECT_EQ(shifted["tg"][0]["tokens"], 128);
}

TEST(Chat, AMessageThatCannotBeAnsweredIsTakenBack) {
  const Outcome outcome = RunMirage({"chat", "-m", TinyModel(), "--temp", "0", "-n", "4"},
                                    std::string(100000, 'x') + "\n/clear\nhello\n");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("/clear"), std::string::npos) << outcome.err;
  EXPECT_GT(outcome.out.size(), 1u);
}

TEST(Chat, OneThatShiftsNeverEnds) {
  std::string lines;
  for (int i = 0; i < 12; ++i) lines += "a line of some words\n";
  const std::vector<std::string> chat = {"chat",   "-m", TinyModel(), "-c", "128",
                                         "--temp", "0",  "-n",        "9",  "--ignore-eos"};
  EXPECT_NE(RunMirage(chat, lines).err.find("/clear"), std::string::npos);
  std::vector<std::string> shifting = chat;
  shifting.insert(shifting.end(), {"--overflow", "shift", "--system", "be kind"});
  const Outcome outcome = RunMirage(shifting, lines);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err.find("/clear"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("were dropped"), std::string::npos) << outcome.err;
}

TEST(Chat, AnswersEachLineAndRemembers) {
  const Outcome outcome =
      RunMirage({"chat", "-m", TinyModel(), "--temp", "0", "-n", "4"}, "hello\n\nagain\n");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_GT(outcome.out.size(), 2u);
}

}  // namespace
}  // namespace mirage::test
