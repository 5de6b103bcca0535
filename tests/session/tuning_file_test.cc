// SPDX-License-Identifier: Apache-2.0
#include "session/tuning_file.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace mirage::session {
namespace {

using nlohmann::json;

const TunedMachine kMachine = {"Some \"CPU\"", "avx2", 16};

model::MeasuredTuning Measured() {
  model::MeasuredTuning measured;
  measured.tuning = {{.decode = 6, .prefill = 12}, {.tasks_per_thread = 8, .panel_bytes = 1 << 20}};
  measured.trials.push_back({model::TuningTrial::Pass::kDecode, 6, {}, 41.5});
  measured.trials.push_back({model::TuningTrial::Pass::kPrefill, 12, {}, 900});
  return measured;
}

// What is said of a tuning that is not used.
struct Said {
  std::string message;
  LogSink log{[this](LogLevel, std::string_view, std::string_view text) { message = text; },
              LogLevel::kWarning};
};

bool IsDefault(const model::Tuning& tuning) {
  const platform::TaskCut cut;
  return tuning.threads.decode == 0 && tuning.threads.prefill == 0 &&
         tuning.cut.tasks_per_thread == cut.tasks_per_thread &&
         tuning.cut.panel_bytes == cut.panel_bytes;
}

TEST(TuningFile, IsReadAsItWasWritten) {
  Said said;
  const auto read = ParseTuning(TuningText(kMachine, Measured()), "t.json", kMachine, said.log);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->threads.decode, 6);
  EXPECT_EQ(read->threads.prefill, 12);
  EXPECT_EQ(read->cut.tasks_per_thread, 8);
  EXPECT_EQ(read->cut.panel_bytes, 1 << 20);
  EXPECT_EQ(said.message, "");
}

TEST(TuningFile, OfAnotherMachineIsNotUsedAndSaysWhatDiffers) {
  const std::string text = TuningText(kMachine, Measured());
  const std::pair<TunedMachine, const char*> others[] = {
      {{"Another", "avx2", 16}, "measured on 'Some \"CPU\"', and this is 'Another'"},
      {{kMachine.cpu, "generic", 16}, "kernels avx2, and these are generic"},
      {{kMachine.cpu, "avx2", 4}, "16 processors, and here are 4"},
  };
  for (const auto& [machine, message] : others) {
    Said said;
    const auto read = ParseTuning(text, "t.json", machine, said.log);
    ASSERT_TRUE(read);
    EXPECT_TRUE(IsDefault(*read));
    EXPECT_NE(said.message.find(message), std::string::npos) << said.message;
    EXPECT_TRUE(said.message.starts_with("t.json: ")) << said.message;
  }
}

TEST(TuningFile, OfAnotherVersionIsNotUsedWhateverElseIsInIt) {
  Said said;
  const auto read = ParseTuning(R"({"format": "mirage-tuning", "version": 2, "new": []})", "t.json",
                                kMachine, said.log);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_TRUE(IsDefault(*read));
  EXPECT_NE(said.message.find("version 2"), std::string::npos) << said.message;
}

TEST(TuningFile, NamesTheKeyThatCannotBeRight) {
  const std::pair<json::json_pointer, json> values[] = {
      {"/format"_json_pointer, "other"},
      {"/version"_json_pointer, "1"},
      {"/version"_json_pointer, 1.5},
      {"/machine"_json_pointer, 3},
      {"/machine/cpu"_json_pointer, 3},
      {"/machine/kernels"_json_pointer, nullptr},
      {"/machine/cpus"_json_pointer, 0},
      {"/machine/more"_json_pointer, 0},
      {"/threads/decode"_json_pointer, 0},
      {"/threads/decode"_json_pointer, -1},
      {"/threads/prefill"_json_pointer, 1025},
      {"/threads/prefill"_json_pointer, 2.5},
      {"/tasks/per_thread"_json_pointer, "4"},
      {"/tasks/panel_bytes"_json_pointer, 1e30},
      {"/unknown"_json_pointer, 1},
  };
  for (const auto& [place, value] : values) {
    json changed = json::parse(TuningText(kMachine, Measured()));
    changed[place] = value;
    const auto read = ParseTuning(changed.dump(), "t.json", kMachine, {});
    ASSERT_FALSE(read) << changed;
    EXPECT_EQ(read.error().code, Code::kCorrupt);
    EXPECT_TRUE(read.error().message.starts_with("t.json: ")) << read.error().message;
    std::string key = place.to_string().substr(1);
    if (const size_t slash = key.find('/'); slash != std::string::npos) key[slash] = '.';
    EXPECT_NE(read.error().message.find("'" + key + "'"), std::string::npos)
        << read.error().message;
  }
}

TEST(TuningFile, NamesTheKeyThatIsMissing) {
  for (const char* key : {"format", "version", "machine", "threads", "tasks"}) {
    json changed = json::parse(TuningText(kMachine, Measured()));
    changed.erase(key);
    const auto read = ParseTuning(changed.dump(), "t.json", kMachine, {});
    ASSERT_FALSE(read) << key;
    EXPECT_NE(read.error().message.find(std::string("'") + key + "'"), std::string::npos)
        << read.error().message;
  }
}

TEST(TuningFile, ThatIsNoJsonObjectIsCorrupt) {
  for (const char* text : {"", "{", "[]", "3", "null", "{\"format\": \"mirage-tuning\"} x"}) {
    const auto read = ParseTuning(text, "t.json", kMachine, {});
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().code, Code::kCorrupt);
  }
  EXPECT_EQ(LoadTuning("/nowhere/t.json", kMachine, {}).error().code, Code::kNotFound);
}

}  // namespace
}  // namespace mirage::session
