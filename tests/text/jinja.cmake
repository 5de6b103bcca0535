# SPDX-License-Identifier: Apache-2.0
mirage_test(jinja DEPS text SOURCES jinja_marks_test.cc jinja_test.cc)
mirage_test(jinja_golden DEPS text SOURCES jinja_golden_test.cc)
