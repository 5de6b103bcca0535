// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/strftime.h"

#include <array>

#include "text/jinja/errors.h"

namespace mirage::text::jinja {
namespace {

constexpr std::array<std::string_view, 7> kDays = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                   "Thursday", "Friday", "Saturday"};
constexpr std::array<std::string_view, 12> kMonths = {
    "January", "February", "March",     "April",   "May",      "June",
    "July",    "August",   "September", "October", "November", "December"};

struct CivilTime {
  int64_t year = 1970;
  int month = 1, day = 1;  // from 1
  int hour = 0, minute = 0, second = 0;
  int week_day = 0;  // Sunday is 0
  int year_day = 0;  // from 0
};

bool IsLeap(int64_t year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

// Days since 1970 to a date; H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
CivilTime ToCivil(int64_t unix_seconds) {
  int64_t days = unix_seconds / 86400;
  int64_t rest = unix_seconds % 86400;
  if (rest < 0) {
    rest += 86400;
    --days;
  }
  CivilTime time;
  time.hour = static_cast<int>(rest / 3600);
  time.minute = static_cast<int>(rest / 60 % 60);
  time.second = static_cast<int>(rest % 60);
  time.week_day = static_cast<int>(((days + 4) % 7 + 7) % 7);
  const int64_t shifted = days + 719468;  // since 0000-03-01
  const int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
  const int64_t day_of_era = shifted - era * 146097;
  const int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t month_from_march = (5 * day_of_year + 2) / 153;
  time.day = static_cast<int>(day_of_year - (153 * month_from_march + 2) / 5 + 1);
  time.month =
      static_cast<int>(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
  time.year = year_of_era + era * 400 + (time.month <= 2 ? 1 : 0);
  const int64_t from_march = IsLeap(time.year) ? 60 : 59;
  time.year_day = static_cast<int>(time.month >= 3 ? day_of_year + from_march : day_of_year - 306);
  return time;
}

struct IsoWeek {
  int64_t year = 0;
  int week = 0;
};

IsoWeek ToIsoWeek(const CivilTime& time) {
  const int iso_day = (time.week_day + 6) % 7;  // Monday is 0
  IsoWeek iso{time.year, (time.year_day - iso_day + 10) / 7};
  const auto weeks_in = [](int64_t year) {
    const auto first_day = [](int64_t y) {  // 31 December's weekday, of the usual congruence
      return (y + y / 4 - y / 100 + y / 400) % 7;
    };
    return first_day(year) == 4 || first_day(year - 1) == 3 ? 53 : 52;
  };
  if (iso.week < 1) {
    iso.week = weeks_in(--iso.year);
  } else if (iso.week > weeks_in(iso.year)) {
    iso.week = 1;
    ++iso.year;
  }
  return iso;
}

class TimeFormatter {
 public:
  explicit TimeFormatter(int64_t unix_seconds)
      : seconds_(unix_seconds), time_(ToCivil(unix_seconds)) {}

  Result<std::string> Run(std::string_view format) {
    for (size_t i = 0; i < format.size(); ++i) {
      if (format[i] != '%' || i + 1 == format.size()) {
        out_.push_back(format[i]);
        continue;
      }
      char flag = '\0';
      if (std::string_view("-_0").find(format[i + 1]) != std::string_view::npos &&
          i + 2 < format.size()) {
        flag = format[++i];
      }
      MIRAGE_TRY(Directive(format[++i], flag));
    }
    return std::move(out_);
  }

 private:
  void Number(int64_t value, size_t width, char pad, char flag) {
    const std::string digits = std::to_string(value);
    if (flag != '-' && digits.size() < width) {
      out_.append(width - digits.size(), flag == '_' ? ' ' : flag == '0' ? '0' : pad);
    }
    out_ += digits;
  }

  Status Compound(std::string_view format) {
    MIRAGE_TRY_ASSIGN(const std::string text, TimeFormatter(seconds_).Run(format));
    out_ += text;
    return {};
  }

  Status Directive(char directive, char flag) {
    const int hour12 = time_.hour % 12 == 0 ? 12 : time_.hour % 12;
    const auto two = [&](int64_t value, char pad = '0') { Number(value, 2, pad, flag); };
    switch (directive) {
      case '%':
        out_.push_back('%');
        break;
      case 'n':
        out_.push_back('\n');
        break;
      case 't':
        out_.push_back('\t');
        break;
      case 'a':
        out_ += kDays[static_cast<size_t>(time_.week_day)].substr(0, 3);
        break;
      case 'A':
        out_ += kDays[static_cast<size_t>(time_.week_day)];
        break;
      case 'b':
      case 'h':
        out_ += kMonths[static_cast<size_t>(time_.month - 1)].substr(0, 3);
        break;
      case 'B':
        out_ += kMonths[static_cast<size_t>(time_.month - 1)];
        break;
      case 'C':
        two(time_.year / 100);
        break;
      case 'd':
        two(time_.day);
        break;
      case 'e':
        two(time_.day, ' ');
        break;
      case 'f':
        out_ += "000000";
        break;
      case 'g':
        two(ToIsoWeek(time_).year % 100);
        break;
      case 'G':
        Number(ToIsoWeek(time_).year, 1, '0', flag);
        break;
      case 'H':
        two(time_.hour);
        break;
      case 'I':
        two(hour12);
        break;
      case 'j':
        Number(time_.year_day + 1, 3, '0', flag);
        break;
      case 'k':
        two(time_.hour, ' ');
        break;
      case 'l':
        two(hour12, ' ');
        break;
      case 'm':
        two(time_.month);
        break;
      case 'M':
        two(time_.minute);
        break;
      case 'p':
        out_ += time_.hour < 12 ? "AM" : "PM";
        break;
      case 'P':
        out_ += time_.hour < 12 ? "am" : "pm";
        break;
      case 's':
        out_ += std::to_string(seconds_);
        break;
      case 'S':
        two(time_.second);
        break;
      case 'u':
        Number(time_.week_day == 0 ? 7 : time_.week_day, 1, '0', flag);
        break;
      case 'U':
        two((time_.year_day + 7 - time_.week_day) / 7);
        break;
      case 'V':
        two(ToIsoWeek(time_).week);
        break;
      case 'w':
        Number(time_.week_day, 1, '0', flag);
        break;
      case 'W':
        two((time_.year_day + 7 - (time_.week_day + 6) % 7) / 7);
        break;
      case 'y':
        two(time_.year % 100);
        break;
      case 'Y':
        Number(time_.year, 1, '0', flag);
        break;
      case 'z':
      case 'Z':
        break;
      case 'c':
        return Compound("%a %b %e %H:%M:%S %Y");
      case 'D':
      case 'x':
        return Compound("%m/%d/%y");
      case 'F':
        return Compound("%Y-%m-%d");
      case 'r':
        return Compound("%I:%M:%S %p");
      case 'R':
        return Compound("%H:%M");
      case 'T':
      case 'X':
        return Compound("%H:%M:%S");
      default:
        return Unsupported(std::string("the strftime directive %") + directive);
    }
    return {};
  }

  int64_t seconds_;
  CivilTime time_;
  std::string out_;
};

}  // namespace

Result<std::string> FormatTime(std::string_view format, int64_t unix_seconds) {
  // Years of four digits, as Python's datetime has them.
  if (unix_seconds < -62135596800 || unix_seconds > 253402300799) {
    return Wrong("the time " + std::to_string(unix_seconds) + " is not in the years 1 to 9999");
  }
  return TimeFormatter(unix_seconds).Run(format);
}

}  // namespace mirage::text::jinja
