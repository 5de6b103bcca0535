// SPDX-License-Identifier: Apache-2.0
#include "session/tuning_file.h"

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <utility>

#include "grammar/json_value.h"
#include "platform/cpu.h"
#include "platform/file.h"
#include "platform/text_file.h"

namespace mirage::session {
namespace {

using grammar::JsonValue;
using Type = JsonValue::Type;

constexpr std::string_view kFormat = "mirage-tuning";
constexpr int kVersion = 1;
constexpr uint64_t kMostBytes = uint64_t{1} << 20;
constexpr int64_t kMostTasksPerThread = 1024;
constexpr int64_t kMostPanelBytes = int64_t{1} << 40;

// An object of the file, whose members are all read. `path` is "" or ends with a point.
class Object {
 public:
  [[nodiscard]] static Result<Object> Open(const JsonValue& value, std::string path,
                                           std::initializer_list<std::string_view> known) {
    if (!value.is(Type::kObject))
      return Fail(Code::kCorrupt, path.empty()
                                      ? "it is no JSON object"
                                      : Key(path.substr(0, path.size() - 1)) + " is no object");
    for (const JsonValue::Member& member : value.members)
      if (std::find(known.begin(), known.end(), member.name) == known.end())
        return Fail(Code::kCorrupt, Key(path + member.name) + " is unknown");
    return Object(value, std::move(path));
  }

  [[nodiscard]] Result<Object> Inside(std::string_view name,
                                      std::initializer_list<std::string_view> known) const {
    MIRAGE_TRY_ASSIGN(const JsonValue* const value, Find(name));
    return Open(*value, path_ + std::string(name) + ".", known);
  }
  [[nodiscard]] Result<std::string> Text(std::string_view name) const {
    MIRAGE_TRY_ASSIGN(const JsonValue* const value, Find(name));
    if (!value->is(Type::kString))
      return Fail(Code::kCorrupt, Key(path_ + std::string(name)) + " is no string");
    return value->text;
  }
  [[nodiscard]] Result<int64_t> Whole(std::string_view name, int64_t most) const {
    MIRAGE_TRY_ASSIGN(const JsonValue* const value, Find(name));
    const grammar::Decimal& number = value->number;
    const std::optional<uint64_t> whole =
        value->is(Type::kNumber) && !number.negative && number.fraction.empty()
            ? platform::ParseNumber(number.whole)
            : std::nullopt;
    if (!whole || *whole < 1 || *whole > static_cast<uint64_t>(most))
      return Fail(Code::kCorrupt, Key(path_ + std::string(name)) +
                                      " is no whole number from 1 to " + std::to_string(most));
    return static_cast<int64_t>(*whole);
  }

 private:
  Object(const JsonValue& value, std::string path) : value_(&value), path_(std::move(path)) {}
  [[nodiscard]] static std::string Key(const std::string& path) { return "key '" + path + "'"; }
  [[nodiscard]] Result<const JsonValue*> Find(std::string_view name) const {
    const JsonValue* const value = value_->Find(name);
    if (value == nullptr)
      return Fail(Code::kCorrupt, Key(path_ + std::string(name)) + " is missing");
    return value;
  }

