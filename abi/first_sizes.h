// SPDX-License-Identifier: Apache-2.0
#pragma once

// The size each options struct had in the release that brought it: the least a caller may give.
// Never changes.

#include <cstddef>

namespace mirage::abi {

// 0.1
inline constexpr size_t kFirstRuntimeOptions = 48;
inline constexpr size_t kFirstModelOptions = 40;
inline constexpr size_t kFirstAdapterOptions = 24;
inline constexpr size_t kFirstRenderOptions = 32;
inline constexpr size_t kFirstSessionOptions = 16;
inline constexpr size_t kFirstGenerationOptions = 152;
inline constexpr size_t kFirstParseOptions = 40;
inline constexpr size_t kFirstPlanOptions = 32;
inline constexpr size_t kFirstEmbedOptions = 40;
inline constexpr size_t kFirstScoreOptions = 32;
inline constexpr size_t kFirstAllocator = 32;
inline constexpr size_t kFirstPackOptions = 32;

}  // namespace mirage::abi
