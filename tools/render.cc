// SPDX-License-Identifier: Apache-2.0

// mirage render: what a chat template makes of messages.

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "tools/command.h"
#include "tools/flags.h"
#include "tools/input.h"

namespace mirage::cli {
namespace {

struct RenderFlags {
  std::string model;
  std::string chat_template;
  std::string messages;
  std::optional<std::string> now;
};

// Days since 1970-01-01 of a date of the Gregorian calendar (Howard Hinnant's days_from_civil).
int64_t DaysFromDate(int64_t year, int64_t month, int64_t day) {
  year -= month <= 2 ? 1 : 0;
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const int64_t year_of_era = year - era * 400;
  const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + day_of_era - 719468;
}

int64_t DaysOfMonth(int64_t year, int64_t month) {
  const bool december = month == 12;
  return DaysFromDate(december ? year + 1 : year, december ? 1 : month + 1, 1) -
         DaysFromDate(year, month, 1);
}

std::optional<int64_t> ParseInteger(const std::string& text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "2026-07-26", or seconds since 1970.
int64_t ParseNow(const std::string& text, const std::string& name) {
  if (const std::optional<int64_t> seconds = ParseInteger(text)) return *seconds;
  if (text.size() == 10 && text[4] == '-' && text[7] == '-') {
    const std::optional<int64_t> year = ParseInteger(text.substr(0, 4));
    const std::optional<int64_t> month = ParseInteger(text.substr(5, 2));
    const std::optional<int64_t> day = ParseInteger(text.substr(8, 2));
    if (year && month && day && *month >= 1 && *month <= 12 && *day >= 1 &&
        *day <= DaysOfMonth(*year, *month))
      return DaysFromDate(*year, *month, *day) * 86400;
  }
  throw Failure(
      kBadInput,
      fmt::format("{} '{}': a date such as 2026-07-26, or seconds since 1970, is expected", name,
                  text));
}

int64_t Now(const RenderFlags& flags) {
  if (flags.now) return ParseNow(*flags.now, "--now");
  if (const char* epoch = std::getenv("SOURCE_DATE_EPOCH"))
    return ParseNow(epoch, "SOURCE_DATE_EPOCH");
  return std::numeric_limits<int64_t>::min();
}

int Render(const RenderFlags& flags) {
  if (flags.model.empty() == flags.chat_template.empty())
    throw Failure(kBadInput, "give either -m MODEL or --template FILE");
  const std::string messages = ReadFile(flags.messages);
  std::string source;
  mirage_render_options options;
  mirage_render_options_init(&options, sizeof options);
  options.now = Now(flags);

  RuntimeHandle runtime;
  ModelHandle model;
  if (!flags.chat_template.empty()) {
    source = ReadFile(flags.chat_template);
    options.chat_template = source.data();
    options.chat_template_bytes = source.size();
  } else {
    runtime = ModelFlags().Open();
    model = OpenVocabulary(runtime.get(), flags.model);
  }
  const std::string names = fmt::format("{} by {}", flags.messages,
                                        flags.model.empty() ? flags.chat_template : flags.model);
  WriteStandardOutput(ReadBuffer<std::string>(
      names, [&](char* out, size_t capacity, size_t* count, mirage_error* error) {
        return mirage_render(model.get(), &options, messages.data(), messages.size(), out, capacity,
                             count, error);
      }));
  return kDone;
}

}  // namespace

void AddRender(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<RenderFlags>();
  CLI::App* command = AddCommand(
      app, chosen, "render", "Messages to the text a chat template makes of them", flags, Render);
  command->add_option("-m,--model", flags->model, "Model file whose template is used");
  command->add_option("--template", flags->chat_template, "Template file (Jinja)");
  command
      ->add_option("--messages", flags->messages,
                   "JSON file: {\"messages\", \"tools\", \"add_generation_prompt\", \"bos_token\", "
                   "\"eos_token\", "
                   "\"vars\"}")
      ->required();
  command->add_option("--now", flags->now,
                      "The date templates see, such as 2026-07-26 (or SOURCE_DATE_EPOCH)");
}

}  // namespace mirage::cli
