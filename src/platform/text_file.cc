// SPDX-License-Identifier: Apache-2.0
#include "platform/text_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

namespace mirage::platform {
namespace {

constexpr size_t kMostBytes = size_t{1} << 20;
constexpr std::string_view kBlank = " \t\r\n";

}  // namespace

std::optional<std::string> ReadText(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  std::string text;
  char piece[4096];
  ssize_t got = 0;
  while (text.size() < kMostBytes) {
    got = read(fd, piece, sizeof piece);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(piece, static_cast<size_t>(got));
  }
  close(fd);
  if (got < 0) return std::nullopt;
  return text;
}

std::optional<uint64_t> ParseNumber(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return std::nullopt;
  return value;
}

std::optional<uint64_t> ReadNumber(const std::string& path) {
  const std::optional<std::string> text = ReadText(path);
  if (!text) return std::nullopt;
  uint64_t value = 0;
  const char* const end = text->data() + text->size();
  const auto [rest, error] = std::from_chars(text->data(), end, value);
  if (error != std::errc{}) return std::nullopt;
  const std::string_view tail(rest, static_cast<size_t>(end - rest));
  if (tail.find_first_not_of(kBlank) != std::string_view::npos) return std::nullopt;
  return value;
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> pieces;
  while (!text.empty()) {
    const size_t end = text.find(separator);
    const std::string_view piece = text.substr(0, end);
    if (!piece.empty()) pieces.push_back(piece);
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return pieces;
}

std::optional<std::string_view> FindValue(std::string_view text, std::string_view key) {
  for (std::string_view line : Split(text, '\n')) {
    if (!line.starts_with(key)) continue;
    line.remove_prefix(key.size());
    const size_t value = line.find_first_not_of(" \t:");
    if (value == 0 || value == std::string_view::npos) continue;  // a longer key, or no value
    return line.substr(value);
  }
  return std::nullopt;
}

std::optional<uint64_t> FindNumber(std::string_view text, std::string_view key) {
  const std::optional<std::string_view> value = FindValue(text, key);
  return value ? ParseNumber(*value) : std::nullopt;
}

std::vector<int> ParseList(std::string_view text) {
  constexpr uint64_t kMost = uint64_t{1} << 20;
  std::vector<int> numbers;
  for (const std::string_view piece : Split(text.substr(0, text.find('\n')), ',')) {
    const size_t dash = piece.find('-');
    const std::optional<uint64_t> first = ParseNumber(piece);
    const std::optional<uint64_t> last =
        dash == std::string_view::npos ? first : ParseNumber(piece.substr(dash + 1));
    if (!first || !last || *first > *last || *last >= kMost) return {};
    for (uint64_t number = *first; number <= *last; ++number)
      numbers.push_back(static_cast<int>(number));
  }
  return numbers;
}

}  // namespace mirage::platform
