// SPDX-License-Identifier: Apache-2.0

#include "tensor/dtype.h"

#include <array>
#include <string>

#include "base/checked.h"

namespace mirage::tensor {
namespace {

constexpr uint32_t kTypeIds = 43;  // one past the greatest id of the table

constexpr std::array<int8_t, kTypeIds> MakeRowById() {
  std::array<int8_t, kTypeIds> row_by_id{};
  for (int8_t& row : row_by_id) row = -1;
  int8_t row = 0;
  for (const DTypeInfo& info : kDTypes) row_by_id[static_cast<uint8_t>(info.dtype)] = row++;
  return row_by_id;
}

constexpr std::array<int8_t, kTypeIds> kRowById = MakeRowById();

struct RemovedDType {
  uint32_t id;
  const char* name;
};

constexpr RemovedDType kRemoved[] = {
    {4, "Q4_2"},      {5, "Q4_3"},        {31, "Q4_0_4_4"},   {32, "Q4_0_4_8"},
    {33, "Q4_0_8_8"}, {36, "IQ4_NL_4_4"}, {37, "IQ4_NL_4_8"}, {38, "IQ4_NL_8_8"},
};

}  // namespace

const DTypeInfo* FindDType(uint32_t ggml_id) {
  if (ggml_id >= kTypeIds || kRowById[ggml_id] < 0) return nullptr;
  return &kDTypes[kRowById[ggml_id]];
}

const char* FindRemovedDType(uint32_t ggml_id) {
  for (const RemovedDType& removed : kRemoved)
    if (removed.id == ggml_id) return removed.name;
  return nullptr;
}

const DTypeInfo& Info(DType dtype) { return kDTypes[kRowById[static_cast<uint8_t>(dtype)]]; }

Result<uint64_t> RowBytes(DType dtype, int64_t cols) {
  const DTypeInfo& info = Info(dtype);
  if (cols <= 0 || cols % info.block_elements != 0)
    return Fail(Code::kCorrupt, "a row of " + std::to_string(cols) +
                                    " elements is not a whole number of " + info.name +
                                    " blocks of " + std::to_string(info.block_elements));
  const auto bytes =
      CheckedMul<uint64_t>(static_cast<uint64_t>(cols) / info.block_elements, info.block_bytes);
  if (!bytes)
    return Fail(Code::kCorrupt, "a row of " + std::to_string(cols) + " elements of " + info.name +
                                    " passes 2^64 bytes");
  return *bytes;
}

}  // namespace mirage::tensor
