// SPDX-License-Identifier: Apache-2.0
#pragma once

// TileUnit: AMX's tiles in plain C++, as far as the kernels use them, for tests on machines without
// them. What a processor would answer with a fault ends the program with a message. Intel 64 and
// IA-32 Architectures Software Developer's Manual, volume 1, chapter 18, and the instructions'
// pages in volume 2.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace mirage::kernels {
namespace {  // some of the files that include it are compiled for processors not all tests run on

class TileUnit {
 public:
  // LDTILECFG: palette 1 is eight tiles of up to 16 rows of up to 64 bytes. All of them become
  // zero.
  void LoadConfig(const void* config) {
    uint8_t bytes[64];
    std::memcpy(bytes, config, sizeof bytes);
    Release();
    if (bytes[0] == 0) return;  // the initial state, as TILERELEASE leaves it
    Require(bytes[0] == 1, "LDTILECFG: a palette that no processor has");
    Require(bytes[1] == 0, "LDTILECFG: a start row, with which no product begins");
    for (int i = 2; i < 16; ++i) Require(bytes[i] == 0, "LDTILECFG: a reserved byte is set");
    for (int t = 0; t < 16; ++t) {
      uint16_t row_bytes;
      std::memcpy(&row_bytes, bytes + 16 + 2 * t, sizeof row_bytes);
      const uint8_t rows = bytes[48 + t];
      if (t >= kTiles) {
        Require(rows == 0 && row_bytes == 0, "LDTILECFG: a ninth tile");
        continue;
      }
      Require(rows <= kMostRows, "LDTILECFG: more than 16 rows");
      Require(row_bytes <= kMostRowBytes, "LDTILECFG: rows of more than 64 bytes");
      Require((rows == 0) == (row_bytes == 0), "LDTILECFG: rows without bytes, or bytes without");
      tiles_[t].rows = rows;
      tiles_[t].row_bytes = row_bytes;
    }
    configured_ = true;
  }

  // TILERELEASE
  void Release() {
    for (Tile& tile : tiles_) tile = {};
    configured_ = false;
  }

  // TILEZERO
  void Zero(int t) { std::memset(Configured(t).bytes, 0, sizeof Tile::bytes); }

  // TILELOADD: rows `stride` bytes apart.
  void Load(int t, const void* base, int64_t stride) {
    Tile& tile = Configured(t);
    Zero(t);
    for (int row = 0; row < tile.rows; ++row)
      std::memcpy(tile.bytes[row], static_cast<const uint8_t*>(base) + row * stride,
                  static_cast<size_t>(tile.row_bytes));
  }

  // TILESTORED
  void Store(int t, void* base, int64_t stride) {
    const Tile& tile = Configured(t);
    for (int row = 0; row < tile.rows; ++row)
      std::memcpy(static_cast<uint8_t*>(base) + row * stride, tile.bytes[row],
                  static_cast<size_t>(tile.row_bytes));
  }

  // TDPBSSD: adds to each 32-bit element (row, column) of `sum` the products of row `row` of `a`
  // with the groups of four bytes `column` of `b`'s rows, bytes signed.
  void AddProduct(int sum, int a, int b) {
    Require(sum != a && sum != b && a != b, "TDPBSSD: a tile is used twice");
    Tile& c = Configured(sum);
    const Tile& left = Configured(a);
    const Tile& right = Configured(b);
    Require(c.rows == left.rows, "TDPBSSD: the sum and the first tile differ in rows");
    Require(c.row_bytes == right.row_bytes, "TDPBSSD: the sum and the second tile differ in width");
    Require(left.row_bytes == 4 * right.rows, "TDPBSSD: the tiles do not fit to each other");
    Require(c.row_bytes % 4 == 0, "TDPBSSD: a row ends within an element");
    for (int row = 0; row < c.rows; ++row)
      for (int column = 0; column < c.row_bytes / 4; ++column) {
        int32_t element;
        std::memcpy(&element, c.bytes[row] + 4 * column, sizeof element);
        for (int k = 0; k < left.row_bytes; ++k)
          element += static_cast<int8_t>(left.bytes[row][k]) *
                     static_cast<int8_t>(right.bytes[k / 4][4 * column + k % 4]);
        std::memcpy(c.bytes[row] + 4 * column, &element, sizeof element);
      }
    ++products_;
  }

  [[nodiscard]] bool configured() const { return configured_; }
  [[nodiscard]] int64_t products() const { return products_; }

 private:
  static constexpr int kTiles = 8;
  static constexpr int kMostRows = 16;
  static constexpr int kMostRowBytes = 64;

  struct Tile {
    int rows = 0;
    int row_bytes = 0;
    uint8_t bytes[kMostRows][kMostRowBytes] = {};
  };

  static void Require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "%s\n", what);
    std::abort();
  }

  Tile& Configured(int t) {
    Require(configured_, "a tile is used without a configuration");
    Require(t >= 0 && t < kTiles, "there are eight tiles");
    Require(tiles_[t].rows > 0, "a tile is used that the configuration leaves out");
    return tiles_[t];
  }

  Tile tiles_[kTiles];
  bool configured_ = false;
  int64_t products_ = 0;
};

}  // namespace
}  // namespace mirage::kernels
