// SPDX-License-Identifier: Apache-2.0

#include "tools/tuning_place.h"

#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "tools/failure.h"

namespace mirage::cli {
namespace {

// What the variable says; relative paths are to be ignored, as the XDG specification has it.
std::filesystem::path AbsoluteFrom(const char* variable) {
  const char* const value = std::getenv(variable);
  const std::filesystem::path path = value != nullptr ? value : "";
  return path.is_absolute() ? path : std::filesystem::path();
}

}  // namespace

std::string DefaultTuningPath() {
  std::filesystem::path cache = AbsoluteFrom("XDG_CACHE_HOME");
  if (cache.empty()) {
    const std::filesystem::path home = AbsoluteFrom("HOME");
    if (home.empty()) return "";
    cache = home / ".cache";
  }
  return (cache / "mirage" / "tuning.json").string();
}

std::string DefaultTuningIfThere() {
  const std::string path = DefaultTuningPath();
  std::error_code ignored;
  return !path.empty() && std::filesystem::exists(path, ignored) ? path : "";
}

std::string MakeDefaultTuningPlace() {
  const std::string path = DefaultTuningPath();
  if (path.empty())
    throw Failure(kBadInput, "neither XDG_CACHE_HOME nor HOME names a folder: give --out FILE");
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error)
    throw Failure(
        kOther, fmt::format("{}: the folder cannot be made: {}", folder.string(), error.message()));
  return path;
}

}  // namespace mirage::cli
