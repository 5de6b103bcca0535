// SPDX-License-Identifier: Apache-2.0
#pragma once

// The tile intrinsics on a TileUnit of the thread, and AVX-512 by SIMDe where that is used.
// Included before the kernels.

#include <immintrin.h>

#include "tests/kernels/amx/tile_unit.h"
#if defined(MIRAGE_SIMDE)
#include "tests/kernels/simde/avx512_shim.h"
#endif

namespace mirage::kernels {
namespace {

thread_local TileUnit this_threads_tiles;

}  // namespace
}  // namespace mirage::kernels

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbssd
#define _tile_loadconfig(config) this_threads_tiles.LoadConfig(config)
#define _tile_release() this_threads_tiles.Release()
#define _tile_zero(t) this_threads_tiles.Zero(t)
#define _tile_loadd(t, base, stride) this_threads_tiles.Load(t, base, stride)
#define _tile_stored(t, base, stride) this_threads_tiles.Store(t, base, stride)
#define _tile_dpbssd(sum, a, b) this_threads_tiles.AddProduct(sum, a, b)
