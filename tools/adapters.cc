// SPDX-License-Identifier: Apache-2.0

#include "tools/adapters.h"

#include <charconv>
#include <filesystem>
#include <system_error>

namespace mirage::cli {
namespace {

// What follows the last '=' is the scale if it is a number; else the sign is the file's.
mirage_adapter_use SplitScale(std::string* path) {
  mirage_adapter_use use{nullptr, 1.0F, 0};
  const size_t sign = path->rfind('=');
  if (sign == std::string::npos) return use;
  const char* const end = path->data() + path->size();
  float scale = 0;
  const auto [rest, error] = std::from_chars(path->data() + sign + 1, end, scale);
  if (error != std::errc() || rest != end) return use;
  use.scale = scale;
  path->resize(sign);
  return use;
}

}  // namespace

void LoraFlags::Add(CLI::App& command) {
  command
      .add_option("--lora", lora,
                  "FILE or FILE=SCALE, a LoRA adapter of the model to answer with; may be given "
                  "several times")
      ->allow_extra_args(false);
}

// As many bytes as the files, and some to compute with and to read them. One that cannot be read
// is complained about when it is loaded.
uint64_t LoraFlags::Bytes() const {
  constexpr uint64_t kBeside = 4 << 20;
  uint64_t bytes = 0;
  for (std::string path : lora) {
    static_cast<void>(SplitScale(&path));
    std::error_code error;
    const uintmax_t of_file = std::filesystem::file_size(path, error);
    bytes += kBeside + (error ? 0 : of_file);
  }
  return bytes;
}

Adapters::Adapters(mirage_model* model, const LoraFlags& flags) {
  for (std::string path : flags.lora) {
    mirage_adapter_use use = SplitScale(&path);
    loaded_.push_back(LoadAdapter(model, path));
    use.adapter = loaded_.back().get();
    uses_.push_back(use);
  }
}

void Adapters::UseIn(mirage_generation_options* options) const {
  options->adapters = uses_.data();
  options->adapter_count = uses_.size();
}

}  // namespace mirage::cli
