// SPDX-License-Identifier: Apache-2.0
#include "model/pack.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "format/checksum.h"
#include "format/metadata_io.h"
#include "model/arch/architectures.h"
#include "model/converted_file.h"
#include "model/plan.h"
#include "model/region_layout.h"
#include "model/weight_source.h"
#include "platform/thread_pool.h"

namespace mirage::model {
namespace {

using format::PackContent;
using tensor::DType;

struct PackType {
  DType dtype;
  DType head;          // of the head and the embedding
  DType fallback;      // for rows that are no whole number of blocks
  uint32_t file_type;  // GGUF's general.file_type of a file that is mostly of this type
};

constexpr PackType kPackTypes[] = {
    {DType::kF16, DType::kF16, DType::kF16, 1},     {DType::kQ4_0, DType::kQ6_K, DType::kF16, 2},
    {DType::kQ8_0, DType::kQ8_0, DType::kF16, 7},   {DType::kQ4_K, DType::kQ6_K, DType::kQ5_0, 15},
    {DType::kQ6_K, DType::kQ6_K, DType::kQ8_0, 18},
};

const PackType* FindPackType(DType dtype) {
  const auto* found = std::find_if(std::begin(kPackTypes), std::end(kPackTypes),
                                   [&](const PackType& type) { return type.dtype == dtype; });
  return found == std::end(kPackTypes) ? nullptr : found;
}

bool Fits(DType dtype, int64_t cols) { return cols % tensor::Info(dtype).block_elements == 0; }

// The type of every tensor of the file once it is packed.
std::vector<DType> ChooseTypes(const format::ModelFile& file, const TensorMap& map,
                               std::optional<DType> quant) {
  std::vector<DType> types;
  for (const format::TensorInfo& tensor : file.tensors()) types.push_back(tensor.dtype);
  const auto choose = [&](const TensorSlice& slice, DType dtype) {
    if (!slice.present()) return;
    const auto index = static_cast<size_t>(slice.tensor);
    types[index] = FallbackType(dtype, file.tensors()[index].shape.cols());
  };
  if (quant) {
    for (const LayerTensors& layer : map.layers) {
      for (const TensorSlice& matrix : layer.matrices) choose(matrix, *quant);
      // Not the router: it is small, and what it is off by sends tokens to other experts.
      for (const TensorSlice& matrix : {layer.experts.gate, layer.experts.up, layer.experts.down})
        choose(matrix, *quant);
    }
    choose(map.head, FindPackType(*quant)->head);
    choose(map.embedding, FindPackType(*quant)->head);
  }
  // Kernels read vectors as floats.
  const auto widen = [&](const TensorSlice& slice) {
    if (slice.present()) types[static_cast<size_t>(slice.tensor)] = DType::kF32;
  };
  for (const LayerTensors& layer : map.layers)
    for (const TensorSlice& vector : layer.vectors) widen(vector);
  widen(map.output_norm);
  return types;
}

constexpr std::string_view kFileType = "general.file_type";
constexpr std::string_view kWriter = "mirage.pack.writer";
constexpr std::string_view kSourceHash = "mirage.pack.source_xxh3_128";

format::MetadataEntry MakeEntry(std::string_view key, format::ValueType type, std::string payload) {
  format::MetadataEntry entry;
  entry.key = key;
  entry.type = entry.element_type = type;
  entry.payload = std::move(payload);
  entry.bytes = entry.payload.size();
  return entry;
}

// The keys of the source, without those about its being split, with the type it has now and where
// it comes from.
Result<format::Metadata> PackMetadata(const format::Metadata& source, const PackOptions& options,
                                      const std::string& source_hash) {
  std::vector<format::MetadataEntry> entries;
  for (const format::MetadataEntry& entry : source.entries())
    if (!entry.key.starts_with("split.") && !entry.key.starts_with("mirage.pack.") &&
        !(options.quant && entry.key == kFileType))
      entries.push_back(entry);
  if (options.quant) {
    const uint32_t type = FindPackType(*options.quant)->file_type;
    entries.push_back(MakeEntry(kFileType, format::ValueType::kU32,
                                {reinterpret_cast<const char*>(&type), sizeof type}));
  }
  entries.push_back(MakeEntry(kWriter, format::ValueType::kString, options.writer));
  entries.push_back(MakeEntry(kSourceHash, format::ValueType::kString, source_hash));
  return format::Metadata::Make(std::move(entries), source.source());
}

// Every row of the tensor lies in a run.
bool CoversAllRows(std::vector<PackContent::Run>* runs, int64_t rows) {
  std::sort(runs->begin(), runs->end(),
            [](const auto& a, const auto& b) { return a.row0 < b.row0; });
  int64_t next = 0;
  for (const PackContent::Run& run : *runs) {
    if (run.row0 != next) return false;
    next += run.rows;
  }
  return next == rows;
}

// Where every tensor goes: into the regions, or to a section of its own behind them.
void PlaceTensors(const format::ModelFile& file, const ModelLayout& layout, PackContent* content,
                  std::vector<int32_t>* others) {
  std::vector<bool> placed(file.tensors().size(), false);
  for (const format::TensorInfo& tensor : file.tensors())
    content->tensors.push_back({tensor.name, tensor.dtype, tensor.shape, {}, {}});
  for (uint32_t i = 0; i < layout.regions.size(); ++i) {
    content->region_bytes.push_back(layout.regions[i].info.bytes);
    for (const Piece& piece : layout.regions[i].pieces) {
      const auto index = static_cast<size_t>(piece.source.tensor);
      PackContent::Tensor& tensor = content->tensors[index];
      const PackContent::Place place{i, piece.offset};
      if (piece.floats) {
        tensor.place = place;
        placed[index] = true;
      } else if (piece.source.rows > 0) {
        tensor.runs.push_back({piece.source.row0, piece.source.rows, place});
      }
    }
  }
  for (size_t index = 0; index < placed.size(); ++index) {
    PackContent::Tensor& tensor = content->tensors[index];
    if (placed[index] || CoversAllRows(&tensor.runs, tensor.shape.rows())) continue;
    tensor.runs.clear();
    tensor.place = {static_cast<uint32_t>(content->region_bytes.size() + others->size()), 0};
    content->other_bytes.push_back(file.tensors()[index].extent.bytes);
    others->push_back(static_cast<int32_t>(index));
  }
}

uint64_t BytesOf(const format::ModelFile& file) {
  uint64_t bytes = 0;
  for (const auto& shard : file.shards()) bytes += shard->bytes();
  return bytes;
}

// XXH3-128 of the files, one after the other, as xxh128sum prints it. Of a pack that of what it was
// made of.
Result<std::string> SourceHash(const format::ModelFile& file, PackProgress* progress) {
  if (file.metadata().Has(kSourceHash)) {
    MIRAGE_TRY(progress->Add(BytesOf(file)));
    return file.metadata().Get<std::string>(kSourceHash);
  }
  constexpr uint64_t kPieceBytes = 1 << 20;
  format::Checksum sum;
  std::vector<std::byte> piece;
  for (const auto& shard : file.shards()) {
    for (uint64_t done = 0; done < shard->bytes(); done += piece.size()) {
      piece.resize(std::min(kPieceBytes, shard->bytes() - done));
      MIRAGE_TRY(shard->ReadAt(done, piece));
      sum.Add(piece);
      MIRAGE_TRY(progress->Add(piece.size()));
    }
  }
  std::string hex;
  for (const uint8_t byte : sum.Value128()) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    hex += {kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return hex;
}

// Fills sections on all threads, a few at a time, and writes them in order.
class SectionPump {
 public:
  SectionPump(int threads, format::PackWriter& writer, PackProgress* progress)
      : threads_(threads), writer_(writer), progress_(progress), pool_(threads) {}

  // `fill(index, out)` makes section first + index, of bytes[index] bytes.
  template <typename Fill>
  Status Write(size_t first, const std::vector<uint64_t>& bytes, const Fill& fill) {
    const size_t at_once = 2 * static_cast<size_t>(threads_);
    std::vector<std::vector<std::byte>> buffers(at_once);
    std::vector<Status> filled(at_once);
    size_t count = 0;
    for (size_t begin = 0; begin < bytes.size(); begin += count) {
      uint64_t held = bytes[begin];
      for (count = 1; count < at_once && begin + count < bytes.size(); ++count) {
        held += bytes[begin + count];
        if (held > kMostHeldBytes) break;
      }
      pool_.ParallelFor(static_cast<int64_t>(count), [&](int64_t task, int) {
        const auto i = static_cast<size_t>(task);
        buffers[i].assign(bytes[begin + i], std::byte{});  // what lies between pieces is zero
        filled[i] = fill(begin + i, std::span(buffers[i]));
      });
      for (size_t i = 0; i < count; ++i) {
        MIRAGE_TRY(std::move(filled[i]));
        MIRAGE_TRY(writer_.WriteSection(first + begin + i, buffers[i]));
        MIRAGE_TRY(progress_->Add(bytes[begin + i]));
      }
    }
    return {};
  }

 private:
  static constexpr uint64_t kMostHeldBytes = uint64_t{256} << 20;  // unless one section has more
  const int threads_;
  format::PackWriter& writer_;
  PackProgress* const progress_;
  platform::ThreadPool pool_;
};

}  // namespace

bool CanPackAs(DType dtype) { return FindPackType(dtype) != nullptr; }

DType FallbackType(DType dtype, int64_t cols) {
  while (!Fits(dtype, cols)) {
    const PackType* type = FindPackType(dtype);
    dtype = type != nullptr ? type->fallback : DType::kF16;
  }
  return dtype;
}

Result<PackSummary> WritePack(const format::ModelFile& file, const PackOptions& options,
                              const format::PackWriter::Sink& sink, PackProgress* progress) {
  if (options.quant && !CanPackAs(*options.quant))
    return Fail(Code::kUnsupported, "packing as " + std::string(tensor::Name(*options.quant)) +
                                        "; it can be F16, Q4_0, Q8_0, Q4_K or Q6_K");
  // Damage must not get checksums that are right.
  if (!file.regions().empty()) MIRAGE_TRY(CheckPack(file, nullptr));
  MIRAGE_TRY_ASSIGN(const int64_t context, SessionContext(file, 0));
  MIRAGE_TRY_ASSIGN(const Description described, Describe(file, context));
  const std::vector<DType> types = ChooseTypes(file, described.map, options.quant);
  MIRAGE_TRY_ASSIGN(const format::ModelFile converted,
                    ConvertTypes(file, [&](size_t index) { return types[index]; }));
  MIRAGE_TRY_ASSIGN(const ModelLayout layout, MakeLayout(converted, described.map, 0));

  PackContent content;
  std::vector<int32_t> others;
  PlaceTensors(converted, layout, &content, &others);
  const std::vector<uint64_t> region_bytes = content.region_bytes;
  const std::vector<uint64_t> other_bytes = content.other_bytes;
  progress->total = BytesOf(file);
  for (const uint64_t bytes : region_bytes)
    progress->total += 2 * bytes;  // written, and read again
  for (const uint64_t bytes : other_bytes) progress->total += 2 * bytes;
  MIRAGE_TRY_ASSIGN(const std::string source_hash, SourceHash(file, progress));
  MIRAGE_TRY_ASSIGN(const format::Metadata metadata,
                    PackMetadata(file.metadata(), options, source_hash));
  MIRAGE_TRY_ASSIGN(content.keys, format::EncodeMetadata(metadata));
  content.key_count = metadata.entries().size();

  format::PackWriter writer(std::move(content), sink);
  MIRAGE_TRY(writer.Check());
  if (options.reserve) MIRAGE_TRY(options.reserve(writer.file_bytes()));
  SectionPump pump(options.threads, writer, progress);
  const WeightSource source(converted, layout);
  MIRAGE_TRY(pump.Write(0, region_bytes, [&](size_t index, std::span<std::byte> out) {
    return source.Fill(static_cast<memory::RegionIndex>(index), out);
  }));
  MIRAGE_TRY(
      pump.Write(region_bytes.size(), other_bytes, [&](size_t index, std::span<std::byte> out) {
        const auto tensor = static_cast<size_t>(others[index]);
        const format::TensorInfo& from = file.tensors()[tensor];
        const format::TensorInfo& to = converted.tensors()[tensor];
        return from.dtype == to.dtype ? file.ReadTensor(from, 0, out)
                                      : converted.ReadTensor(to, 0, out);
      }));
  MIRAGE_TRY(writer.Finish());
  return PackSummary{writer.file_bytes(), writer.padding_bytes(), region_bytes.size()};
}

Status CheckPack(const format::ModelFile& pack, PackProgress* progress) {
  for (size_t i = 0; i < pack.regions().size(); ++i) {
    const format::StoredRegion& region = pack.regions()[i];
    MIRAGE_TRY_ASSIGN(const bool sound, pack.IsSound(region));
    if (!sound)
      return Fail(Code::kCorrupt, pack.shards()[0]->name() + ": byte " +
                                      std::to_string(region.offset) + ": the checksum of region " +
                                      std::to_string(i) + " is wrong");
    if (progress != nullptr) MIRAGE_TRY(progress->Add(region.bytes));
  }
  MIRAGE_TRY(pack.CheckOthers());
  if (progress == nullptr) return {};
  return progress->Add(progress->total - progress->done);
}

Status PackProgress::Add(uint64_t bytes) {
  done += bytes;
  if (report && !report(done, total)) return Fail(Code::kCancelled, "packing was cancelled");
  return {};
}

}  // namespace mirage::model
