// SPDX-License-Identifier: Apache-2.0

#include "tensor/packed_rows.h"

#include <cstring>
#include <string>

#include "base/checked.h"

namespace mirage::tensor {
namespace {

// A run of equal units in a row's block. The group's block holds, for each unit in turn, that unit
// of rows 0..7.
struct Field {
  uint8_t unit_bytes;  // 1, 2 or 4; 0 ends the list
  uint8_t count;
  // The 32 high bits of Q5_0 and Q5_1, bit j for element j, are stored transposed: bit k of byte i
  // is element 4k + i, so that a shift and a mask give the bits of four columns of 8 rows.
  bool transposed_bits = false;
};

struct Layout {
  DType dtype;
  Field fields[5];
};

constexpr Layout kLayouts[] = {
    {DType::kF32, {{4, 1}}},
    {DType::kF16, {{2, 1}}},
    {DType::kBF16, {{2, 1}}},
    {DType::kQ4_0, {{2, 1}, {4, 4}}},                    // d; qs
    {DType::kQ4_1, {{2, 2}, {4, 4}}},                    // d, m; qs
    {DType::kQ5_0, {{2, 1}, {4, 1, true}, {4, 4}}},      // d; qh; qs
    {DType::kQ5_1, {{2, 2}, {4, 1, true}, {4, 4}}},      // d, m; qh; qs
    {DType::kQ8_0, {{2, 1}, {4, 8}}},                    // d; qs
    {DType::kQ2_K, {{4, 4}, {4, 16}, {2, 2}}},           // scales; qs; d, dmin
    {DType::kQ3_K, {{4, 8}, {4, 16}, {4, 3}, {2, 1}}},   // hmask; qs; scales; d
    {DType::kQ4_K, {{2, 2}, {4, 3}, {4, 32}}},           // d, dmin; scales; qs
    {DType::kQ5_K, {{2, 2}, {4, 3}, {4, 8}, {4, 32}}},   // d, dmin; scales; qh; qs
    {DType::kQ6_K, {{4, 32}, {4, 16}, {4, 4}, {2, 1}}},  // ql; qh; scales; d
    {DType::kIQ4_NL, {{2, 1}, {4, 4}}},                  // d; qs
    {DType::kIQ4_XS, {{2, 2}, {4, 1}, {4, 32}}},         // d, scales_h; scales_l; qs
    {DType::kMXFP4, {{1, 1}, {4, 4}}},                   // e; qs
};

constexpr uint32_t BlockBytes(const Layout& layout) {
  uint32_t bytes = 0;
  for (const Field& field : layout.fields) bytes += field.unit_bytes * field.count;
  return bytes;
}

constexpr bool LayoutsCoverTheirBlocks() {
  for (const Layout& layout : kLayouts) {
    bool found = false;
    for (const DTypeInfo& info : kDTypes)
      found |= info.dtype == layout.dtype && info.block_bytes == BlockBytes(layout);
    if (!found) return false;
  }
  return true;
}
static_assert(LayoutsCoverTheirBlocks());

const Layout* FindLayout(DType dtype) {
  for (const Layout& layout : kLayouts)
    if (layout.dtype == dtype) return &layout;
  return nullptr;
}

// Changes places: bits in `mask` with those `distance` above.
constexpr uint32_t Swap(uint32_t bits, uint32_t mask, int distance) {
  const uint32_t differ = (bits ^ (bits >> distance)) & mask;
  return bits ^ differ ^ (differ << distance);
}
// Bits of even places to the low half, the others to the high half, and back (H. S. Warren,
// Hacker's Delight, 2nd edition, section 7-2).
constexpr uint32_t Unshuffle(uint32_t bits) {
  bits = Swap(Swap(bits, 0x22222222, 1), 0x0C0C0C0C, 2);
  return Swap(Swap(bits, 0x00F000F0, 4), 0x0000FF00, 8);
}
constexpr uint32_t Shuffle(uint32_t bits) {
  bits = Swap(Swap(bits, 0x0000FF00, 8), 0x00F000F0, 4);
  return Swap(Swap(bits, 0x0C0C0C0C, 2), 0x22222222, 1);
}

// Bit 4k + i to bit 8i + k, and back: the place's five bits turn by two.
constexpr uint32_t TransposeBits(uint32_t bits) { return Unshuffle(Unshuffle(bits)); }
constexpr uint32_t UntransposeBits(uint32_t bits) { return Shuffle(Shuffle(bits)); }

constexpr bool BitsGoWhereTheyBelong() {
  for (int k = 0; k < 8; ++k)
    for (int i = 0; i < 4; ++i)
      if (TransposeBits(1u << (4 * k + i)) != 1u << (8 * i + k) ||
          UntransposeBits(1u << (8 * i + k)) != 1u << (4 * k + i))
        return false;
  return true;
}
static_assert(BitsGoWhereTheyBelong());

enum class Direction { kPack, kUnpack };

// Four units of 4 bytes: a vector that every target has in a register.
using Quad = uint32_t __attribute__((vector_size(16)));

// Row i of four becomes column i.
void Transpose(Quad (&quads)[4]) {
  const Quad low01 = __builtin_shufflevector(quads[0], quads[1], 0, 4, 1, 5);
  const Quad high01 = __builtin_shufflevector(quads[0], quads[1], 2, 6, 3, 7);
  const Quad low23 = __builtin_shufflevector(quads[2], quads[3], 0, 4, 1, 5);
  const Quad high23 = __builtin_shufflevector(quads[2], quads[3], 2, 6, 3, 7);
  quads[0] = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
  quads[1] = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
  quads[2] = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
  quads[3] = __builtin_shufflevector(high01, high23, 2, 3, 6, 7);
}

// Four units of 4 bytes of four rows: from rows that are row_bytes apart to units that are 8 rows
// apart, or back.
template <Direction kDirection>
void MoveQuads(std::byte* packed, std::byte* rows, uint64_t row_bytes) {
  constexpr uint64_t kUnitStride = uint64_t{kRowGroup} * 4;
  const auto place = [&](bool in_rows, uint64_t i) {
    return in_rows ? rows + i * row_bytes : packed + i * kUnitStride;
  };
  constexpr bool kFromRows = kDirection == Direction::kPack;
  Quad quads[4];
  for (uint64_t i = 0; i < 4; ++i) std::memcpy(&quads[i], place(kFromRows, i), sizeof(Quad));
  Transpose(quads);
  for (uint64_t i = 0; i < 4; ++i) std::memcpy(place(!kFromRows, i), &quads[i], sizeof(Quad));
}

// Moves the units of one field between a group's block and its 8 row blocks, row_bytes apart.
template <Direction kDirection, int kUnit>
void MoveUnits(int count, std::byte* packed, std::byte* rows, uint64_t row_bytes) {
  int unit = 0;
  for (; kUnit == 4 && unit + 4 <= count; unit += 4)
    for (uint64_t row = 0; row < kRowGroup; row += 4)
      MoveQuads<kDirection>(packed + (static_cast<uint64_t>(unit) * kRowGroup + row) * kUnit,
                            rows + row * row_bytes + static_cast<uint64_t>(unit) * kUnit,
                            row_bytes);
  for (; unit < count; ++unit) {
    for (int row = 0; row < kRowGroup; ++row) {
      std::byte* plain = rows + static_cast<uint64_t>(row) * row_bytes + unit * kUnit;
      std::byte* mixed = packed + (unit * kRowGroup + row) * kUnit;
      if constexpr (kDirection == Direction::kPack)
        std::memcpy(mixed, plain, kUnit);
      else
        std::memcpy(plain, mixed, kUnit);
    }
  }
}

template <Direction kDirection>
void MoveBits(std::byte* packed, std::byte* rows, uint64_t row_bytes) {
  for (int row = 0; row < kRowGroup; ++row) {
    std::byte* plain = rows + static_cast<uint64_t>(row) * row_bytes;
    std::byte* mixed = packed + row * 4;
    uint32_t bits;
    if constexpr (kDirection == Direction::kPack) {
      std::memcpy(&bits, plain, 4);
      bits = TransposeBits(bits);
      std::memcpy(mixed, &bits, 4);
    } else {
      std::memcpy(&bits, mixed, 4);
      bits = UntransposeBits(bits);
      std::memcpy(plain, &bits, 4);
    }
  }
}

template <Direction kDirection>
void MoveGroup(const Layout& layout, uint64_t row_bytes, std::byte* packed, std::byte* rows) {
  const uint64_t block_bytes = BlockBytes(layout);
  for (uint64_t offset = 0; offset < row_bytes; offset += block_bytes) {
    std::byte* group_field = packed + offset * kRowGroup;
    std::byte* row_field = rows + offset;
    for (const Field& field : layout.fields) {
      if (field.transposed_bits) {
        MoveBits<kDirection>(group_field, row_field, row_bytes);
      } else if (field.unit_bytes == 1) {
        MoveUnits<kDirection, 1>(field.count, group_field, row_field, row_bytes);
      } else if (field.unit_bytes == 2) {
        MoveUnits<kDirection, 2>(field.count, group_field, row_field, row_bytes);
      } else if (field.unit_bytes == 4) {
        MoveUnits<kDirection, 4>(field.count, group_field, row_field, row_bytes);
      }
      group_field += field.unit_bytes * field.count * kRowGroup;
      row_field += field.unit_bytes * field.count;
    }
  }
}

// The two directions share the walk; whichever side is only read is never written through.
template <Direction kDirection>
Status Move(DType dtype, int64_t rows, int64_t cols, std::span<const std::byte> src,
            std::span<std::byte> dst) {
  const Layout* layout = FindLayout(dtype);
  if (layout == nullptr)
    return Fail(Code::kUnsupported,
                std::string("no packed layout for tensors of type ") + std::string(Name(dtype)));
  MIRAGE_TRY_ASSIGN(const uint64_t row_bytes, RowBytes(dtype, cols));
  const auto bytes = CheckedMul<uint64_t>(row_bytes, rows < 0 ? 0 : static_cast<uint64_t>(rows));
  if (rows < 0 || !bytes || src.size() != *bytes || dst.size() != *bytes)
    return Fail(Code::kInvalidArgument, "packing " + std::to_string(rows) + " rows of " +
                                            std::to_string(row_bytes) + " bytes from " +
                                            std::to_string(src.size()) + " bytes to " +
                                            std::to_string(dst.size()));

  const uint64_t group_bytes = row_bytes * kRowGroup;
  const uint64_t groups = static_cast<uint64_t>(rows) / kRowGroup;
  for (uint64_t group = 0; group < groups; ++group) {
    auto* from = const_cast<std::byte*>(src.data()) + group * group_bytes;
    std::byte* to = dst.data() + group * group_bytes;
    if constexpr (kDirection == Direction::kPack)
      MoveGroup<kDirection>(*layout, row_bytes, to, from);
    else
      MoveGroup<kDirection>(*layout, row_bytes, from, to);
  }
  const uint64_t plain = groups * group_bytes;
  if (plain < src.size()) std::memcpy(dst.data() + plain, src.data() + plain, src.size() - plain);
  return {};
}

}  // namespace

bool IsPackable(DType dtype) { return FindLayout(dtype) != nullptr; }

bool HasFastKernel(DType dtype) { return IsPackable(dtype); }

Status PackRows(DType dtype, int64_t rows, int64_t cols, std::span<const std::byte> src,
                std::span<std::byte> dst) {
  return Move<Direction::kPack>(dtype, rows, cols, src, dst);
}

Status UnpackRows(DType dtype, int64_t rows, int64_t cols, std::span<const std::byte> src,
                  std::span<std::byte> dst) {
  return Move<Direction::kUnpack>(dtype, rows, cols, src, dst);
}

}  // namespace mirage::tensor
