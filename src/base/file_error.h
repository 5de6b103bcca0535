// SPDX-License-Identifier: Apache-2.0
#pragma once

// Errors about a key or a tensor of a model file, worded once: "key 'llama.block_count' is 0, ...".
//
// They carry the part they are about, so that whoever holds the file can say where it stands
// (format::ModelFile::Locate); until then the message names the part alone.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mirage {

[[nodiscard]] inline tl::unexpected<Error> AboutPart(Code code, std::string message,
                                                     FilePart part) {
  return tl::unexpected<Error>(
      Error{code, std::move(message), 0, 0, std::make_shared<const FilePart>(std::move(part))});
}

// The file as a whole.
[[nodiscard]] inline tl::unexpected<Error> FileError(Code code, std::string message) {
  return AboutPart(code, std::move(message), {FilePart::Kind::kFile, "", 0});
}

// "key 'K' <problem>". `element` is where to look in an array; the message does not say it.
[[nodiscard]] inline tl::unexpected<Error> KeyError(Code code, std::string_view key,
                                                    std::string_view problem,
                                                    uint64_t element = 0) {
  return AboutPart(code, "key '" + std::string(key) + "' " + std::string(problem),
                   {FilePart::Kind::kKey, std::string(key), element});
}

// "key 'K'[element] <problem>".
[[nodiscard]] inline tl::unexpected<Error> ElementError(Code code, std::string_view key,
                                                        uint64_t element,
                                                        std::string_view problem) {
  return AboutPart(
      code,
      "key '" + std::string(key) + "'[" + std::to_string(element) + "] " + std::string(problem),
      {FilePart::Kind::kKey, std::string(key), element});
}

// "tensor 'T' <problem>". `byte` is where to look in its data.
[[nodiscard]] inline tl::unexpected<Error> TensorError(Code code, std::string_view tensor,
                                                       std::string_view problem,
                                                       uint64_t byte = 0) {
  return AboutPart(code, "tensor '" + std::string(tensor) + "' " + std::string(problem),
                   {FilePart::Kind::kTensor, std::string(tensor), byte});
}

}  // namespace mirage
