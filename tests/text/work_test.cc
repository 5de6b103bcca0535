// SPDX-License-Identifier: Apache-2.0
// Hostile text costs linear work and bounded memory, in every tokenizer, the detokenizer and the
// template engine.
//
// Work is counted, not timed: this program holds a copy of the room in which the compiler calls
// __sanitizer_cov_trace_pc in every basic block. Eight times the text may take little more than
// eight times the blocks; a quadratic step anywhere would take 64 times. What libc does inside
// memchr, memcpy and memmem is not counted; each is linear in what it is given. Memory is what
// operator new gives out.

#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "small_vocab.h"
#include "text/chat_template.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"

namespace {

uint64_t blocks = 0;
uint64_t live_bytes = 0, peak_bytes = 0;

}  // namespace

extern "C" void __sanitizer_cov_trace_pc();
extern "C" void __sanitizer_cov_trace_pc() { ++blocks; }

void* operator new(size_t size) {
  void* memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  live_bytes += malloc_usable_size(memory);
  peak_bytes = std::max(peak_bytes, live_bytes);
  return memory;
}
void operator delete(void* memory) noexcept {
  live_bytes -= malloc_usable_size(memory);
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept { operator delete(memory); }

namespace mirage::text {
namespace {

constexpr size_t kSmall = 1 << 13, kLarge = 1 << 16;
constexpr double kGrowth = 1.5;  // over the growth of the text; n log n takes 1.23

struct Cost {
  uint64_t blocks, bytes;
};

template <typename Run>
Cost CostOf(Run&& run) {
  const uint64_t blocks_before = blocks, live_before = live_bytes;
  peak_bytes = live_bytes;
  run();
  return {blocks - blocks_before, peak_bytes - live_before};
}

// `run(text)` over `unit` repeated to both sizes.
void ExpectLinear(const std::string& what, std::string_view unit, double most_bytes_per_byte,
                  const std::function<void(const std::string&)>& run) {
  const auto cost_at = [&](size_t size) {
    std::string text;
    while (text.size() < size) text += unit;
    return CostOf([&] { run(text); });
  };
  (void)cost_at(64);  // what is made once
  const Cost small = cost_at(kSmall), large = cost_at(kLarge);
  ASSERT_GT(small.blocks, 0u);
  const double growth = static_cast<double>(large.blocks) / static_cast<double>(small.blocks);
  EXPECT_LT(growth, kGrowth * kLarge / kSmall)
      << what << ", '" << unit << "' repeated: " << small.blocks << " blocks for " << kSmall
      << " bytes, " << large.blocks << " for " << kLarge;
  EXPECT_LT(static_cast<double>(large.bytes), most_bytes_per_byte * kLarge)
      << what << ", '" << unit << "' repeated: bytes of memory";
}

using namespace std::string_view_literals;
constexpr std::string_view kUnits[] = {"a",
                                       " ",
                                       "1",
                                       "\n",
                                       "A",
                                       "'",
                                       "<",
                                       "!",
                                       "\xF0\x9F\x98\x80",
                                       "\u0301",
                                       "a\u0301",
                                       "\u6f22",
                                       "\xFF",
                                       "\xF0\x9F",
                                       "\xE2\x96\x81",
                                       "a ",
                                       " \n",
                                       "1a",
                                       "aB",
                                       "<|im_start|",
                                       "<tool",
                                       "\r\n",
                                       "\u1100\u1161",
                                       "\u00df",
                                       "\0"sv};

// --- Vocabularies, each with tokens that make their algorithm work for it ---

// Runs of each letter, doubled.
void AddRuns(SmallVocab* vocab, bool merges) {
  for (const std::string letter : {"a", "1", "!"})
    for (std::string run = letter; run.size() < 64; run += run) {
      if (merges)
        vocab->Merge(run, run);
      else if (run.size() > 1)
        vocab->Add(run, TokenType::kNormal, static_cast<float>(run.size()));
    }
}

void AddSpecials(SmallVocab* vocab) {
  vocab->Add("<|im_start|>", TokenType::kControl);
  vocab->Add("<|im_end|>", TokenType::kControl);
  vocab->Add("<tool>", TokenType::kUserDefined);
  vocab->Add("   ", TokenType::kUserDefined);
}

std::unique_ptr<Tokenizer> BytePair(const std::string& pre) {
  SmallVocab vocab("gpt2", pre);
  vocab.AddByteLetters();
  AddRuns(&vocab, true);
  AddSpecials(&vocab);
  return vocab.Make();
}

std::unique_ptr<Tokenizer> Marked(const std::string& model) {
  SmallVocab vocab(model, model == "gemma4" ? "gemma4" : "");
  vocab.data.unk = vocab.Add("<unk>", TokenType::kUnknown);
  vocab.AddByteTokens();
  for (const char* letter : {"a", "1", "!", "\u2581", "\n"})
    vocab.Add(letter, TokenType::kNormal, -10);
  AddRuns(&vocab, model == "gemma4");
  for (std::string run = "\u2581"; run.size() < 100; run += run)
    if (run.size() > 3) vocab.Add(run, TokenType::kNormal, static_cast<float>(run.size()));
  AddSpecials(&vocab);
  return vocab.Make();
}

std::unique_ptr<Tokenizer> WordPiece() {
  SmallVocab vocab("bert");
  vocab.data.unk = vocab.Add("[UNK]");
  for (const char* word : {"\u2581a", "a", "\u2581!", "\u25811", "1", "aaaaaaaaaaaaaaaa"})
    vocab.Add(word);
  AddSpecials(&vocab);
  return vocab.Make();
}

struct Named {
  std::string name;
  std::unique_ptr<Tokenizer> tokenizer;
};

std::vector<Named> AllFamilies() {
  std::vector<Named> all;
  for (const char* pre : {"gpt-2", "llama-bpe", "qwen2", "deepseek-llm", "exaone-moe", "tekken"})
    all.push_back({pre, BytePair(pre)});
  for (const char* model : {"llama", "t5", "gemma4"}) all.push_back({model, Marked(model)});
  all.push_back({"bert", WordPiece()});
  return all;
}

// tokenizer.h's figure for the worst text, and for one that is ill-formed: a byte of it is three.
constexpr double kEncodeBytes = 64;

TEST(Work, EncodingIsLinear) {
  for (const Named& family : AllFamilies())
    for (const std::string_view unit : kUnits)
      ExpectLinear(family.name, unit, RepairUtf8(unit) ? 3 * kEncodeBytes : kEncodeBytes,
                   [&](const std::string& text) {
                     ASSERT_TRUE(family.tokenizer->Encode(text, {.parse_special = true}));
                   });
}

TEST(Work, EncodingPiecesOfALetterIsLinear) {
  for (const Named& family : AllFamilies())
    ExpectLinear(family.name, "<|im_start|> a", 48 + kEncodeBytes, [&](const std::string& text) {
      std::vector<TextPiece> pieces;
      for (size_t i = 0; i < text.size(); ++i)
        pieces.push_back({std::string_view(text).substr(i, 1), i % 3 != 0});
      ASSERT_TRUE(family.tokenizer->Encode(pieces, false));
    });
}

// Words cost the memory of a word beside the text and its ids.
TEST(Work, EncodingWordsTakesLittleMemory) {
  for (const Named& family : AllFamilies())
    ExpectLinear(family.name, "aab abba 11 ", 12, [&](const std::string& text) {
      ASSERT_TRUE(family.tokenizer->Encode(text, {.parse_special = false}));
    });
}

TEST(Work, StreamingTextOutIsLinear) {
  for (const Named& family : AllFamilies())
    for (const char* unit : {"a", "\xF0", "\x80", "\xF0\x9F\x98\x80", "\xE2\x96", " "})
      ExpectLinear("detokenizer of " + family.name, unit, 32, [&](const std::string& text) {
        Detokenizer detokenizer(*family.tokenizer);
        std::string out;
        for (const char byte : text) {
          // Any id will do; byte tokens and letters lie in front.
          const auto id = static_cast<int32_t>(static_cast<unsigned char>(byte) %
                                               family.tokenizer->token_count());
          ASSERT_TRUE(detokenizer.Push(id, &out));
        }
        detokenizer.Flush(&out);
      });
}

// --- Templates ---

Result<Rendered> RenderOver(const std::string& expression, const std::string& text) {
  MIRAGE_TRY_ASSIGN(const ChatTemplate chat_template,
                    ChatTemplate::Parse("{{ " + expression + " }}"));
  std::string json = R"({"messages": [], "vars": {"s": ")";
  for (const char c : text) {
    if (c == '\n') {
      json += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') json += '\\';
    json += c;
  }
  jinja::Limits limits;
  limits.steps = uint64_t{1} << 40;
  return chat_template.Render({json + "\"}}", 0, limits});
}

TEST(Work, RenderingIsLinear) {
  for (const char* expression : {
           "s",
           "s|upper",
           "s|lower",
           "s|title",
           "s|capitalize",
           "s|trim",
           "s|trim('a ')",
           "s|replace('a', 'bb')",
           "s|replace('', '-')",
           "s|replace('ab', '')",
           "s|length",
           "s|reverse",
           "s|list|length",
           "s|join('-')",
           "s|indent",
           "s|truncate(1000)",
           "s|escape",
           "s|tojson",
           "s|tojson(ensure_ascii=true)",
           "s|urlencode",
           "s|wordcount",
           "[s]|string",
           "s|center(2000000)|length",
           "'%s-%s' % (s, s)",
           "'{}{:>9}'.format(s, s)",
           "s ~ s",
           "s * 2",
           "s[::-1]",
           "s[5:-5]",
           "s[::2]",
           "s.split()|length",
           "s.split('a')|length",
           "s.rsplit('a')|length",
           "s.splitlines()|length",
           "s.partition('b')|length",
           "s.rpartition('b')|length",
           "s.strip()",
           "s.lstrip('a')",
           "s.rstrip(' ')",
           "s.count('a')",
           "s.find('b')",
           "s.rfind('b')",
           "s.swapcase()",
           "s.zfill(9)",
           "s.startswith('a')",
           "s.isalpha()",
           "s.title()",
           "s == s",
           "s < s ~ 'x'",
           "'b' in s",
           "s|first",
           "s|last",
           "s.replace('aa', 'a')",
           "s|unique|list|length",
           "s|map('upper')|join",
           "s|sort|length",
           "s|batch(3)|list|length",
           "s.removesuffix('x')",
           "s|default('')|string",
       })
    for (const char* unit : {"a", " ", "1", "\n", "\xF0\x9F\x98\x80", "\u0301", "<", "ab "})
      ExpectLinear(expression, unit, 1000, [&](const std::string& text) {
        const auto rendered = RenderOver(expression, text);
        EXPECT_TRUE(rendered) << expression << ": " << rendered.error().message;
      });
}

TEST(Work, ParsingATemplateIsLinear) {
  for (const char* unit : {"a", "{", "{{", "{{ 1 }}", "{# #}", "{% if 1 %}{% endif %}", "{%", "'",
                           "\n  {%- if x -%}  \n{% endif %}", "{{ 'a' }}", "{{ [1, 2]|join }}", " ",
                           "\n", "{% raw %}{{{% endraw %}", "{{ '"})
    ExpectLinear("template", unit, 4000, [&](const std::string& text) {
      (void)ChatTemplate::Parse(std::string_view(text).substr(0, jinja::kMaxSourceBytes));
    });
}

}  // namespace
}  // namespace mirage::text