  const JsonValue* value_;
  std::string path_;
};

// The first thing in which the machines differ; "" where they do not.
std::string Difference(const TunedMachine& file, const TunedMachine& here) {
  if (file.cpu != here.cpu)
    return "it was measured on '" + file.cpu + "', and this is '" + here.cpu + "'";
  if (file.kernels != here.kernels)
    return "it was measured with the kernels " + file.kernels + ", and these are " + here.kernels;
  if (file.cpus != here.cpus)
    return "it was measured with " + std::to_string(file.cpus) + " processors, and here are " +
           std::to_string(here.cpus);
  return "";
}

Result<TunedMachine> ReadMachine(const Object& root) {
  MIRAGE_TRY_ASSIGN(const Object object, root.Inside("machine", {"cpu", "kernels", "cpus"}));
  TunedMachine machine;
  MIRAGE_TRY_ASSIGN(machine.cpu, object.Text("cpu"));
  MIRAGE_TRY_ASSIGN(machine.kernels, object.Text("kernels"));
  MIRAGE_TRY_ASSIGN(const int64_t cpus, object.Whole("cpus", INT32_MAX));
  machine.cpus = static_cast<int>(cpus);
  return machine;
}

Result<model::Tuning> ReadTuning(const Object& root) {
  model::Tuning tuning;
  MIRAGE_TRY_ASSIGN(const Object threads, root.Inside("threads", {"decode", "prefill"}));
  MIRAGE_TRY_ASSIGN(const int64_t decode, threads.Whole("decode", platform::kMostThreads));
  MIRAGE_TRY_ASSIGN(const int64_t prefill, threads.Whole("prefill", platform::kMostThreads));
  tuning.threads = {static_cast<int>(decode), static_cast<int>(prefill)};
  MIRAGE_TRY_ASSIGN(const Object tasks, root.Inside("tasks", {"per_thread", "panel_bytes"}));
  MIRAGE_TRY_ASSIGN(const int64_t per_thread, tasks.Whole("per_thread", kMostTasksPerThread));
  tuning.cut.tasks_per_thread = static_cast<int>(per_thread);
  MIRAGE_TRY_ASSIGN(tuning.cut.panel_bytes, tasks.Whole("panel_bytes", kMostPanelBytes));
  return tuning;
}

Result<model::Tuning> Parse(std::string_view text, const std::string& name,
                            const TunedMachine& machine, const LogSink& log) {
  const auto ignore = [&](const std::string& why) {
    log.Log(LogLevel::kWarning, "tuning", name + ": the tuning is not used: " + why);
    return model::Tuning{};
  };
  Result<JsonValue> json = grammar::ParseJson(text);
  if (!json) return Fail(Code::kCorrupt, std::move(json).error().message);
  // What another version has besides these two is its own matter.
  const JsonValue* const format = json->Find("format");
  if (format == nullptr || format->text != kFormat)
    return Fail(Code::kCorrupt, "key 'format' is not '" + std::string(kFormat) + "'");
  const JsonValue* const version = json->Find("version");
  if (version != nullptr && version->is(Type::kNumber) &&
      version->number.whole != std::to_string(kVersion))
    return ignore("it is of version " + version->number.whole + ", and this build reads " +
                  std::to_string(kVersion));
  MIRAGE_TRY_ASSIGN(
      const Object root,
      Object::Open(*json, "", {"format", "version", "machine", "threads", "tasks", "trials"}));
  MIRAGE_TRY(root.Whole("version", kVersion));
  MIRAGE_TRY_ASSIGN(const TunedMachine measured, ReadMachine(root));
  MIRAGE_TRY_ASSIGN(const model::Tuning tuning, ReadTuning(root));
  if (const std::string difference = Difference(measured, machine); !difference.empty())
    return ignore(difference);
  return tuning;
}

}  // namespace

TunedMachine ThisMachine(const kernels::Ops& ops) {
  return {platform::CpuName(), ops.name, platform::UsableCpus()};
}

std::string TuningText(const TunedMachine& machine, const model::MeasuredTuning& measured) {
  using Json = nlohmann::ordered_json;
  const model::Tuning& tuning = measured.tuning;
  Json json = {
      {"format", kFormat},
      {"version", kVersion},
      {"machine", {{"cpu", machine.cpu}, {"kernels", machine.kernels}, {"cpus", machine.cpus}}},
      {"threads", {{"decode", tuning.threads.decode}, {"prefill", tuning.threads.prefill}}},
      {"tasks",
       {{"per_thread", tuning.cut.tasks_per_thread}, {"panel_bytes", tuning.cut.panel_bytes}}},
      {"trials", Json::array()}};
  for (const model::TuningTrial& trial : measured.trials) {
    const bool decode = trial.pass == model::TuningTrial::Pass::kDecode;
    json["trials"].push_back({{"pass", decode ? "decode" : "prefill"},
                              {"threads", trial.threads},
                              {"tasks_per_thread", trial.cut.tasks_per_thread},
                              {"panel_bytes", trial.cut.panel_bytes},
                              {decode ? "gb_s" : "gmac_s", trial.rate},
                              {"speedup", trial.speedup}});
  }
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<model::Tuning> ParseTuning(std::string_view text, const std::string& name,
                                  const TunedMachine& machine, const LogSink& log) {
  Result<model::Tuning> parsed = Parse(text, name, machine, log);
  if (!parsed) return Fail(std::move(parsed).error().Within(name));
  return parsed;
}

Result<model::Tuning> LoadTuning(const std::string& path, const TunedMachine& machine,
                                 const LogSink& log) {
  MIRAGE_TRY_ASSIGN(const std::unique_ptr<platform::File> file, platform::File::Open(path));
  if (file->bytes() > kMostBytes)
    return Fail(Code::kCorrupt,
                path + ": it has " + std::to_string(file->bytes()) + " bytes, which is no tuning");
  std::string text(file->bytes(), '\0');
  MIRAGE_TRY(file->ReadAt(0, std::as_writable_bytes(std::span(text))));
  return ParseTuning(text, path, machine, log);
}

}  // namespace mirage::session
