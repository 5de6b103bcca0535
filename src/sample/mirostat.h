// SPDX-License-Identifier: Apache-2.0
#pragma once

// Mirostat: truncation steered so that the drawn tokens' surprise stays around tau bits. S. Basu,
// G. S. Ramachandran, N. S. Keskar, L. R. Varshney, "Mirostat: A Neural Text Decoding Algorithm
// that Directly Controls Perplexity", arXiv 2007.14966; version 2 is in the authors' code
// (github.com/basusourya/mirostat).
//
// Version 1 fits the exponent of a Zipf law to the 100 likeliest tokens and keeps the k likeliest
// that the law says have a surprise of mu; version 2 keeps the tokens whose own surprise is at most
// mu, at least the likeliest. After the draw mu -= eta * (surprise - tau), the surprise being that
// under the truncated distribution. mu begins at 2 * tau. It depends on the tokens and their logits
// alone, and is carried by value, so a step that is taken back or computed again does not move it.

#include "sample/draw.h"
#include "sample/logit_scan.h"
#include "sample/params.h"
#include "sample/workspace.h"

namespace mirage::sample {

[[nodiscard]] double FirstMu(const Params& params);

// What remains of all logits at workspace.remaining.temperature, into workspace.remaining. Some
// token is not forbidden.
void KeepMirostat(const Params& params, double mu, const LogitScan& scan, Workspace& workspace);

// mu after a token of that probability was drawn.
[[nodiscard]] double NextMu(const Params& params, double mu, double probability);

}  // namespace mirage::sample
