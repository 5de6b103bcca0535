// SPDX-License-Identifier: Apache-2.0
#include "model/adapter.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "base/checked.h"
#include "format/fingerprint.h"
#include "model/row_cuts.h"
#include "model/weight_source.h"
#include "tensor/dequantize.h"
#include "tensor/packed_rows.h"

namespace mirage::model {

namespace {

using tensor::DType;

// Rows that are read and packed at once.
constexpr int64_t kRowsAtOnce = 16;

// The type in which a matrix of the file is kept.
DType KeptAs(DType dtype) { return kernels::ReadsQuantized(dtype) ? DType::kF32 : dtype; }

int64_t PaddedRank(int64_t rank) {
  return static_cast<int64_t>(RoundUp(static_cast<uint64_t>(rank), kernels::kRowGroup));
}

struct Member {
  Projection projection;
  size_t index;
};

Member MemberOf(Matrix matrix) {
  switch (matrix) {
    case Matrix::kQ:
      return {Projection::kQkv, 0};
    case Matrix::kK:
      return {Projection::kQkv, 1};
    case Matrix::kV:
      return {Projection::kQkv, 2};
    case Matrix::kO:
      return {Projection::kO, 0};
    case Matrix::kGate:
      return {Projection::kGateUp, 0};
    case Matrix::kUp:
      return {Projection::kGateUp, 1};
    case Matrix::kDown:
    case Matrix::kCount:
      break;
  }
  return {Projection::kDown, 0};
}

// Reads rows of a matrix of the file and packs them.
class Packer {
 public:
  // `widest`: columns of any matrix to come.
  Packer(const format::ModelFile& file, int64_t widest)
      : file_(file), raw_(BufferBytes(widest) / 2), floats_(BufferBytes(widest) / 2) {}

  [[nodiscard]] static uint64_t BufferBytes(int64_t widest) {
    return static_cast<uint64_t>(kRowsAtOnce * widest) * 2 * sizeof(float);
  }

  // dst: RoundUp(rows, 8) packed rows where `padded`, those past the end zero; else `rows`.
  Status Pack(const TensorSlice& rows, bool padded, std::byte* dst) {
    const format::TensorInfo& tensor = file_.tensors()[rows.tensor];
    const int64_t cols = tensor.shape.cols();
    const DType kept = KeptAs(tensor.dtype);
    MIRAGE_TRY_ASSIGN(const uint64_t file_bytes, tensor::RowBytes(tensor.dtype, cols));
    MIRAGE_TRY_ASSIGN(const uint64_t kept_bytes, tensor::RowBytes(kept, cols));
    for (int64_t done = 0; done < rows.rows; done += kRowsAtOnce) {
      const int64_t count = std::min(kRowsAtOnce, rows.rows - done);
      const auto raw = std::span(raw_).first(static_cast<uint64_t>(count) * file_bytes);
      MIRAGE_TRY(ReadWeightRows(file_, {rows.tensor, rows.row0 + done, count}, file_bytes, raw));
      const int64_t packed = padded ? PaddedRank(count) : count;
      const auto bytes = static_cast<uint64_t>(packed) * kept_bytes;
      const auto plain = std::span(floats_).first(bytes);
      Widen(tensor.dtype, raw, file_bytes, kept_bytes, cols, count, plain);
      MIRAGE_TRY(tensor::PackRows(kept, packed, cols, plain, {dst, bytes}));
      dst += bytes;
    }
    return {};
  }

 private:
  // `count` rows as they are kept, and zeros to the end of `plain`.
  static void Widen(DType dtype, std::span<const std::byte> raw, uint64_t file_bytes,
                    uint64_t kept_bytes, int64_t cols, int64_t count, std::span<std::byte> plain) {
    if (KeptAs(dtype) == dtype) {
      std::memcpy(plain.data(), raw.data(), raw.size());
    } else {
      for (int64_t row = 0; row < count; ++row)
        tensor::DequantizeRow(
            dtype, raw.data() + static_cast<uint64_t>(row) * file_bytes,
            reinterpret_cast<float*>(plain.data() + static_cast<uint64_t>(row) * kept_bytes), cols);
    }
    const auto rest = plain.subspan(static_cast<uint64_t>(count) * kept_bytes);
    std::fill(rest.begin(), rest.end(), std::byte{0});
  }

