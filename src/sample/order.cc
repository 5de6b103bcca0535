// SPDX-License-Identifier: Apache-2.0

#include "sample/order.h"

#include <algorithm>
#include <array>

namespace mirage::sample {
namespace {

struct StageName {
  std::string_view name;
  Stage stage;
};

// In the default order; then other names in use for them.
constexpr std::array<StageName, kStages> kNames = {{
    {"penalties", Stage::kPenalties},
    {"dry", Stage::kDry},
    {"top_n_sigma", Stage::kTopNSigma},
    {"top_k", Stage::kTopK},
    {"typical", Stage::kTypical},
    {"top_p", Stage::kTopP},
    {"min_p", Stage::kMinP},
    {"xtc", Stage::kXtc},
    {"temperature", Stage::kTemperature},
}};
constexpr std::array<StageName, 4> kOtherNames = {{
    {"typ_p", Stage::kTypical},
    {"typical_p", Stage::kTypical},
    {"top_nsigma", Stage::kTopNSigma},
    {"temp", Stage::kTemperature},
}};

std::string Trimmed(std::string_view name) {
  const size_t begin = name.find_first_not_of(' ');
  if (begin == std::string_view::npos) return "";
  std::string trimmed(name.substr(begin, name.find_last_not_of(' ') - begin + 1));
  std::replace(trimmed.begin(), trimmed.end(), '-', '_');
  return trimmed;
}

Result<Stage> FindStage(const std::string& name) {
  for (const StageName& known : kNames)
    if (known.name == name) return known.stage;
  for (const StageName& known : kOtherNames)
    if (known.name == name) return known.stage;
  std::string message = "samplers names '" + name + "'; known are";
  for (const StageName& known : kNames) message += " " + std::string(known.name);
  return Fail(Code::kInvalidArgument, std::move(message));
}

}  // namespace

Order DefaultOrder() {
  Order order;
  for (const StageName& known : kNames) order.push_back(known.stage);
  return order;
}

Result<Order> ParseOrder(std::string_view names) {
  Order order;
  if (Trimmed(names).empty()) return order;
  for (;;) {
    const size_t end = names.find_first_of(";,");
    const std::string name = Trimmed(names.substr(0, end));
    MIRAGE_TRY_ASSIGN(const Stage stage, FindStage(name));
    if (std::find(order.begin(), order.end(), stage) != order.end())
      return Fail(Code::kInvalidArgument, "samplers names '" + name + "' twice");
    order.push_back(stage);
    if (end == std::string_view::npos) return order;
    names.remove_prefix(end + 1);
  }
}

std::string OrderNames(const Order& order) {
  std::string names;
  for (const Stage stage : order) {
    if (!names.empty()) names += ';';
    for (const StageName& known : kNames)
      if (known.stage == stage) names += known.name;
  }
  return names;
}

}  // namespace mirage::sample
