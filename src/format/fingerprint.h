// SPDX-License-Identifier: Apache-2.0
#pragma once

// Fingerprint: tells one model file from another.
//
// A checksum over the metadata (of long values that stay in the file, their length), over every
// tensor's name, type and shape, and over three samples of every tensor's data: two trainings,
// quantizations or merges of one architecture differ in it. It reads 12 KiB per tensor. Against
// mistakes, not against an adversary. Any thread.

#include "base/result.h"
#include "format/model_file.h"
#include "format/session_file.h"

namespace mirage::format {

[[nodiscard]] Result<Fingerprint> FingerprintOf(const ModelFile& file);
// The same over all of every tensor's data: for small files.
[[nodiscard]] Result<Fingerprint> WholeFingerprintOf(const ModelFile& file);

}  // namespace mirage::format
