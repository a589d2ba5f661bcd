// SPDX-License-Identifier: Apache-2.0
#include "messages.h"

namespace crypsis::bindings {
namespace {

using Bytes = py::array_t<std::uint8_t>;  // rows may have gaps

Messages rows_part(const Bytes& rows) {
  if (rows.ndim() != 2)
    throw py::value_error("rows have shape " + shape_text(rows) + ": give uint8[n, width]");
  Messages messages;
  messages.data = rows.data();
  messages.n = static_cast<std::size_t>(rows.shape(0));
  messages.width = static_cast<std::size_t>(rows.shape(1));
  const bool packed_bytes = rows.shape(1) <= 1 || rows.strides(1) == 1;
  const bool apart = rows.shape(0) <= 1 || rows.strides(0) >= rows.shape(1);
  if (rows.size() != 0 &&
      !(packed_bytes && apart)) {  // NumPy sets no meaningful strides where there are no bytes
    throw py::value_error(
        "rows have strides that reverse, repeat or spread bytes: pass numpy.ascontiguousarray(rows)");
  }
  messages.stride = rows.size() != 0 && messages.n > 1 ? static_cast<std::size_t>(rows.strides(0)) : 0;
  return messages;
}

// (data, offsets): uint8[m] and int32[n + 1] or int64[n + 1], or (rows, None) with uint8[n, width].
Messages make_part(const py::tuple& part) {
  const auto data = part[0].cast<Bytes>();
  if (part[1].is_none()) return rows_part(data);
  const auto offsets = part[1].cast<py::array>();
  const bool wide = py::isinstance<py::array_t<std::int64_t, py::array::c_style>>(offsets);
  const bool narrow = py::isinstance<py::array_t<std::int32_t, py::array::c_style>>(offsets);
  if ((!wide && !narrow) || offsets.ndim() != 1 || offsets.shape(0) < 1 || data.ndim() != 1 ||
      (data.shape(0) > 1 && data.strides(0) != 1)) {
    throw py::value_error(
        "a part is (uint8[m], int32[n + 1] or int64[n + 1]) or (uint8[n, width], None), contiguous");
  }
  Messages messages;
  messages.data = data.data();
  messages.n = static_cast<std::size_t>(offsets.shape(0) - 1);
  messages.layout = wide ? Messages::Layout::kOffsets64 : Messages::Layout::kOffsets32;
  messages.offsets = offsets.data();
  check_offsets(messages, static_cast<std::size_t>(data.shape(0)));
  return messages;
}

}  // namespace

std::vector<Messages> make_messages(const std::vector<py::tuple>& parts) {
  std::vector<Messages> messages;
  for (const py::tuple& part : parts) messages.push_back(make_part(part));
  return messages;
}

}  // namespace crypsis::bindings
