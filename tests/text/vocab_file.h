// SPDX-License-Identifier: Apache-2.0
#pragma once

// A vocabulary in the flat file that tests/text/vocab_file.py writes: records of u32 key bytes,
// key, u64 value bytes, value, all little-endian. It lets the differential test hand over
// vocabularies without a model file.

#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "text/vocab.h"

namespace mirage::text {

class VocabFileReader {
 public:
  static VocabData Read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("cannot open " + path);
    const std::string bytes(std::istreambuf_iterator<char>(file), {});
    VocabData data;
    std::string_view rest = bytes;
    while (!rest.empty()) {
      const std::string_view key = Take(&rest, Number<uint32_t>(&rest));
      SetField(key, Take(&rest, Number<uint64_t>(&rest)), &data);
    }
    return data;
  }

 private:
  static std::string_view Take(std::string_view* rest, size_t bytes) {
    if (bytes > rest->size()) throw std::runtime_error("vocabulary file ends early");
    const std::string_view taken = rest->substr(0, bytes);
    rest->remove_prefix(bytes);
    return taken;
  }
  template <typename T>
  static T Number(std::string_view* rest) {
    T value;
    std::memcpy(&value, Take(rest, sizeof value).data(), sizeof value);
    return value;
  }

  static StringTable Strings(std::string_view value) {
    StringTable table;
    while (!value.empty()) {
      const auto bytes = Number<uint32_t>(&value);
      if (!table.Append(Take(&value, bytes))) throw std::runtime_error("string table too big");
    }
    return table;
  }
  template <typename T>
  static std::vector<T> Array(std::string_view value) {
    std::vector<T> array(value.size() / sizeof(T));
    std::memcpy(array.data(), value.data(), array.size() * sizeof(T));
    return array;
  }

  static void SetField(std::string_view key, std::string_view value, VocabData* data) {
    const auto id = [&] { return static_cast<uint32_t>(std::stoull(std::string(value))); };
    const auto flag = [&] { return value == "1"; };
    if (key == "model")
      data->model = value;
    else if (key == "pre")
      data->pre = value;
    else if (key == "name")
      data->model_name = value;
    else if (key == "tokens")
      data->tokens = Strings(value);
    else if (key == "merges")
      data->merges = Strings(value);
    else if (key == "scores")
      data->scores = Array<float>(value);
    else if (key == "token_type")
      data->types = Array<uint8_t>(value);
    else if (key == "precompiled_charsmap")
      data->precompiled_charsmap = Array<std::byte>(value);
    else if (key == "bos_token_id")
      data->bos = id();
    else if (key == "eos_token_id")
      data->eos = id();
    else if (key == "unknown_token_id")
      data->unk = id();
    else if (key == "seperator_token_id")
      data->sep = id();
    else if (key == "padding_token_id")
      data->pad = id();
    else if (key == "cls_token_id")
      data->cls = id();
    else if (key == "mask_token_id")
      data->mask = id();
    else if (key == "add_bos_token")
      data->add_bos = flag();
    else if (key == "add_eos_token")
      data->add_eos = flag();
    else if (key == "add_sep_token")
      data->add_sep = flag();
    else if (key == "add_space_prefix")
      data->add_space_prefix = flag();
    else if (key == "remove_extra_whitespaces")
      data->remove_extra_whitespaces = flag();
    else if (key == "normalizer.lowercase")
      data->lowercase = flag();
    else if (key == "normalizer.strip_accents")
      data->strip_accents = flag();
    else
      throw std::runtime_error("unknown key " + std::string(key));
  }
};

}  // namespace mirage::text
