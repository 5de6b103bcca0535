// SPDX-License-Identifier: Apache-2.0
#include "text/pre_tokenizer.h"

#include <algorithm>
#include <string>
#include <utility>

namespace mirage::text {
namespace {

// The patterns, as in the tokenizer.json files. Letters that have a canonical equivalent are
// escaped, so that no editor can replace them. Digits(individual_digits) and
// Punctuation(Contiguous) of those files are written as the patterns they are equal to.
constexpr const char* kNumber = R"(\p{N})";
// Digits asks Rust, whose Unicode 17.0 has thirteen numbers more.
constexpr const char* kDigits = "[\\p{N}\U00011DE0-\U00011DE9\U00016FF4-\U00016FF6]";
constexpr const char* kNumberRun = R"(\p{N}+)";
constexpr const char* kThreeNumbers = R"(\p{N}{1,3})";
constexpr const char* kThreeAsciiDigits = "[0-9][0-9][0-9]";
constexpr const char* kLineBreak = R"([\r\n])";
constexpr const char* kLines = R"([^\n]+|[\n]+)";

constexpr const char* kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr const char* kFalconPunctuation = R"([\p{P}\$\+<=>\^~\|`]+)";
constexpr const char* kDefaultPunctuation = R"([\p{P}\$\+<=>\^~\|]+)";
constexpr const char* kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen35 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kUfakzeka =
    R"([^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kMiniCpm5 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kJais2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1})";
constexpr const char* kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kTekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kKimiK2 =
    R"([\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kYoutuScripts =
    R"([가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+)";
constexpr const char* kYoutu =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kHanAndKana = R"([一-龥぀-ゟ゠-ヿ]+)";
constexpr const char* kDeepSeekV3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kSpark25 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+)";
constexpr const char* kDeepSeekLetters = R"(\s?\p{L}+)";
constexpr const char* kDeepSeekPunctuation = R"(\s?\p{P}+)";
constexpr const char* kDeepSeekHan = R"([一-龥ࠀ-一가-퟿]+)";
constexpr const char* kDeepSeekLlmLetters =
    R"(\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-)"
    "\u1F7D"
    R"(ᾀ-ᾴᾶ-ᾼ)"
    "\u1FBE"
    R"(ῂ-ῄῆ-ῌῐ-)"
    "\u1FD3"
    R"(ῖ-)"
    "\u1FDB"
    R"(ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ)"
    "\u2126"
    R"(ℨ)"
    "\u212A"
    R"(-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+)";
constexpr const char* kDeepSeekLlmPunctuation = R"(\s?[!-/:-~！-／：-～‘-‟　-。]+)";
constexpr const char* kTrailingSpace = R"(\s+$)";
constexpr const char* kBloom = R"( ?[^(\s|[.,!?…。，、।۔،])]+)";
constexpr const char* kBailingMoe =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)";
constexpr const char* kSeedCoder =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kExaoneMoe =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+)";
constexpr const char* kAfmoeScripts =
    R"([一-鿿㐀-䶿)"
    "\uF900"
    R"(-﫿぀-ゟ゠-ヿ･-ﾟ⼀-⿟เ-๿຀-໿ក-៿က-႟ꩠ-ꩿꧠ-꧿가-힯ᄀ-ᇿ]+)";
constexpr const char* kChameleonSentinel = "<sentinel:[0-9]+>";
constexpr const char* kChameleonImage = "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z";
constexpr const char* kChameleonSpace = R"(([\t\n]|    |  ))";
constexpr const char* kChameleonPunctuation = R"([\p{P}!-/:-@\[-`{-~])";

// (?=(\d{3})+(?!\d))
constexpr DigitGroups kSuperBpeGroups{Bit(Category::kNd), false, false};
// \d{1,3}(?=(?:\d{3})*\b)
constexpr DigitGroups kTinyAyaGroups{Bit(Category::kNd), true, true};
constexpr DigitGroups kAfmoeGroups{kNumbers, true, false};

struct Stage {
  const char* pattern = nullptr;
  const DigitGroups* groups = nullptr;

