// SPDX-License-Identifier: Apache-2.0
#include "grammar/schema_form.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "grammar/json_number.h"

namespace mirage::grammar {
namespace {

constexpr uint64_t kMergeSteps = 100;

Status CheckCount(size_t alternatives) {
  if (alternatives <= kMaxAlternatives) return {};
  return Fail(Code::kUnsupported,
              "more than " + std::to_string(kMaxAlternatives) + " alternatives at once");
}

ArrayForm Merged(const ArrayForm& a, const ArrayForm& b) {
  ArrayForm out;
  for (size_t i = 0; i < std::max(a.first.size(), b.first.size()); ++i)
    out.first.push_back(Together(i < a.first.size() ? a.first[i] : a.rest,
                                 i < b.first.size() ? b.first[i] : b.rest));
  out.rest = Together(a.rest, b.rest);
  out.low = std::max(a.low, b.low);
  out.high = std::min(a.high, b.high);
  return out;
}

ObjectForm Merged(const ObjectForm& a, const ObjectForm& b) {
  ObjectForm out;
  for (const ObjectForm* form : {&a, &b})
    for (const auto& [name, demand] : form->named)
      out.named.try_emplace(name, Together(a.Of(name), b.Of(name)));
  out.others = Together(a.others, b.others);
  out.required = a.required;
  out.required.insert(b.required.begin(), b.required.end());
  out.low = std::max(a.low, b.low);
  out.high = std::min(a.high, b.high);
  return out;
}

// Surely no value at all; false where that is not seen at once.
bool Impossible(const ArrayForm& form, Demands& demands) {
  if (form.low > form.high) return true;
  for (uint64_t i = 0; i < form.low && i <= form.first.size(); ++i)
    if (demands.Impossible(i < form.first.size() ? form.first[i] : form.rest)) return true;
  return false;
}

bool Impossible(const ObjectForm& form, Demands& demands) {
  if (form.low > form.high || form.required.size() > form.high) return true;
  return std::any_of(form.required.begin(), form.required.end(),
                     [&](const std::string& name) { return demands.Impossible(form.Of(name)); });
}

// What is not `form`, as alternatives.
Result<std::vector<ArrayForm>> Complement(const ArrayForm& form, Demands& demands) {
  std::vector<ArrayForm> out;
  if (form.low > 0) {
    out.emplace_back();
    out.back().high = form.low - 1;
  }
  if (form.high != UINT64_MAX) {
    out.emplace_back();
    out.back().low = form.high + 1;
  }
  for (size_t i = 0; i < form.first.size(); ++i) {
    if (form.first[i].empty()) continue;
    ArrayForm& wrong = out.emplace_back();
    wrong.first.resize(i + 1);
    MIRAGE_TRY_ASSIGN(const uint32_t opposite, demands.Not(form.first[i]));
    wrong.first[i] = {opposite};
    wrong.low = i + 1;
  }
  if (!form.rest.empty()) {
    // Wrong in some element: that is any one of few places, or it has no form.
    if (demands.Impossible(form.rest)) {
      ArrayForm& longer = out.emplace_back();
      longer.low = form.first.size() + 1;
    } else if (form.high != UINT64_MAX && form.high < form.first.size() + 16) {
      for (uint64_t i = form.first.size(); i < form.high; ++i) {
        ArrayForm& wrong = out.emplace_back();
        wrong.first.resize(i + 1);
        MIRAGE_TRY_ASSIGN(const uint32_t opposite, demands.Not(form.rest));
        wrong.first[i] = {opposite};
        wrong.low = i + 1;
      }
    } else {
      return Fail(Code::kUnsupported, "that some element of an array is wrong is not supported");
    }
  }
  return out;
}

Result<std::vector<ObjectForm>> Complement(const ObjectForm& form, Demands& demands) {
  if (!form.others.empty())
    return Fail(Code::kUnsupported,
                "that some other member of an object is wrong is not supported");
  std::vector<ObjectForm> out;
  if (form.low > 0) {
    out.emplace_back();
    out.back().high = form.low - 1;
  }
  if (form.high != UINT64_MAX) {
    out.emplace_back();
    out.back().low = form.high + 1;
  }
  for (const std::string& name : form.required) {
    MIRAGE_TRY_ASSIGN(const uint32_t never, demands.Not({}));
    out.emplace_back().named[name] = {never};
  }
  for (const auto& [name, demand] : form.named) {
    if (demand.empty()) continue;
    ObjectForm& wrong = out.emplace_back();
    MIRAGE_TRY_ASSIGN(const uint32_t opposite, demands.Not(demand));
    wrong.named[name] = {opposite};
    wrong.required.insert(name);
  }
  return out;
}

// Each of `as` without what is in some of `bs`.
template <typename One>
Result<std::vector<One>> Without(std::vector<One> as, const std::vector<One>& bs,
                                 Demands& demands) {
  for (const One& b : bs) {
    std::vector<One> kept;
    for (One& a : as) {
      MIRAGE_TRY(demands.work.Spend(kMergeSteps));
      if (Impossible(Merged(a, b), demands)) {
        kept.push_back(std::move(a));
        continue;
      }
      MIRAGE_TRY_ASSIGN(const std::vector<One> opposites, Complement(b, demands));
      for (const One& opposite : opposites) {
        One both = Merged(a, opposite);
        if (!Impossible(both, demands)) kept.push_back(std::move(both));
      }
      MIRAGE_TRY(CheckCount(kept.size()));
    }
    as = std::move(kept);
  }
  return as;
}

template <typename One>
Result<std::vector<One>> Pairs(const std::vector<One>& as, const std::vector<One>& bs,
                               Demands& demands) {
  std::vector<One> out;
  for (const One& a : as) {
    for (const One& b : bs) {
      MIRAGE_TRY(demands.work.Spend(kMergeSteps));
      One both = Merged(a, b);
      if (as.size() * bs.size() > 1 && Impossible(both, demands)) continue;
      out.push_back(std::move(both));
      MIRAGE_TRY(CheckCount(out.size()));
    }
  }
  return out;
}

}  // namespace

Demand Together(const Demand& a, const Demand& b) {
  Demand out;
  std::set_union(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(out));
  return out;
}

Result<Form> Anything() {
  Form form;
  form.constants = Form::kNull | Form::kFalse | Form::kTrue;
  MIRAGE_TRY_ASSIGN(form.number, AnyNumber());
  form.text = TextForm::Length(0, UINT64_MAX);
  form.arrays.emplace_back();
  form.objects.emplace_back();
  return form;
}

Result<Form> And(const Form& a, const Form& b, Demands& demands) {
  Form out;
  out.constants = a.constants & b.constants;
  MIRAGE_TRY_ASSIGN(out.number, a.number.And(b.number, &demands.work));
  MIRAGE_TRY_ASSIGN(out.text, a.text.And(b.text, &demands.work));
  MIRAGE_TRY_ASSIGN(out.arrays, Pairs(a.arrays, b.arrays, demands));
  MIRAGE_TRY_ASSIGN(out.objects, Pairs(a.objects, b.objects, demands));
  return out;
}

Result<Form> Or(const Form& a, const Form& b, Demands& demands) {
  Form out = a;
  out.constants |= b.constants;
  MIRAGE_TRY_ASSIGN(out.number, a.number.Or(b.number, &demands.work));
  MIRAGE_TRY_ASSIGN(out.text, a.text.Or(b.text, &demands.work));
  out.arrays.insert(out.arrays.end(), b.arrays.begin(), b.arrays.end());
  out.objects.insert(out.objects.end(), b.objects.begin(), b.objects.end());
  MIRAGE_TRY(CheckCount(std::max(out.arrays.size(), out.objects.size())));
  return out;
}

Result<Form> AndNot(const Form& a, const Form& b, Demands& demands) {
  Form out;
  out.constants = a.constants & static_cast<uint8_t>(~b.constants);
  out.number = a.number;
  if (!b.number.empty()) {
    // Bounded numbers have no exponents, so what is not among them must not have any either.
    MIRAGE_TRY_ASSIGN(const Dfa plain, PlainNumber());
    MIRAGE_TRY_ASSIGN(const Dfa others, plain.And(b.number.Not(), &demands.work));
    MIRAGE_TRY_ASSIGN(out.number, a.number.And(others, &demands.work));
  }
  MIRAGE_TRY_ASSIGN(out.text, a.text.AndNot(b.text, &demands.work));
  MIRAGE_TRY_ASSIGN(out.arrays, Without(a.arrays, b.arrays, demands));
  MIRAGE_TRY_ASSIGN(out.objects, Without(a.objects, b.objects, demands));
  return out;
}

}  // namespace mirage::grammar
