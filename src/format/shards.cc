// SPDX-License-Identifier: Apache-2.0

#include "format/shards.h"

#include <charconv>
#include <cstdio>
#include <optional>

namespace mirage::format {
namespace {

constexpr std::string_view kExtension = ".gguf";
constexpr std::string_view kOf = "-of-";
constexpr size_t kDigits = 5;

struct SplitName {
  std::string_view prefix;  // up to and with the '-' before the number
  int number;
  int count;
};

std::optional<int> ParseNumber(std::string_view digits) {
  int number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size() || number < 0)
    return std::nullopt;
  return number;
}

// Takes `<prefix>-NNNNN-of-NNNNN.gguf` apart; nothing for other names.
std::optional<SplitName> ParseSplitName(std::string_view path) {
  constexpr size_t kTail = 1 + kDigits + kOf.size() + kDigits + kExtension.size();
  if (path.size() <= kTail) return std::nullopt;
  const std::string_view prefix = path.substr(0, path.size() - kTail + 1);
  const std::string_view tail = path.substr(prefix.size());
  if (prefix.back() != '-' || tail.substr(kDigits, kOf.size()) != kOf ||
      !path.ends_with(kExtension))
    return std::nullopt;
  const auto number = ParseNumber(tail.substr(0, kDigits));
  const auto count = ParseNumber(tail.substr(kDigits + kOf.size(), kDigits));
  if (!number || !count) return std::nullopt;
  return SplitName{prefix, *number, *count};
}

}  // namespace

Result<std::vector<std::string>> ShardPaths(std::string_view path) {
  const std::optional<SplitName> split = ParseSplitName(path);
  if (!split) return std::vector<std::string>{std::string(path)};
  if (split->number != 1 || split->count < 1)
    return Fail(Code::kInvalidArgument,
                std::string(path) + ": names shard " + std::to_string(split->number) + " of " +
                    std::to_string(split->count) + ", expected the first shard of a model");
  std::vector<std::string> paths;
  paths.reserve(split->count);
  for (int i = 1; i <= split->count; ++i) {
    char tail[32];
    std::snprintf(tail, sizeof(tail), "%05d-of-%05d.gguf", i, split->count);
    paths.push_back(std::string(split->prefix) + tail);
  }
  return paths;
}

}  // namespace mirage::format