  constexpr Stage() = default;
  constexpr Stage(const char* p) : pattern(p) {}        // NOLINT: rows read as lists of patterns
  constexpr Stage(const DigitGroups* g) : groups(g) {}  // NOLINT
  [[nodiscard]] constexpr bool empty() const { return !pattern && !groups; }
};

constexpr PreTokenizer::Traits kPlain{};
constexpr PreTokenizer::Traits kWholePieces{.ignore_merges = true};
constexpr PreTokenizer::Traits kWholePiecesAndBos{.ignore_merges = true, .add_bos = true};
constexpr PreTokenizer::Traits kBos{.add_bos = true};
// Those whose published tokenizers have an NFC normalizer: GPT-NeoX's, Qwen's and Cohere's. Not so
// qwen35, for which the ids published with its GGUF vocabulary keep marks apart.
constexpr PreTokenizer::Traits kComposes{.composes = true};
// Gemma 4 files say that no bos is added, and mean that it is.
constexpr PreTokenizer::Traits kGemma4{
    .add_bos = true, .forces_bos = true, .space_mark = true, .newline_runs = true};
constexpr PreTokenizer::Traits kSpaceMarked{.space_mark = true};

struct Family {
  std::string_view names;  // separated by spaces
  Stage stages[6];
  PreTokenizer::Traits traits = kPlain;
};

constexpr Family kFamilies[] = {
    {"default", {kDefaultPunctuation, kGpt2, kNumberRun, kThreeAsciiDigits}},
    {"gpt-2 phi-2 jais trillion granite-docling exaone4 gigachat a.x-4.0 mellum "
     "roberta-bpe jina-es jina-de jina-v1-en jina-v2-es jina-v2-de jina-v2-code",
     {kGpt2}},
    {"mpt olmo modern-bert", {kGpt2}, kComposes},
    {"smollm starcoder refact codeshell exaone minerva-7b mellum2", {kDigits, kGpt2}},
    {"command-r", {kDigits, kGpt2}, kComposes},
    {"llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
     {kLlama3},
     kWholePiecesAndBos},
    {"dbrx smaug-bpe chatglm-bpe", {kLlama3}},
    {"glm4 glm5", {kLlama3}, kWholePieces},
    {"kormo solar-open grok-2", {kQwen2}},
    {"qwen2 deepseek-r1-qwen f2llmv2 megrez stablelm2 hunyuan", {kQwen2}, kComposes},
    {"qwen35", {kQwen35}},
    {"ufakzeka", {kUfakzeka}},
    {"laguna", {kLines, kQwen2}},
    {"minicpm5", {kThreeNumbers, kMiniCpm5}, kWholePieces},
    {"jais-2", {kJais2}},
    {"gpt-4o llama4 kanana2 talkie minimax-m2", {kGpt4o}},
    {"granite-embed-multi-97m", {kGpt4o}, kWholePieces},
    {"tiny_aya cohere2moe", {&kTinyAyaGroups, kGpt4o}, kComposes},
    {"tekken", {kTekken}, kWholePiecesAndBos},
    {"kimi-k2", {kKimiK2}},
    {"youtu", {kYoutuScripts, kYoutu}, kWholePieces},
    {"deepseek-v3 hunyuan-dense joyai-llm hy_v4", {kThreeNumbers, kHanAndKana, kDeepSeekV3}},
    {"spark2_5", {kThreeNumbers, kHanAndKana, kSpark25, kNumber}},
    {"afmoe", {&kAfmoeGroups, kAfmoeScripts, kDeepSeekV3}},
    {"deepseek-llm",
     {kLineBreak, kDeepSeekLlmLetters, kDeepSeekLlmPunctuation, kTrailingSpace, kDeepSeekHan,
      kNumberRun}},
    {"deepseek-coder", {kLineBreak, kDeepSeekLetters, kDeepSeekPunctuation, kDeepSeekHan, kDigits}},
    {"falcon", {kFalconPunctuation, kGpt2, kThreeAsciiDigits}},
    {"bloom poro-chat gpt3-finnish", {kBloom}},
    {"viking", {kBloom, kNumber}},
    {"seed-coder", {kSeedCoder}},
    {"bailingmoe bailingmoe2 llada-moe", {kBailingMoe}},
    {"superbpe", {kNumberRun, &kSuperBpeGroups}},
    {"exaone-moe", {kExaoneMoe}},
    {"chameleon",
     {kChameleonSentinel, kChameleonImage, kChameleonSpace, kDigits, kChameleonPunctuation, kGpt2},
     kBos},
    {"gemma4 granite-embed-multi-311m", {kLines}, kGemma4},
    {"sarvam-moe", {kLines}, kSpaceMarked},
};

