// SPDX-License-Identifier: Apache-2.0

#include "kernels/check.h"

#include <string>

#include "tensor/packed_rows.h"

namespace mirage::kernels {
namespace {

Status WholeBlocks(const char* op, int32_t cols) {
  if (cols > 0 && cols % kBlock == 0) return {};
  return Fail(Code::kUnsupported, std::string(op) + ": " + std::to_string(cols) +
                                      " columns are not a multiple of 32, as quantised "
                                      "activations need");
}

Status CheckLayer(const char* op, const KvLayer& layer) {
  if (layer.kv_heads > 0 && layer.head_dim > 0 && layer.head_dim <= kMaxHeadDim) return {};
  return Fail(Code::kUnsupported, std::string(op) + ": " + std::to_string(layer.kv_heads) +
                                      " kv heads of dimension " + std::to_string(layer.head_dim) +
                                      "; supported are dimensions up to " +
                                      std::to_string(kMaxHeadDim));
}

Status CheckOutput(const MatMulArgs& args, const MatMulOutput& output) {
  const WeightView& weight = output.weight;
  const std::string name(tensor::Name(weight.dtype));
  if (!tensor::IsPackable(weight.dtype))
    return Fail(Code::kUnsupported, "matmul: no kernel for weights of type " + name);
  MIRAGE_TRY(tensor::RowBytes(weight.dtype, weight.cols));
  if (weight.segment_count < 0 || weight.segment_count > kMaxSegments)
    return Fail(Code::kInvalidArgument, "matmul: " + std::to_string(weight.segment_count) +
                                            " segments of a limit of " +
                                            std::to_string(kMaxSegments));
  if (ReadsQuantized(weight.dtype) ? args.x.q8 == nullptr : args.x.f32 == nullptr)
    return Fail(Code::kInvalidArgument,
                "matmul: weights of type " + name + " lack the activations they read");
  return {};
}

}  // namespace

Status Check(const QuantizeArgs& args) { return WholeBlocks("quantize", args.cols); }

Status Check(const RmsNormArgs& args) {
  if (args.q != nullptr) return WholeBlocks("rms_norm", args.cols);
  return {};
}

Status Check(const GatedArgs& args) {
  if (args.q != nullptr) return WholeBlocks("gated", args.cols);
  return {};
}

Status Check(const DequantizeRowsArgs& args) {
  if (!tensor::Info(args.dtype).supported)
    return Fail(Code::kUnsupported,
                "dequantize_rows: no decoder for type " + std::string(tensor::Name(args.dtype)));
  MIRAGE_TRY(tensor::RowBytes(args.dtype, args.cols));
  return {};
}

Status Check(const MatMulArgs& args) {
  if (args.output_count < 0 || args.output_count > kMaxOutputs)
    return Fail(Code::kInvalidArgument, "matmul: " + std::to_string(args.output_count) +
                                            " outputs of a limit of " +
                                            std::to_string(kMaxOutputs));
  for (int i = 0; i < args.output_count; ++i) {
    MIRAGE_TRY(CheckOutput(args, args.outputs[i]));
    if (args.outputs[i].weight.cols != args.outputs[0].weight.cols)
      return Fail(Code::kInvalidArgument,
                  "matmul: weights of " + std::to_string(args.outputs[0].weight.cols) + " and " +
                      std::to_string(args.outputs[i].weight.cols) + " columns share an input");
  }
  return {};
}

Status Check(const MatMulEachArgs& args) {
  if (args.count < 0 || args.count > kMaxProducts)
    return Fail(Code::kInvalidArgument, "matmul: " + std::to_string(args.count) +
                                            " products of a limit of " +
                                            std::to_string(kMaxProducts));
  for (int i = 0; i < args.count; ++i) MIRAGE_TRY(Check(args.products[i]));
  return {};
}

Status Check(const RouteArgs& args) {
  if (args.used > 0 && args.used <= args.experts) return {};
  return Fail(Code::kInvalidArgument, "route: " + std::to_string(args.used) + " of " +
                                          std::to_string(args.experts) + " experts");
}

Status Check(const GatherRowsArgs& args) {
  if (args.x.q8 != nullptr) return WholeBlocks("gather_rows", args.cols);
  return {};
}

Status Check(const LowRankArgs& args) {
  if (args.output_count < 0 || args.output_count > kMaxOutputs)
    return Fail(Code::kInvalidArgument, "low_rank: " + std::to_string(args.output_count) +
                                            " outputs of a limit of " +
                                            std::to_string(kMaxOutputs));
  for (int i = 0; i < args.output_count; ++i) {
    const LowRankOutput& output = args.outputs[i];
    for (const DType type : {output.a_type, output.b_type})
      if (ReadsQuantized(type))
        return Fail(Code::kUnsupported,
                    "low_rank: weights of type " + std::string(tensor::Name(type)));
    if (output.rank < 1 || output.rows < 1)
      return Fail(Code::kInvalidArgument, "low_rank: " + std::to_string(output.rows) +
                                              " rows of rank " + std::to_string(output.rank));
  }
  if (args.cols < 1 || args.t == nullptr)
    return Fail(Code::kInvalidArgument, "low_rank: no columns, or no scratch");
  return {};
}

Status Check(const RopeArgs& args) {
  if (args.rotary >= 0 && args.rotary % 2 == 0 && args.rotary <= args.head_dim) return {};
  return Fail(Code::kUnsupported, "rope: " + std::to_string(args.rotary) +
                                      " rotary values in heads of " +
                                      std::to_string(args.head_dim));
}

Status Check(const KvWriteArgs& args) { return CheckLayer("kv_write", args.layer); }

Status Check(const AttentionArgs& args) {
  MIRAGE_TRY(CheckLayer("attention", args.layer));
  if (args.heads > 0 && args.heads % args.layer.kv_heads == 0) return {};
  return Fail(Code::kUnsupported, "attention: " + std::to_string(args.heads) + " heads over " +
                                      std::to_string(args.layer.kv_heads) + " kv heads");
}

}  // namespace mirage::kernels
