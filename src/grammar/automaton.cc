// SPDX-License-Identifier: Apache-2.0
#include "grammar/automaton.h"

namespace mirage::grammar {

size_t Automaton::heap_bytes() const {
  size_t bytes = nodes.capacity() * sizeof(Node) + edges.capacity() * sizeof(Edge) +
                 calls.capacity() * sizeof(Call);
  for (const ObjectShape& object : objects)
    bytes += sizeof object + object.labels.capacity() * sizeof(ObjectShape::Label);
  for (const ArrayShape& array : arrays)
    bytes += sizeof array + array.first.capacity() * sizeof(uint32_t);
  for (const std::vector<uint64_t>& set : label_sets)
    bytes += sizeof set + set.capacity() * sizeof(uint64_t);
  return bytes;
}

}  // namespace mirage::grammar