bool HasName(std::string_view names, std::string_view name) {
  while (!names.empty()) {
    const size_t end = std::min(names.find(' '), names.size());
    if (names.substr(0, end) == name) return true;
    names.remove_prefix(std::min(end + 1, names.size()));
  }
  return false;
}

const Family& FindFamily(std::string_view name, bool* known) {
  for (const Family& family : kFamilies)
    if (HasName(family.names, name)) return family;
  *known = false;
  return kFamilies[0];
}

bool IsDigit(std::string_view text, size_t at, CategoryMask digits) {
  return at < text.size() && PropertiesOf(DecodeUtf8(text, &at)).in(digits);
}

template <typename Emit>
void SplitDigits(const DigitGroups& groups, std::string_view text, Emit&& emit) {
  size_t emitted = 0;
  const auto cut = [&](size_t at) {
    if (at > emitted) emit(text.substr(emitted, at - emitted));
    emitted = std::max(emitted, at);
  };
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    size_t count = 0;
    for (; IsDigit(text, at, groups.digits); ++count) at += Utf8Length(text[at]);
    if (count == 0) {
      at += Utf8Length(text[at]);
      continue;
    }
    size_t next = at;
    if (groups.before_boundary && at < text.size() && PropertiesOf(DecodeUtf8(text, &next)).word())
      continue;
    if (groups.isolate) cut(begin);
    for (size_t digit = begin; count > 0; --count) {
      if (count % 3 == 0) cut(digit);
      digit += Utf8Length(text[digit]);
    }
    if (groups.isolate) cut(at);
  }
  cut(text.size());
}

}  // namespace

Result<PreTokenizer> PreTokenizer::Create(std::string_view name) {
  PreTokenizer result;
  const Family& family = FindFamily(name, &result.known_);
  result.traits_ = family.traits;
  for (const Stage& stage : family.stages) {
    if (stage.empty()) break;
    if (stage.groups) {
      result.stages_.emplace_back(*stage.groups);
    } else {
      MIRAGE_TRY_ASSIGN(SplitRegex regex, SplitRegex::Compile(stage.pattern));
      result.stages_.emplace_back(std::move(regex));
    }
  }
  return result;
}

size_t PreTokenizer::heap_bytes() const {
  size_t bytes = stages_.capacity() * sizeof(stages_[0]);
  for (const auto& stage : stages_)
    if (const auto* regex = std::get_if<SplitRegex>(&stage)) bytes += regex->heap_bytes();
  return bytes;
}

uint64_t PreTokenizer::Scratch::steps() const {
  uint64_t steps = 0;
  for (const SplitRegex::Scratch& stage : stages_) steps += stage.steps();
  return steps;
}

void PreTokenizer::Split(std::string_view text, Scratch* scratch, const Emit& emit) const {
  scratch->stages_.resize(stages_.size());
  SplitFrom(0, text, scratch, emit);
}

// The pieces of one stage go through the next one by one.
void PreTokenizer::SplitFrom(size_t stage, std::string_view piece, Scratch* scratch,
                             const Emit& emit) const {
  if (stage == stages_.size()) {
    emit(piece);
    return;
  }
  const auto next = [&](std::string_view part) { SplitFrom(stage + 1, part, scratch, emit); };
  if (const auto* regex = std::get_if<SplitRegex>(&stages_[stage]))
    regex->Split(piece, &scratch->stages_[stage], next);
  else
    SplitDigits(std::get<DigitGroups>(stages_[stage]), piece, next);
}

}  // namespace mirage::text
