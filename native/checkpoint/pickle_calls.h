// The classes and functions that a checkpoint may name, and what each becomes. Nothing is ever run: a name
// that is not in the table can be the class of an object, which stays inert, and nothing else.
#pragma once
#include <string_view>

#include "checkpoint/dtype.h"

namespace mode_ensemble {

enum class Call : uint8_t {
  inert,     // a class whose objects stay as they are: datetime.datetime, pathlib.PosixPath
  bare,      // may stand there by name, is never called: torch.per_tensor_affine
  unusable,  // a kind of tensor that is listed and cannot be a weight
  dictionary,
  default_dictionary,
  list,
  tuple,
  set,
  encode,  // _codecs.encode: how Python 3 writes bytes in protocol 2
  bytes,
  rebuild_tensor,
  rebuild_tensor_v2,
  rebuild_tensor_v3,
  rebuild_parameter,
  rebuild_from_type,
  size,
  numpy_scalar,
  storage_type,
  dtype
};

struct KnownGlobal {
  std::string_view module, name;
  Call call;
  const char* note = "";    // what to call such an object: "a sparse tensor"
  DType dtype = DType::u8;  // of a dtype or a storage type
  bool untyped = false;     // UntypedStorage: counted in bytes, the tensor says the type
};

const KnownGlobal* find_known_global(std::string_view module, std::string_view name);

// A module no checkpoint has a use for: a name from it is refused where it stands, whatever is done with it.
bool refused_module(std::string_view module);

}  // namespace mode_ensemble
