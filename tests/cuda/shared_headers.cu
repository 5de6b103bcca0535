// SPDX-License-Identifier: Apache-2.0

// The headers a CUDA backend stands on, in one translation unit of nvcc: the op table it fills, the layouts it reads,
// and the device and stream it implements. Running it checks that host and device code agree on the layouts.

#include <cstdio>
#include <type_traits>

#include "base/checked.h"
#include "base/half.h"
#include "base/result.h"
#include "kernels/kv_page.h"
#include "kernels/ops.h"
#include "tensor/packed_rows.h"
#include "platform/device.h"
#include "platform/stream.h"
#include "tensor/dtype.h"
#include "tensor/quant/blocks.h"

namespace {

using mirage::kernels::ActBlock;

// Arguments of ops travel to kernels by value.
static_assert(std::is_trivially_copyable_v<mirage::kernels::QuantizeArgs>);
static_assert(std::is_trivially_copyable_v<mirage::kernels::RmsNormArgs>);
static_assert(std::is_trivially_copyable_v<mirage::kernels::MatMulArgs>);
static_assert(std::is_trivially_copyable_v<mirage::kernels::AttentionArgs>);

// Device code reads the layouts by the same structs.
__global__ void Dequantize(mirage::kernels::Activations activations, float* out) {
  const ActBlock& block = activations.q8[blockIdx.x];
  out[blockIdx.x * mirage::kernels::kBlock + threadIdx.x] =
      block.scale * static_cast<float>(block.values[threadIdx.x]);
}

__global__ void ReadScale(const mirage::tensor::BlockQ4_0* blocks, uint16_t* out) {
  out[threadIdx.x] = blocks[threadIdx.x].d;
}

}  // namespace

int main() {
  // No device is needed: that the kernels are in the program is what nvcc had to prove.
  for (const void* kernel : {reinterpret_cast<const void*>(Dequantize),
                             reinterpret_cast<const void*>(ReadScale)}) {
    cudaFuncAttributes attributes;
    const cudaError_t error = cudaFuncGetAttributes(&attributes, kernel);
    if (error == cudaErrorInvalidDeviceFunction) return 1;
    std::printf("%s\n", cudaGetErrorString(error));
  }
  return 0;
}