  const format::ModelFile& file_;
  std::vector<std::byte> raw_;
  std::vector<std::byte> floats_;
};

// Scoring adapts the head block by block, and packed rows can be taken from a whole group on.
Status CheckHeadCuts(const ModelLayout& layout) {
  for (uint32_t i = 0; i < layout.head.region_count; ++i)
    if (layout.regions[layout.head.first_region + i].pieces[0].row0 % kernels::kRowGroup != 0)
      return Fail(Code::kUnsupported, "a head of rows this long is not adapted by this build");
  return {};
}

}  // namespace

// Where everything is going to lie.
struct Adapter::Room {
  struct Place {
    uint64_t a = 0;
    uint64_t b = 0;
  };
  std::vector<Place> of_piece;  // offsets in the block
  uint64_t block_bytes = 0;     // whole chunks
  uint64_t table_bytes = 0;
  int64_t widest = 0;  // columns
  int32_t rank = 0;
};

bool LowRankGroup::changes_anything() const {
  return std::any_of(members.begin(), members.end(), [](const LowRank& m) { return m.rank > 0; });
}

const LowRankGroup& Adapter::Of(Projection projection, int32_t layer) const {
  if (projection == Projection::kHead) return head_;
  return layers_[static_cast<size_t>(layer)][static_cast<size_t>(projection)];
}

LowRank& Adapter::At(const AdapterPiece& piece) {
  if (piece.layer == static_cast<int32_t>(layers_.size())) return head_.members[0];
  const Member member = MemberOf(piece.matrix);
  return layers_[static_cast<size_t>(piece.layer)][static_cast<size_t>(member.projection)]
      .members[member.index];
}

// Scratch first, then matrix after matrix; several pieces of one tensor share its `a`.
Result<Adapter::Room> Adapter::RoomFor(const AdapterBase& base, const AdapterMap& map,
                                       const format::ModelFile& file) {
  Room room;
  for (const AdapterPiece& piece : map.pieces) {
    room.rank = std::max(room.rank, piece.rank);
    room.widest =
        std::max({room.widest, file.tensors()[piece.a.tensor].shape.cols(), int64_t{piece.rank}});
    if (piece.layer == static_cast<int32_t>(base.map.layers.size()))
      MIRAGE_TRY(CheckHeadCuts(base.layout));
  }
  uint64_t end =
      static_cast<uint64_t>(base.step_tokens * kernels::kMaxOutputs * PaddedRank(room.rank)) *
      sizeof(float);
  const auto place = [&](int64_t rows, const TensorSlice& of) -> Result<uint64_t> {
    const format::TensorInfo& tensor = file.tensors()[of.tensor];
    MIRAGE_TRY_ASSIGN(const uint64_t row_bytes,
                      tensor::RowBytes(KeptAs(tensor.dtype), tensor.shape.cols()));
    const uint64_t offset = RoundUp(end, kPieceAlignment);
    end = offset + static_cast<uint64_t>(rows) * row_bytes;
    return offset;
  };
  for (size_t i = 0; i < map.pieces.size(); ++i) {
    const AdapterPiece& piece = map.pieces[i];
    Room::Place& at = room.of_piece.emplace_back();
    if (i > 0 && map.pieces[i - 1].a.tensor == piece.a.tensor) {
      at.a = room.of_piece[i - 1].a;
    } else {
      MIRAGE_TRY_ASSIGN(at.a, place(PaddedRank(piece.rank), piece.a));
    }
    MIRAGE_TRY_ASSIGN(at.b, place(piece.b.rows, piece.b));
  }
  const uint64_t chunk = base.arena.chunk_bytes();
  room.block_bytes = RoundUp(end, chunk);
  room.table_bytes = sizeof(Adapter) + base.map.layers.size() * sizeof(Layer) +
                     memory::Arena::TableBytes(room.block_bytes, room.block_bytes, chunk);
  return room;
}

Result<uint64_t> Adapter::BytesToLoad(const AdapterBase& base, const format::ModelFile& file) {
  MIRAGE_TRY_ASSIGN(const AdapterMap map, DescribeAdapter(file, base.file, base.map));
  MIRAGE_TRY_ASSIGN(const Room room, RoomFor(base, map, file));
  return room.block_bytes + room.table_bytes + Packer::BufferBytes(room.widest);
}

Result<std::shared_ptr<const Adapter>> Adapter::Load(const AdapterBase& base,
                                                     const format::ModelFile& file,
                                                     const AdapterProgress& progress) {
  MIRAGE_TRY_ASSIGN(const AdapterMap map, DescribeAdapter(file, base.file, base.map));
  MIRAGE_TRY_ASSIGN(const Room room, RoomFor(base, map, file));
  const auto hold = [&](uint64_t bytes, const char* what) {
    return memory::Holding::Take(base.arena.ledger(), memory::Owner::kAdapters, bytes, what,
                                 base.promise);
  };
  std::shared_ptr<Adapter> adapter(new Adapter);
  adapter->rank_ = room.rank;
  adapter->alpha_ = map.alpha;
  adapter->matrices_ = static_cast<int32_t>(map.pieces.size());
  MIRAGE_TRY_ASSIGN(adapter->tables_, hold(room.table_bytes, "the adapter's tables"));
  MIRAGE_TRY_ASSIGN(adapter->block_,
                    memory::ArenaBlock::Make(base.arena, room.block_bytes, memory::Owner::kAdapters,
                                             base.promise));
  MIRAGE_TRY_ASSIGN(const memory::Holding buffers,
                    hold(Packer::BufferBytes(room.widest), "buffers to read the adapter"));
  adapter->layers_.resize(base.map.layers.size());
  Packer packer(file, room.widest);
  uint64_t done = 0;
  for (size_t i = 0; i < map.pieces.size(); ++i) {
    if (progress && !progress(done, room.block_bytes))
      return Fail(Code::kCancelled, "loading the adapter was cancelled");
    const AdapterPiece& piece = map.pieces[i];
    std::byte* const a = adapter->block_.base() + room.of_piece[i].a;
    std::byte* const b = adapter->block_.base() + room.of_piece[i].b;
    if (i == 0 || map.pieces[i - 1].a.tensor != piece.a.tensor)
      MIRAGE_TRY(packer.Pack(piece.a, true, a));
    MIRAGE_TRY(packer.Pack(piece.b, false, b));
    adapter->At(piece) = {piece.rank,
                          piece.scale,
                          KeptAs(file.tensors()[piece.a.tensor].dtype),
                          KeptAs(file.tensors()[piece.b.tensor].dtype),
                          a,
                          b};
    done = room.of_piece[i].b;
  }
  MIRAGE_TRY_ASSIGN(adapter->fingerprint_, format::WholeFingerprintOf(file));
  if (progress && !progress(room.block_bytes, room.block_bytes))
    return Fail(Code::kCancelled, "loading the adapter was cancelled");
  return std::shared_ptr<const Adapter>(std::move(adapter));
}

}  // namespace mirage::model
